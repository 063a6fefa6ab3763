"""Pictures of any depth and channel count: find, read and write them.

In memory a picture is an array (H, W, C) of uint8 in 0..255 or uint16 in 0..65535, channels last and upright. On disk
it is a PNG, JPEG, TIFF, BMP, WebP, PPM or PGM; its content, not its suffix, decides how it is read. Its item's id is
made of its file's name by `reports.store.names.item_id`.
"""

import hashlib
import io
import lzma
import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import tifffile
from numpy.typing import NDArray

from p2pbench.datasets import decoders
from p2pbench.datasets.decoders import Header, Picture
from p2pbench.errors import UserError
from reports.store import atomic
from reports.store.layout import found_at
from reports.store.names import item_id

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})
WRITTEN = frozenset({".png", ".tif"})  # the endings of `write`
# Endings that are no pictures, and are passed over without a remark.
_BESIDE_PICTURES = frozenset({".csv", ".html", ".json", ".jsonl", ".md", ".npz", ".txt", ".xml"})
_NO_ENDING = "no ending"  # the reason why a file is passed over; of others it is the ending itself

# All that the decoders raise on damaged files, found by cutting and flipping bytes of good ones. OSError holds
# Pillow's UnidentifiedImageError.
_BROKEN = (OSError, ValueError, RuntimeError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError)
_INNER = (AssertionError, AttributeError, MemoryError, struct.error, zlib.error, lzma.LZMAError, tifffile.TiffFileError)
_DECODER_ERRORS = (*_BROKEN, *_INNER)


def read(path: Path) -> Picture:
    """Read a picture.

    Grey stays one channel; a palette, CMYK and YCbCr become RGB, without their colour profiles. Alpha is dropped,
    except in a TIFF, whose channels are all data (of an alpha that was multiplied into the colours it is undone). 1-bit
    pictures become 0 and 255. The EXIF orientation is applied.

    Returns:
        (H, W, C), uint8 or uint16 as in the file; writable, as torch wants it.

    Raises:
        UserError: The file is missing, damaged, no picture, of other colours (such as Lab), or has samples other
            than 1-, 8- or 16-bit integers.
    """
    with _decoding(path) as start:
        return (
            decoders.read_tiff(path)
            if start.startswith(decoders.TIFF_FIRST_BYTES)
            else decoders.read_by_pillow(path, start)
        )


def read_labels(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Read label ids exactly as the file stores them.

    Palette indices, grey values, or three equal colour channels.

    Returns:
        (H, W), uint8 or uint16.

    Raises:
        UserError: As in `read`; also for a coloured picture, for a JPEG, and for ids outside 0..65535.
    """
    with _decoding(path) as start:
        is_tiff = start.startswith(decoders.TIFF_FIRST_BYTES)
        values = decoders.read_tiff(path, stored=True) if is_tiff else decoders.read_stored_by_pillow(path, start)
    if values.ndim == 3:
        if (values[..., 1:3] != values[..., :1]).any():
            raise UserError(f"{path}: found colours, expected label ids in one channel; convert the colours to ids")
        values = values[..., 0]
    return decoders.unsigned(values, path)


def header(path: Path) -> Header:
    """Read size, channels and depth from a picture's header.

    Raises:
        UserError: The file is missing, no picture, or its header is damaged.
    """
    with _decoding(path) as start:
        return (
            decoders.read_tiff_header(path)
            if start.startswith(decoders.TIFF_FIRST_BYTES)
            else decoders.read_pillow_header(path, start)
        )


def write(path_without_suffix: Path, picture: Picture, note: Callable[[Path, str], None] | None = None) -> Path:
    """Write a picture without loss.

    PNG for 8-bit grey and RGB and for 16-bit grey, TIFF for all else.

    The file appears whole or not at all, even if the machine loses power.

    Args:
        path_without_suffix: Folder and item id; dots in the id are kept. Missing folders are made.
        picture: (H, W, C), uint8 or uint16.
        note: Called with the path and the SHA-256 of the content before the file takes its place.

    Returns:
        The path written, with its suffix.

    Raises:
        ReportError: The disk is full, or the folder cannot be written to.
    """
    as_png = picture.shape[2] == 1 or (picture.shape[2] == 3 and picture.dtype == np.uint8)
    path = path_without_suffix.parent / (path_without_suffix.name + (".png" if as_png else ".tif"))
    file = io.BytesIO()
    if as_png:  # level 1 writes a 256x256 photo in 7 ms where level 6 takes 11, for a file 13 % larger
        decoders.as_image(picture).save(file, format="PNG", compress_level=1)
    else:
        photometric = "rgb" if picture.shape[2] == 3 else "minisblack"
        tifffile.imwrite(
            file, picture, photometric=photometric, planarconfig="contig", metadata=None, compression="zlib"
        )
    content = file.getvalue()
    if note is not None:
        note(path, hashlib.sha256(content).hexdigest())
    atomic.write(path, content)
    return path


def find_recursive(folder: Path, passed_over: Counter[str] | None = None) -> dict[str, Path]:
    """Find the pictures in a folder and its subfolders.

    Linked ones are included; they are sorted by item id.

    The id is made of the path below the folder, without suffix and with "__" for each "/": `bonn/0001.png` has the id
    `bonn__0001`, a valid stem. Hidden files, among them the "._" files that macOS leaves beside every picture, and
    hidden folders are passed over.

    Args:
        folder: Where to look; none found is an empty dict.
        passed_over: Counts what is there and is not read, by reason; see `passed_over_line`.

    Raises:
        UserError: The folder is missing, one in it cannot be opened, or two pictures have the same id, as `a/b.png`
            beside `a__b.png`, two equal stems, and two names that differ only in how Unicode composes their letters.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: {found_at(folder)}, expected a folder of pictures; check the path")
    paths = _pictures(folder, Counter() if passed_over is None else passed_over)
    return by_id(("__".join(path.relative_to(folder).with_suffix("").parts), path) for path in paths)


def by_id(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Index files by the item ids of their names, sorted.

    Raises:
        UserError: Two files have the same id.
    """
    found: dict[str, Path] = {}
    for name, path in sorted(named, key=lambda pair: pair[1]):
        id_ = item_id(name)
        other = found.setdefault(id_, path)
        if other != path:
            alike = other.parent == path.parent and other.suffix == path.suffix  # the same letters, composed otherwise
            bytes_ = f" (as bytes {os.fsencode(other.name)!r} and {os.fsencode(path.name)!r})" if alike else ""
            raise UserError(f"{other} and {path}: both have the item id {id_!r}{bytes_}; rename or remove one")
    return dict(sorted(found.items()))


def passed_over_line(folder: Path, passed_over: Counter[str]) -> str:
    """Line with the numbers of files that were not read, by reason.

    Empty if all were.
    """
    return f"{folder}: {passed_over_reasons(passed_over)}" if passed_over else ""


def passed_over_reasons(passed_over: Counter[str]) -> str:
    """Numbers of skipped files, by reason; empty without any."""
    if not passed_over:
        return ""
    most_first = sorted(passed_over.items(), key=lambda entry: (-entry[1], entry[0]))
    reasons = ", ".join(f"{reason} ({count})" for reason, count in most_first)
    endings = any(reason.startswith(".") or reason == _NO_ENDING for reason in passed_over)
    return f"passed over {reasons}" + (f"; read are {' '.join(sorted(SUFFIXES))}" if endings else "")


def _pictures(folder: Path, passed_over: Counter[str]) -> Iterator[Path]:
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_cannot_open):
        real = os.path.realpath(here)
        if real in seen:  # a link may lead back to a folder above it
            folders.clear()
            continue
        seen.add(real)
        passed_over.update("hidden folders" for name in folders if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(here, name) for name in files):
            suffix = path.suffix.lower()
            if suffix not in SUFFIXES:
                if suffix not in _BESIDE_PICTURES and not path.name.startswith("."):
                    passed_over[suffix or _NO_ENDING] += 1
            elif path.name.startswith("."):
                passed_over["hidden pictures"] += 1
            elif path.exists() and not path.is_file():  # opening a pipe could block for ever
                passed_over["pipes and devices"] += 1
            else:
                yield path


def _cannot_open(error: OSError) -> NoReturn:
    raise UserError(
        f"{error.filename}: the folder cannot be opened ({error.strerror}); make it readable, or move it away"
    ) from error


@contextmanager
def _decoding(path: Path) -> Iterator[bytes]:
    """Yield a file's first bytes, which name its format.

    Turn the decoders' errors in the block into a UserError.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe could block for ever
            raise UserError(f"{path}: found a pipe or a device, expected a picture; check the path")
        with path.open("rb") as file:
            start = file.read(32)
        if not start:
            raise UserError(f"{path}: found an empty file, expected a picture; copy or export it again")
        yield start
    except _DECODER_ERRORS as error:
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"{path}: found a link that leads nowhere, to {os.readlink(path)}, expected a picture; mend or "
                "remove it"
            ) from error
        detail = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise UserError(
            f"{path}: found no picture that can be decoded ({detail}), expected a whole PNG, JPEG, TIFF, BMP, WebP or "
            "PPM file; check the path, or copy or export the picture again"
        ) from error
