"""Pictures as raters get them: one pipeline for real and fake, and files that tell nothing by their size."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from amt.errors import AmtError

# What Pillow raises on damaged files.
_UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_BLOCKS = 8  # a broken fake is a board of 8x8 shuffled blocks


def read(path: Path, width: int, height: int, values: tuple[float, float] | None = None) -> Image.Image:
    """A picture as 8-bit sRGB of exactly this size in pixels: turned upright, on white, bicubic with antialiasing.

    Args:
        path: The file.
        width: Pixels.
        height: Pixels.
        values: Those that are black and white, on the file's own scale; None is all of its depth.

    Raises:
        AmtError: The file is no picture that can be read.
    """
    try:
        shown = _opened(path) if values is None else _scaled(path, values)
        return shown.resize((width, height), Image.Resampling.BICUBIC)
    except _UNREADABLE as error:
        raise AmtError(f"{path}: cannot be read as a picture ({error}); replace it, or leave its item out") from None


def encode(picture: Image.Image) -> bytes:
    """The picture as a PNG without metadata and without compression.

    Compressed, a blurred fake would be a smaller file than a real photo, and padding to one size would leave the
    length of the compressed part to be read. Uncompressed, every file of a study has the same length and structure.
    """
    srgb = PngInfo()
    srgb.add(b"sRGB", b"\0")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=0, pnginfo=srgb)
    return buffer.getvalue()


def broken(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """An obviously broken fake for attention checks: its blocks shuffled, its colours inverted."""
    pixels = 255 - np.asarray(picture)
    height, width = (size - size % _BLOCKS for size in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS, 3)
    flat = blocks.transpose(0, 2, 1, 3, 4).reshape(_BLOCKS**2, height // _BLOCKS, width // _BLOCKS, 3)
    mixed = flat[rng.permutation(len(flat))].reshape(_BLOCKS, _BLOCKS, *flat.shape[1:])
    result = pixels.copy()
    result[:height, :width] = mixed.transpose(0, 2, 1, 3, 4).reshape(height, width, 3)
    return Image.fromarray(result)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return _flat(ImageOps.exif_transpose(file))


def _scaled(path: Path, values: tuple[float, float]) -> Image.Image:
    """8-bit RGB in which `values` are black and white: the first three channels, or the first as grey."""
    if path.suffix.lower() in {".tif", ".tiff"}:
        pixels = tifffile.imread(path)  # of 16-bit RGB Pillow keeps the high byte alone, and of five channels nothing
    else:
        with Image.open(path) as file:
            pixels = np.asarray(file if file.mode.startswith(("I", "L")) else file.convert("RGB"))
    low, high = values
    shares = (np.atleast_3d(pixels).astype(np.float64).clip(low, high) - low) / (high - low)
    shown = np.rint(255 * shares).astype(np.uint8)
    return Image.fromarray(shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2))


def _flat(picture: Image.Image) -> Image.Image:
    """8-bit RGB in sRGB; 16 bits are scaled, transparency is laid on white."""
    if picture.mode.startswith("I"):
        return Image.fromarray(
            (np.asarray(picture).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8)
        ).convert("RGB")
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    picture = picture.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB")) or picture
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile that is damaged, or of another colour space than the pixels: read as sRGB, as browsers do
    return picture
