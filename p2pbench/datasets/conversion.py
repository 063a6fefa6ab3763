"""Pictures in memory converted to another number of channels or another size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets.pillow_files import Picture, as_image
from p2pbench.errors import UserError
from reports.names import counted


def convert(picture: Picture, channels: int, name: str | Path = "picture") -> Picture:
    """Turn grey into RGB by repeating it, or RGB into grey by ITU-R 601 luma, with the rounding of Pillow's mode "L".

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
    """The numbers of channels that `convert` can give a picture of so many."""
    return frozenset({found, 1, 3} if found in (1, 3, 4) else {found})


def deepen(picture: Picture) -> NDArray[np.uint16]:
    """Turn 8 bits into 16: 255 becomes 65535."""
    return picture.astype(np.uint16) * np.uint16(257) if picture.dtype == np.uint8 else picture.astype(np.uint16)


def resize(picture: Picture, width: int, height: int) -> Picture:
    """Resize a picture with Pillow's bilinear filter, which averages over all that it shrinks.

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
        plane = Image.fromarray(picture[..., channel].astype(np.float32))
        smooth = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
        resized[..., channel] = np.rint(smooth).clip(0, np.iinfo(picture.dtype).max)
    return resized


def resize_labels(labels: Picture, width: int, height: int) -> Picture:
    """Resize label ids (H, W) to (height, width) by nearest neighbour, so that no id appears that was not there."""
    if labels.shape == (height, width):
        return labels
    return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
