"""Pictures of a study: matched by name, and re-encoded so that files tell nothing."""

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


_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes of a file's name that are no UTF-8, as Python shows them


@dataclass(frozen=True)
class Sources:
    """Pictures by item: the real ones, and the fakes of each algorithm, all of the same items."""

    real: Mapping[str, Path]
    fakes: Mapping[str, Mapping[str, Path]]

    @property
    def items(self) -> list[str]:
        """The items' ids, in order."""
        return sorted(self.real)


def folder(path: Path, passed_over: Counter[str] | None = None) -> dict[str, Path]:
    """The pictures in a folder and those below it by item, which is the file's stem as text.

    Letters of the stem are composed (Unicode's NFC), and where its bytes are no UTF-8, `%E9` stands for the byte E9.

    Args:
        path: The folder.
        passed_over: Counts what else is there, by its ending; hidden files and folders are "hidden".

    Raises:
        AmtError: There is no such folder, one cannot be opened, there is no picture, or an item has two.
    """
    if not path.is_dir():
        what = "a file" if path.exists() else "no such folder"
        raise AmtError(f"{path}: found {what}, expected a folder of pictures named ITEM.png; check the path")
    found: dict[str, Path] = {}
    for file in sorted(_pictures(path, Counter() if passed_over is None else passed_over)):
        text = _UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", file.stem)
        other = found.setdefault(unicodedata.normalize("NFC", text), file)
        if other != file:
            names = [one.relative_to(path).as_posix() for one in (other, file)]
            alike = other.parent == file.parent and other.suffix == file.suffix  # the same letters, composed otherwise
            bytes_ = f" (as bytes {os.fsencode(names[0])!r} and {os.fsencode(names[1])!r})" if alike else ""
            raise AmtError(f"{path}: found {names[0]} and {names[1]}{bytes_}, expected one an item; remove one")
    if not found:
        raise AmtError(f"{path}: found no picture, expected ITEM.png (or {', '.join(sorted(SUFFIXES))})")
    return found


def _pictures(path: Path, passed_over: Counter[str]) -> Iterator[Path]:
    for here, folders, files in os.walk(path, onerror=_cannot_open):
        passed_over.update("hidden" for name in folders if name.startswith("."))
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
    """Real and fake pictures of the same items.

    Args:
        real: The real pictures by item.
        fakes: The fakes by algorithm and item.
        allow_partial: Whether to go on with the items that all have.

    Raises:
        AmtError: There is no algorithm, or an item lacks a picture somewhere; the items are named.
    """
    if not fakes:
        raise AmtError("found no algorithm, expected at least one folder of fakes; give --fake NAME=FOLDER")
    every = set(real).union(*fakes.values())
    common = set(real).intersection(*fakes.values())
    if every != common and not allow_partial:
        where = {"real": real, **fakes}
        lacking = [
            f"{name} lacks {_named(every - pictures.keys())}"
            for name, pictures in where.items()
            if every - pictures.keys()
        ]
        raise AmtError(
            f"found {counted(len(common), 'item')} with all pictures, of {len(every)}: {'; '.join(lacking)}. "
            "Add or remove them, or go on with those that all have: --allow-partial"
        )
    return Sources(
        {item: real[item] for item in sorted(common)},
        {name: {item: pictures[item] for item in sorted(common)} for name, pictures in fakes.items()},
    )


def _named(items: set[str]) -> str:
    first = ", ".join(sorted(items)[:_MOST_NAMED])
    return first if len(items) <= _MOST_NAMED else f"{first} and {len(items) - _MOST_NAMED} more"


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
