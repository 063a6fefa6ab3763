"""Pictures of any depth and channel count: find, read, resize and write them.

In memory a picture is an array (H, W, C) of uint8 in 0..255 or uint16 in 0..65535, channels last and upright. On disk
it is a PNG, JPEG, TIFF, BMP, WebP, PPM or PGM; its content, not its suffix, decides how it is read.

The rest of the program knows pictures by this file alone; what it offers of `conversion` and `pillow_files` is imported
with `as`.
"""

import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from p2pbench.datasets import pillow_files, tiffs
from p2pbench.datasets.conversion import convert as convert
from p2pbench.datasets.conversion import resize as resize
from p2pbench.datasets.conversion import resize_labels as resize_labels
from p2pbench.datasets.pillow_files import MAX_PIXELS as MAX_PIXELS
from p2pbench.datasets.pillow_files import Picture as Picture
from p2pbench.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})

# All that the decoders raise on damaged files, found by cutting and flipping bytes of good ones. OSError holds
# Pillow's UnidentifiedImageError.
_BROKEN = (OSError, ValueError, RuntimeError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError)
_INNER = (AssertionError, AttributeError, MemoryError, struct.error, zlib.error, tifffile.TiffFileError)
_DECODER_ERRORS = (*_BROKEN, *_INNER)


def read(path: Path) -> Picture:
    """Read a picture.

    Grey stays one channel and a palette becomes RGB. Alpha is dropped, except in a TIFF, whose channels are all data.
    1-bit pictures become 0 and 255. The EXIF orientation of JPEG, WebP and TIFF is applied.

    Returns:
        (H, W, C), uint8 or uint16 as in the file; writable, as torch wants it.

    Raises:
        UserError: The file is missing, damaged, no picture, or has samples other than 1-, 8- or 16-bit integers.
    """
    with _decoding(path) as start:
        return tiffs.read(path) if start.startswith(tiffs.FIRST_BYTES) else pillow_files.read(path, start)


def read_labels(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Read label ids exactly as the file stores them: palette indices, grey values, or three equal colour channels.

    Returns:
        (H, W), uint8 or uint16.

    Raises:
        UserError: As in `read`; also for a coloured picture, for a JPEG, and for ids outside 0..65535.
    """
    with _decoding(path) as start:
        is_tiff = start.startswith(tiffs.FIRST_BYTES)
        values = tiffs.read(path, stored=True) if is_tiff else pillow_files.read_stored(path, start)
    if values.ndim == 3:
        if (values[..., 1:3] != values[..., :1]).any():
            raise UserError(f"{path}: found colours, expected label ids in one channel; convert the colours to ids")
        values = values[..., 0]
    return pillow_files.unsigned(values, path)


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of what `read` returns, from the file's header alone.

    Raises:
        UserError: The file is missing, no picture, or its header is damaged.
    """
    with _decoding(path) as start:
        return tiffs.size(path) if start.startswith(tiffs.FIRST_BYTES) else pillow_files.size(path)


def write(path_without_suffix: Path, picture: Picture) -> Path:
    """Write a picture without loss: PNG for 8-bit grey and RGB and for 16-bit grey, TIFF for all else.

    The file appears whole or not at all: it is written beside its place and then renamed.

    Args:
        path_without_suffix: Folder and item id; dots in the id are kept. Missing folders are made.
        picture: (H, W, C), uint8 or uint16.

    Returns:
        The path written, with its suffix.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    as_png = picture.shape[2] == 1 or (picture.shape[2] == 3 and picture.dtype == np.uint8)
    path = path_without_suffix.parent / (path_without_suffix.name + (".png" if as_png else ".tif"))
    part = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if as_png:  # level 1 writes a 256x256 photo in 7 ms where level 6 takes 11, for a file 13 % larger
            pillow_files.as_image(picture).save(part, format="PNG", compress_level=1)
        else:
            photometric = "rgb" if picture.shape[2] == 3 else "minisblack"
            tifffile.imwrite(
                part, picture, photometric=photometric, planarconfig="contig", metadata=None, compression="zlib"
            )
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); free disk space or choose another folder") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def find(folder: Path) -> dict[str, Path]:
    """Find the pictures directly in a folder, by item id (the stem), sorted; none is an empty dict.

    Hidden files, among them the "._" files that macOS leaves beside every picture, are passed over.

    Raises:
        UserError: The folder is missing, or two pictures have the same id.
    """
    return _by_id(_pictures(folder, deep=False), lambda path: path.stem)


def find_recursive(folder: Path) -> dict[str, Path]:
    """Find the pictures in a folder and in all folders below it, linked ones included, as `find` does in one.

    The id is the path below the folder, without suffix and with "__" for each "/": `bonn/0001.png` has the id
    `bonn__0001`, a valid stem. Ids are unique: `a/b.png` beside `a__b.png` is an error, as two equal stems are.
    """
    return _by_id(_pictures(folder, deep=True), lambda path: "__".join(path.relative_to(folder).with_suffix("").parts))


def _pictures(folder: Path, *, deep: bool) -> Iterator[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: found no such folder, expected a folder of pictures; check the path")
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [name for name in folders if deep and real not in seen and not name.startswith(".")]
        if real not in seen:  # a link may lead back to a folder above it
            paths = (Path(here, name) for name in files if not name.startswith("."))
            yield from (path for path in paths if path.suffix.lower() in SUFFIXES)
        seen.add(real)


def _by_id(paths: Iterator[Path], item_id: Callable[[Path], str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        other = found.setdefault(item_id(path), path)
        if other != path:
            raise UserError(f"{other} and {path}: both have the item id {item_id(path)!r}; rename or remove one")
    return dict(sorted(found.items()))


@contextmanager
def _decoding(path: Path) -> Iterator[bytes]:
    """Give a file's first bytes, which say what it is; turn what the decoders raise in the block into a UserError."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
        if not start:
            raise UserError(f"{path}: found an empty file, expected a picture; copy or export it again")
        yield start
    except _DECODER_ERRORS as error:
        detail = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise UserError(
            f"{path}: found no picture that can be decoded ({detail}), expected a whole PNG, JPEG, TIFF, BMP, WebP or "
            "PPM file; check the path, or copy or export the picture again"
        ) from error
