"""Pictures of any bit depth, converted to 8 bits for browsers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports.store.errors import DAMAGED, ReportError
from reports.store.ranges import Range

LONGEST_SIDE = 512  # pixels; more would not show in the gallery and make its folder huge
THUMB = 128  # pixels, longest side of a thumbnail
_DISPLAYABLE = {"L", "RGB", "RGBA"}
_FLAT = 0.4  # bytes per pixel: so small a PNG has few colours, and would be larger and blurred as JPEG


class PictureFiles(NamedTuple):
    """Files of a picture for browsers.

    Attributes:
        name: The file's name.
        thumb: Its thumbnail's file; the same if the picture is small.
        width: Pixels.
        height: Pixels.
    """

    name: str
    thumb: str
    width: int
    height: int


def save(source: Path, stem: Path, ends: Range | None = None) -> PictureFiles:
    """Write a picture for browsers, as files beginning with `stem`.

    Small pictures, and those of few colours, become PNG; photos become JPEG, with a thumbnail. `ends` are the values of
    black and white, see `load`.

    Raises:
        ReportError: The source is missing or no picture.
        OSError: The files cannot be written.
    """
    shown = load(source, ends)
    width, height = shown.size
    small = max(width, height) <= THUMB
    if small or "A" in shown.mode or source.stat().st_size <= _FLAT * width * height:
        name = f"{stem.name}.png"
        shown.save(stem.with_name(name), compress_level=4)
        return PictureFiles(name, name, width, height)
    name, thumb = f"{stem.name}.jpg", f"{stem.name}t.jpg"
    shown.save(stem.with_name(name), quality=90, subsampling=0)  # full colour resolution: colours are judged here
    shown = shown.reduce(max(1, max(width, height) // THUMB))  # a fast first step
    shown.thumbnail((THUMB, THUMB), Image.Resampling.BICUBIC)
    shown.save(stem.with_name(thumb), quality=85)
    return PictureFiles(name, thumb, width, height)


def load(path: Path, ends: Range | None = None) -> Image.Image:
    """Read a picture as 8-bit grey, RGB or RGBA, reduced if large.

    With `ends`, values are clipped to them and scaled to 0..255. Without, 16-bit values keep their high byte, floats in
    0..1 are scaled to 0..255, and other numbers are stretched from minimum to maximum. TIFFs with more than three
    channels show the first three, those with two the first. The longest side is at most `LONGEST_SIDE` pixels.

    Raises:
        ReportError: The file is missing or no picture.
    """
    try:
        picture = _from_tiff(path, ends) if path.suffix in {".tif", ".tiff"} else _from_pillow(path, ends)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise _no_picture(path, error) from error
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return picture


def stored(path: Path) -> NDArray[np.generic]:
    """Read a picture's 8- or 16-bit values unchanged.

    Raises:
        ReportError: As `load`.
    """
    try:
        if path.suffix in {".tif", ".tiff"}:
            return _tiff_values(path)
        with Image.open(path) as picture:
            return np.asarray(picture)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise _no_picture(path, error) from error


def _no_picture(path: Path, error: BaseException) -> ReportError:
    what = f"found no picture ({error}), expected PNG or TIFF"
    return ReportError(f"{path}: {what}; move it away and make the images again")


def to_eight_bits(values: NDArray[np.generic], ends: Range | None = None) -> NDArray[np.uint8]:
    """Scale pixel values of any type to 0..255; NaN becomes 0."""
    if ends is not None:
        low, high = ends
        shares = (np.nan_to_num(values.astype(np.float64), nan=low).clip(low, high) - low) / (high - low)
        return np.rint(shares * 255).astype(np.uint8)
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (numbers - low) / (high - low or 1.0)
    return np.rint(scaled * 255).astype(np.uint8)


def _tiff_values(path: Path) -> NDArray[np.generic]:
    import tifffile  # here, as few pictures are TIFF and every command that reads a grid imports this module

    return np.asarray(tifffile.imread(path))


def _from_pillow(path: Path, ends: Range | None) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        if picture.mode.startswith(("I", "F")):  # 16- and 32-bit greys, which convert() would clip
            return Image.fromarray(to_eight_bits(np.asarray(picture), ends))
        shown = picture.copy()
        if picture.mode not in _DISPLAYABLE:
            shown = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if ends is None:
        return shown
    values = to_eight_bits(np.asarray(shown), ends)
    if shown.mode == "RGBA":
        values[..., 3] = np.asarray(shown)[..., 3]  # opacity is no value of the range
    return Image.fromarray(values)


def _from_tiff(path: Path, ends: Range | None) -> Image.Image:
    values = _tiff_values(path)
    if values.ndim == 3 and values.shape[0] < min(values.shape[1:]):
        values = np.moveaxis(values, 0, -1)  # planar: channels first
    if values.ndim == 3:
        values = values[:, :, :3] if values.shape[2] >= 3 else values[:, :, 0]
    if values.ndim != 2 and values.ndim != 3:
        raise ValueError(f"an array of shape {values.shape}")
    return Image.fromarray(to_eight_bits(values, ends))
