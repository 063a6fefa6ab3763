"""Pictures of any depth and channel count: find, read, resize and write them.

In memory a picture is an array (H, W, C) of uint8 in 0..255 or uint16 in 0..65535, channels last and upright. On disk
it is a PNG, JPEG, TIFF, BMP, WebP, PPM or PGM; its content, not its suffix, decides how it is read.
"""

import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from p2pbench.errors import UserError

Picture = NDArray[np.uint8 | np.uint16]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})

# Aerial and microscope pictures pass Pillow's limit of 89 million pixels, which is there for servers that decode what
# strangers upload; ours are the user's own files. A limit of our own stays, so that a corrupt header is an error and
# not an attempt to allocate terabytes.
Image.MAX_IMAGE_PIXELS = None
MAX_PIXELS = 2**30

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")  # Pillow knows dozens more, some of which start other programs
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes of TIFF and BigTIFF in either byte order
_PNG = b"\x89PNG\r\n\x1a\n"
_PHOTOMETRIC = tifffile.PHOTOMETRIC
_WITH_EXIF = ("JPEG", "MPO", "WEBP")  # not PNG, whose EXIF may follow the pixels: size() would have to decode them all
_SIDEWAYS = range(5, 9)  # the EXIF orientations that swap width and height

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
        if start.startswith(_TIFF):
            return _read_tiff(path)
        with _opened(path) as image:
            if start.startswith(_PNG) and start[24] == 16 and start[25] != 0:
                return _read_png16(path, start[25])
            return _read_pillow(image, path)


def read_labels(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Read label ids exactly as the file stores them: palette indices, grey values, or three equal colour channels.

    Returns:
        (H, W), uint8 or uint16.

    Raises:
        UserError: As in `read`; also for a coloured picture, for a JPEG, and for ids outside 0..65535.
    """
    with _decoding(path) as start:
        if start.startswith(_TIFF):
            values = _read_tiff(path, stored=True)
        else:
            with _opened(path) as image:
                values = _stored_labels(image, path)
            if start.startswith(_PNG) and start[24] in (2, 4) and start[25] == 0:
                values = values // (255 // (2 ** start[24] - 1))  # Pillow spreads them over 0..255
    if values.ndim == 3:
        if (values[..., 1:3] != values[..., :1]).any():
            raise UserError(f"{path}: found colours, expected label ids in one channel; convert the colours to ids")
        values = values[..., 0]
    return _unsigned(values, path)


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of what `read` returns, from the file's header alone.

    Raises:
        UserError: The file is missing, no picture, or its header is damaged.
    """
    with _decoding(path) as start:
        if start.startswith(_TIFF):
            with tifffile.TiffFile(path) as tiff:
                page, axes, shape = _tiff_layout(tiff, path)
                width, height = shape[axes.index("X")], shape[axes.index("Y")]
                sideways = page.tags.valueof("Orientation", 1) in _SIDEWAYS
        else:
            with _opened(path) as image:
                width, height = image.size
                sideways = image.format in _WITH_EXIF and image.getexif().get(0x0112) in _SIDEWAYS
    return (height, width) if sideways else (width, height)


def convert(picture: Picture, channels: int, name: str | Path = "picture") -> Picture:
    """Turn grey into RGB by repeating it, or RGB into grey by ITU-R 601 luma, with the rounding of Pillow's mode "L".

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
    if found == channels:
        return picture
    if (found, channels) == (1, 3):
        return np.repeat(picture, 3, axis=2)
    if (found, channels) == (3, 1):
        # 16-bit fixed point; 65535 * 65536 + 32768 still fits into 32 bits.
        luma = (picture @ np.array([19595, 38470, 7471], np.uint32) + np.uint32(0x8000)) >> np.uint32(16)
        return luma[..., None].astype(picture.dtype)
    raise UserError(f"{name}: found {found} channels, expected {channels}; mend the picture or the settings")


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
        image = _pillow(picture).resize((width, height), Image.Resampling.BILINEAR)
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
            _pillow(picture).save(part, format="PNG", compress_level=1)
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


def _pillow(picture: Picture) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


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


@contextmanager
def _opened(path: Path, formats: tuple[str, ...] = _FORMATS) -> Iterator[Image.Image]:
    """Open a picture with Pillow, its pixels not decoded yet."""
    with Image.open(path, formats=formats) as image:
        _check_size(image.width, image.height, path)
        yield image


def _check_size(width: int, height: int, path: Path) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: found {width}x{height} pixels, expected at most {MAX_PIXELS}; cut it into tiles")


def _read_pillow(image: Image.Image, path: Path) -> Picture:
    if image.mode == "RGB" and _ppm_maxval(image) > 255:
        raise UserError(f"{path}: found a 16-bit PPM, which would be cut to 8 bits; save it as PNG or TIFF instead")
    if image.format in _WITH_EXIF:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _unsigned(np.array(image), path)[..., None]
    image.info.pop("transparency", None)  # else Pillow warns that it drops it
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))[..., None]
    return np.array(image.convert("RGB"))


def _stored_labels(image: Image.Image, path: Path) -> NDArray[Any]:
    """Return (H, W) or (H, W, C) as stored, without alpha."""
    if image.format in ("JPEG", "MPO"):
        raise UserError(f"{path}: found a JPEG, which changes label ids, expected PNG or TIFF; export it again")
    if (maxval := _ppm_maxval(image)) not in (255, 65535):
        raise UserError(f"{path}: found a PGM with maximum {maxval}, expected 255 or 65535; save the labels as PNG")
    values = np.array(image)
    return values[..., 0] if image.mode in ("LA", "PA") else values


def _ppm_maxval(image: Image.Image) -> int:
    """Return the value that a PPM or PGM calls white, to which Pillow rescales; 255 for other files."""
    args = image.tile[0].args if image.format == "PPM" else None  # type: ignore[attr-defined]
    return int(args[1]) if isinstance(args, tuple) and len(args) == 2 else 255


def _read_png16(path: Path, colour_type: int) -> NDArray[np.uint16]:
    """Read a 16-bit PNG in colour or with alpha, which Pillow cuts to 8 bits without a word.

    Pillow keeps the first byte of each sample. Told that the samples are little-endian it keeps the second, and told
    that the four bytes of grey and alpha are one 8-bit RGBA pixel it keeps them all.
    """
    if colour_type == 4:
        grey = _unpacked(path, "RGBA")
        return grey[..., :1] * 256 + grey[..., 1:2]
    mode = "RGB" if colour_type == 2 else "RGBA"
    first, second = (_unpacked(path, f"{mode};16{order}")[..., :3] for order in "BL")
    return first * 256 + second


def _unpacked(path: Path, rawmode: str) -> NDArray[np.uint16]:
    with _opened(path) as image:
        image.tile = [tile._replace(args=rawmode) for tile in image.tile]  # type: ignore[attr-defined]
        return np.asarray(image).astype(np.uint16)


def _shown(values: NDArray[Any], page: Any, path: Path) -> Picture:  # noqa: ANN401 (tifffile has no types)
    """Turn the stored samples of a TIFF into the brightness or colour they stand for."""
    if page.photometric == _PHOTOMETRIC.PALETTE:
        palette: NDArray[np.uint8] = np.asarray(page.colormap.T >> 8, np.uint8)
        return np.asarray(palette[values[..., 0]])
    bits = page.bitspersample
    if bits not in (1, 8, 16) or values.dtype not in (np.bool_, np.uint8, np.uint16):
        raise UserError(f"{path}: found {bits}-bit {values.dtype} samples, expected uint8 or uint16; convert it first")
    shown: Picture = values * np.uint8(255) if bits == 1 else values
    return ~shown if page.photometric == _PHOTOMETRIC.MINISWHITE else shown


def _read_tiff(path: Path, *, stored: bool = False) -> NDArray[Any]:
    """Return the samples of a TIFF, (H, W, C) and upright, as `read` shows them or as they are stored."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _tiff_layout(tiff, path)
        pages = tiff.series[0].pages
        try:
            values = (page if len(pages) == 1 else tiff.series[0]).asarray().reshape(shape)
        except ValueError as error:
            if "COMPRESSION" not in str(error):
                raise
            values = _read_tiff_pillow(path, page, len(pages))
        else:
            values = values.transpose([axes.index(axis) for axis in sorted(axes, key="YXSC".index)])
            values = _upright(values, page.tags.valueof("Orientation", 1))
        values = np.ascontiguousarray(values.reshape(*values.shape[:2], -1), values.dtype.newbyteorder("="))
        return values if stored else _shown(values, page, path)


def _tiff_layout(tiff: Any, path: Path) -> tuple[Any, str, tuple[int, ...]]:  # noqa: ANN401 (tifffile has no types)
    """Return the first page, and the picture's axes and shape: Y, X and at most one of S and C, in the file's order."""
    series = tiff.series[0]
    page = series.pages[0].aspage()
    axes, shape = (page.axes, page.shape) if len(series.pages) == 1 else (series.axes, series.shape)
    kept = [at for at, axis in enumerate(axes) if axis in "YX" or shape[at] > 1]
    axes, shape = "".join(axes[at] for at in kept), tuple(shape[at] for at in kept)
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"], ["C", "X", "Y"]):
        raise UserError(
            f"{path}: found a TIFF with axes {axes} and shape {shape}, expected one picture with axes YX, YXS, SYX or "
            "CYX; write it with tifffile.imwrite(..., photometric='minisblack', planarconfig='contig')"
        )
    _check_size(shape[axes.index("X")], shape[axes.index("Y")], path)
    return page, axes, shape


def _read_tiff_pillow(path: Path, page: Any, pages: int) -> NDArray[Any]:  # noqa: ANN401 (tifffile has no types)
    """Read, upright, a TIFF whose compression (LZW, JPEG, fax) tifffile leaves to the package imagecodecs."""
    if pages > 1 or (page.bitspersample == 16 and page.samplesperpixel > 1):  # Pillow would cut to one page, or 8 bits
        raise UserError(
            f"{path}: found {page.compression.name} compression, which needs a package that is not there, expected "
            "deflate or none; pip install imagecodecs, or save the picture with deflate compression"
        )
    with _opened(path, formats=("TIFF",)) as image:
        values = np.array(image)
    return ~values if page.photometric == _PHOTOMETRIC.MINISWHITE else values  # undo that Pillow shows it already


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation of (H, W) or (H, W, C)."""
    if orientation in _SIDEWAYS:
        values = values.swapaxes(0, 1)
    upside_down, mirrored = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return values[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def _unsigned(values: NDArray[Any], path: Path) -> Picture:
    """Return uint8 and uint16 as they are, bool as uint8, and other integers as uint16 where they fit."""
    if values.dtype in (np.bool_, np.uint8, np.uint16):
        return values.astype(np.uint8) if values.dtype == np.bool_ else np.asarray(values)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
        found = f"{values.dtype} samples from {values.min():g} to {values.max():g}"
        raise UserError(f"{path}: found {found}, expected whole numbers from 0 to 65535; convert it first")
    return values.astype(np.uint16)
