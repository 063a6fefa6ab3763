"""Pictures of a study, matched by item and re-encoded uniformly."""

from __future__ import annotations

import io
import os
import re
import struct
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from amt.errors import AmtError, counted

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})
_MOST_NAMED = 5
_BLOCKS = 8  # a broken fake is a board of 8x8 shuffled blocks
_UNDECODED = re.compile("[\udc80-\udcff]")  # Python's surrogates for bytes of a file name that are no UTF-8
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


@dataclass(frozen=True)
class Sources:
    """Real pictures and each algorithm's fakes of the same items."""

    real: Mapping[str, Path]
    fakes: Mapping[str, Mapping[str, Path]]

    @property
    def items(self) -> list[str]:
        """Sorted ids of the items."""
        return sorted(self.real)


def folder(path: Path, passed_over: Counter[str] | None = None) -> dict[str, Path]:
    """Find pictures in a folder tree by item, the file's stem.

    Letters of the stem are composed (Unicode NFC), and bytes that are no UTF-8 are written as `%E9`.

    Args:
        path: The folder.
        passed_over: Counts all other files by suffix; hidden files and folders count as "hidden".

    Raises:
        AmtError: The folder does not exist, cannot be opened or holds no picture, or an item has two.
    """
    if not path.is_dir():
        kind = "a file" if path.exists() else "no such folder"
        raise AmtError(f"{path}: found {kind}, expected a folder of pictures named ITEM.png; check the path")
    pictures: dict[str, Path] = {}
    for file in sorted(_pictures(path, Counter() if passed_over is None else passed_over)):
        stem = _UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", file.stem)
        other = pictures.setdefault(unicodedata.normalize("NFC", stem), file)
        if other != file:
            first, second = (picture.relative_to(path).as_posix() for picture in (other, file))
            # Names that differ only in how letters are composed look the same when printed.
            alike = other.parent == file.parent and other.suffix == file.suffix
            as_bytes = f" (as bytes {os.fsencode(first)!r} and {os.fsencode(second)!r})" if alike else ""
            raise AmtError(f"{path}: found {first} and {second}{as_bytes}, expected one per item; remove one")
    if not pictures:
        raise AmtError(f"{path}: found no picture, expected ITEM.png (or {', '.join(sorted(SUFFIXES))})")
    return pictures


def _pictures(path: Path, passed_over: Counter[str]) -> Iterator[Path]:
    for here, folders, files in os.walk(path, onerror=_cannot_open):
        passed_over.update("hidden" for name in folders if name.startswith("."))
        # In place: os.walk descends into what is left in the list.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(here, name) for name in files):
            if file.name.startswith("."):
                passed_over["hidden"] += 1
            elif file.suffix.lower() in SUFFIXES:
                yield file
            else:
                passed_over[file.suffix.lower() or "no ending"] += 1


def _cannot_open(error: OSError) -> NoReturn:
    raise AmtError(f"{error.filename}: the folder cannot be opened ({error.strerror}); make it readable") from error


def matched(
    real: Mapping[str, Path], fakes: Mapping[str, Mapping[str, Path]], *, allow_partial: bool = False
) -> Sources:
    """Match real and fake pictures by item.

    Args:
        real: The real pictures by item.
        fakes: The fakes by algorithm and item.
        allow_partial: Whether to leave out items that lack a picture.

    Raises:
        AmtError: There is no algorithm, or items lack pictures; the message names them.
    """
    if not fakes:
        raise AmtError("found no algorithm, expected at least one folder of fakes; give --fake NAME=FOLDER")
    every = set(real).union(*fakes.values())
    common = set(real).intersection(*fakes.values())
    if every != common and not allow_partial:
        lacking = [
            f"{name} lacks {_named(every - pictures.keys())}"
            for name, pictures in {"real": real, **fakes}.items()
            if every - pictures.keys()
        ]
        raise AmtError(
            f"found {counted(len(common), 'item')} with all pictures, of {len(every)}: {'; '.join(lacking)}. "
            "Add or remove pictures, or use the complete items only: --allow-partial"
        )
    return Sources(
        {item: real[item] for item in sorted(common)},
        {name: {item: pictures[item] for item in sorted(common)} for name, pictures in fakes.items()},
    )


def _named(items: set[str]) -> str:
    first = ", ".join(sorted(items)[:_MOST_NAMED])
    return first if len(items) <= _MOST_NAMED else f"{first} and {len(items) - _MOST_NAMED} more"


def read(path: Path, width: int, height: int, values: tuple[float, float] | None = None) -> Image.Image:
    """Read a picture as 8-bit sRGB, resized to exactly width x height.

    It is turned upright, laid on white, and resized with bicubic antialiasing.

    Args:
        path: The file.
        width: In pixels.
        height: In pixels.
        values: File values shown as black and white; None is the file's full depth.

    Raises:
        AmtError: The file cannot be read as a picture.
    """
    try:
        picture = _opened(path) if values is None else _scaled(path, values)
        # All pictures are resized to one size, real ones too: sharpness by size would reveal the fakes.
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    except _UNREADABLE as error:
        raise AmtError(f"{path}: cannot be read as a picture ({error}); replace it, or leave its item out") from None


def encode(picture: Image.Image) -> bytes:
    """Encode a picture as PNG without metadata and compression.

    Compressed, a blurred fake would be a smaller file than a real photo, and padding would still reveal the length of
    the compressed part. Uncompressed, all files of a study have the same length and structure.
    """
    # Names the colour space, so that browsers of all raters show the same colours.
    srgb = PngInfo()
    srgb.add(b"sRGB", b"\0")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=0, pnginfo=srgb)
    return buffer.getvalue()


def broken(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shuffle a fake's blocks and invert its colours, for attention checks."""
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
    """Scale `values` to 8 bits: three channels, or one as grey."""
    if path.suffix.lower() in {".tif", ".tiff"}:
        pixels = tifffile.imread(path)  # Pillow truncates 16-bit RGB to 8 bits and cannot read five channels
    else:
        with Image.open(path) as file:
            pixels = np.asarray(file if file.mode.startswith(("I", "L")) else file.convert("RGB"))
    low, high = values
    shares = (np.atleast_3d(pixels).astype(np.float64).clip(low, high) - low) / (high - low)
    scaled = np.rint(255 * shares).astype(np.uint8)
    return Image.fromarray(scaled[..., :3] if scaled.shape[2] >= 3 else np.repeat(scaled[..., :1], 3, axis=2))


def _flat(picture: Image.Image) -> Image.Image:
    """Convert to 8-bit sRGB on white; 16 bits are scaled."""
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
            pass  # the profile is damaged, or of another colour space than the pixels: read as sRGB, as browsers do
    return picture
