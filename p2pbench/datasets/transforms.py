"""Value ranges, channel conversion and resizing of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from p2pbench.datasets.decoders import Picture, as_image
from p2pbench.errors import UserError
from reports.store.names import counted
from reports.store.ranges import shown

if TYPE_CHECKING:
    from torch import Tensor

Range = tuple[float, float]
"""Values that become -1 and 1, black and white; a picture's values beyond them are clipped."""


def full_range(dtype: DTypeLike) -> Range:
    """Range of all values of 8 or 16 bits: (0, 255) or (0, 65535)."""
    return (0.0, float(np.iinfo(np.dtype(dtype).type).max))


def within(picture: NDArray[np.uint8 | np.uint16], ends: Range | None) -> NDArray[np.float64]:
    """Clip picture values to a declared range and subtract its lower end."""
    values = picture.astype(np.float64)
    return values if ends is None else np.clip(values, *ends) - ends[0]


def span(dtype: DTypeLike, ends: Range | None) -> float:
    """Length of a range; 255 or 65535 where none is declared."""
    low, high = ends or full_range(dtype)
    return high - low


def declared(ends: Range | None) -> dict[str, str]:
    """Protocol entry of a declared range.

    Empty without one, which keeps older fingerprints valid.
    """
    return {} if ends is None else {"output_range": f"{shown(ends)} are black to white, values beyond are clipped"}


def to_network(values: Tensor, ends: Range) -> Tensor:
    """Scale picture values from a range to [-1, 1], float32.

    Values outside it are clipped.
    """
    low, high = ends
    # In place after the first copy: whole batches pass here at every step.
    return values.float().sub_(low).mul_(2 / (high - low)).sub_(1).clamp_(-1, 1)


def from_network(output: Tensor, ends: Range, dtype: DTypeLike) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Convert an output (C, H, W) in [-1, 1] to a picture (H, W, C).

    The inverse of `to_network`, rounded.
    """
    low, high = ends
    values = (output.detach().double().cpu() + 1) * ((high - low) / 2) + low
    limit = np.iinfo(np.dtype(dtype).type).max
    picture: NDArray[np.uint8] | NDArray[np.uint16] = (
        values.round().clamp(0, limit).permute(1, 2, 0).numpy().astype(dtype)
    )
    return picture


def convert(picture: Picture, channels: int, name: str | Path = "picture") -> Picture:
    """Convert grey to RGB, or RGB to grey.

    Grey is repeated; RGB becomes ITU-R 601 luma, with the rounding of Pillow's mode "L".

    Of four channels, which are RGB and one more such as alpha, the first three are taken.

    Args:
        picture: (H, W, C).
        channels: The channels wanted; C itself gives the picture back unchanged.
        name: What to call the picture in the error, best its path.

    Returns:
        (H, W, channels), same dtype.

    Raises:
        UserError: Any other change of channels.
    """
    found = picture.shape[2]
    if channels not in convertible(found):
        raise UserError(
            f"{name}: found {counted(found, 'channel')}, expected {channels}; mend the picture or the settings"
        )
    if found == channels:
        return picture
    if found == 1:
        return np.repeat(picture, 3, axis=2)
    if found == 4:
        return convert(picture[..., :3], channels, name)
    # 16-bit fixed point; 65535 * 65536 + 32768 still fits into 32 bits.
    luma = (picture @ np.array([19595, 38470, 7471], np.uint32) + np.uint32(0x8000)) >> np.uint32(16)
    return luma[..., None].astype(picture.dtype)


def convertible(found: int) -> frozenset[int]:
    """Numbers of channels that `convert` can make of a number of channels."""
    return frozenset({found, 1, 3} if found in (1, 3, 4) else {found})


def deepen(picture: Picture) -> NDArray[np.uint16]:
    """Turn 8 bits into 16: 255 becomes 65535."""
    return picture.astype(np.uint16) * np.uint16(257) if picture.dtype == np.uint8 else picture.astype(np.uint16)


def resize(picture: Picture, width: int, height: int) -> Picture:
    """Resize a picture with Pillow's bilinear filter.

    It averages over all pixels that it shrinks.

    8-bit grey and RGB pass through Pillow as they are, as in the FCN-score protocol; all else in float32, channel by
    channel, then rounded and clipped.

    Returns:
        (height, width, C), same dtype; the picture itself when it has that size already.
    """
    if picture.shape[:2] == (height, width):
        return picture
    if picture.dtype == np.uint8 and picture.shape[2] in (1, 3):
        image = as_image(picture).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(image).reshape(height, width, -1)
    resized = np.empty((height, width, picture.shape[2]), picture.dtype)
    for channel in range(picture.shape[2]):
        # Pillow has no mode for several channels of 16 bits.
        plane = Image.fromarray(picture[..., channel].astype(np.float32))
        smooth = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
        resized[..., channel] = np.rint(smooth).clip(0, np.iinfo(picture.dtype).max)
    return resized


def resize_labels(labels: Picture, width: int, height: int) -> Picture:
    """Resize label ids (H, W) by nearest neighbour.

    So no id appears that was not there.
    """
    if labels.shape == (height, width):
        return labels
    return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
