"""Decoders for PNG, JPEG, WebP and TIFF, 8 and 16 bits."""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from p2pbench.errors import UserError
from reports.store.names import counted

Picture = NDArray[np.uint8 | np.uint16]

# Aerial and microscope pictures pass Pillow's limit of 89 million pixels, which is there for servers that decode what
# strangers upload; ours are the user's own files. A limit of our own stays, so that a corrupt header is an error and
# not an attempt to allocate terabytes.
Image.MAX_IMAGE_PIXELS = None
MAX_PIXELS = 2**30

ORIENTATION = 0x0112  # the tag of EXIF and TIFF
_SIDEWAYS = range(5, 9)  # the orientations that swap width and height
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")  # Pillow knows dozens more, some of which start other programs
_ANIMATED = ("PNG", "WEBP")
_PNG = b"\x89PNG\r\n\x1a\n"

TIFF_FIRST_BYTES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF in either byte order
_PHOTOMETRIC, _ALPHA = tifffile.PHOTOMETRIC, tifffile.EXTRASAMPLE
_GREY_OR_RGB = (_PHOTOMETRIC.MINISWHITE, _PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB)
_CONVERTED = {_PHOTOMETRIC.SEPARATED: ("CMYK", 4), _PHOTOMETRIC.YCBCR: ("YCbCr", 3)}  # Pillow's mode, and channels
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it prints what it finds odd in a file


class Header(NamedTuple):
    """Size, channels and depth of a picture, before its pixels are decoded.

    Attributes:
        width: In pixels, when the picture is upright.
        height: As `width`.
        channels: Of the picture as read.
        bits: Per channel.
        alpha: Whether the file has transparency, which is dropped unless it is one of the `channels`.
    """

    width: int
    height: int
    channels: int
    bits: int
    alpha: bool

    @property
    def kind(self) -> str:
        """Depth and colours in words."""
        colours = {1: "grey", 3: "colour"}
        if self.alpha:
            colours = {
                1: "grey less its alpha",
                2: "grey with alpha",
                3: "colour less its alpha",
                4: "colour with alpha",
            }
        if self.channels in colours:
            return f"{self.bits}-bit {colours[self.channels]}"
        return f"{counted(self.channels, 'channel')} of {self.bits} bits"


def read_by_pillow(path: Path, start: bytes) -> Picture:
    """Read a picture (H, W, C), as `pictures.read` describes."""
    with opened(path) as image:
        orientation = _orientation(image, path)
        # Bytes 24 and 25 of a PNG are bit depth and colour type (0 is grey, which Pillow reads in full).
        deep = start.startswith(_PNG) and start[24] == 16 and start[25] != 0
        values = _read_png16(path, start[25]) if deep else _shown(image, path)
    return np.ascontiguousarray(upright(values, orientation))


def read_stored_by_pillow(path: Path, start: bytes) -> NDArray[Any]:
    """Read stored values (H, W) or (H, W, C).

    Palette indices, grey without alpha, or colours with it.
    """
    with opened(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise UserError(f"{path}: found a JPEG, which changes label ids, expected PNG or TIFF; export it again")
        if (maxval := _ppm_maxval(image)) not in (255, 65535):
            raise UserError(f"{path}: found a PGM with maximum {maxval}, expected 255 or 65535; save the labels as PNG")
        orientation = _orientation(image, path)
        if start.startswith(_PNG) and start[24] == 16 and start[25] != 0:
            return upright(_read_png16(path, start[25]), orientation)
        values = np.array(image)
        values = values[..., 0] if image.mode in ("LA", "PA") else values
    if start.startswith(_PNG) and start[24] in (2, 4) and start[25] == 0:
        values = values // (255 // (2 ** start[24] - 1))  # Pillow spreads them over 0..255
    return upright(values, orientation)


def read_pillow_header(path: Path, start: bytes) -> Header:
    """Read size, channels and depth from the header alone."""
    with opened(path) as image:
        width, height = upright_size(image.width, image.height, _orientation(image, path))
        is_png = start.startswith(_PNG)  # whose 16-bit grey with alpha Pillow calls RGBA
        one = start[25] in (0, 4) if is_png else image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
        deep = image.mode.startswith("I") or (is_png and start[24] == 16)
        return Header(width, height, 1 if one else 3, 16 if deep else 8, bool(image.has_transparency_data))


def upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation, 1 to 8, of (H, W) or (H, W, C)."""
    if orientation in _SIDEWAYS:
        values = values.swapaxes(0, 1)
    upside_down, mirrored = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return values[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) of what `upright` returns."""
    return (height, width) if orientation in _SIDEWAYS else (width, height)


@contextmanager
def opened(path: Path, formats: tuple[str, ...] = _FORMATS) -> Iterator[Image.Image]:
    """Open a picture with Pillow, its pixels not decoded yet.

    `formats` are those it may have, in Pillow's words.

    Raises:
        UserError: It has too many pixels, or is an animation. (A camera's JPEG may hold a preview, or a second view.)
    """
    with Image.open(path, formats=formats) as image:
        check_size(image.width, image.height, path)
        frames = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
        if frames > 1:
            raise UserError(
                f"{path}: found an animation of {frames} frames, expected one picture; save the frame that is meant as "
                "a file of its own"
            )
        yield image


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a picture of more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: found {width}x{height} pixels, expected at most {MAX_PIXELS}; cut it into tiles")


def unsigned(values: NDArray[Any], path: Path) -> Picture:
    """Convert integers to uint8 or uint16.

    These two stay as they are, bool becomes uint8, and others become uint16 where they fit.
    """
    if values.dtype in (np.bool_, np.uint8, np.uint16):
        return values.astype(np.uint8) if values.dtype == np.bool_ else np.asarray(values)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
        found = f"{values.dtype} samples from {values.min():g} to {values.max():g}"
        raise UserError(f"{path}: found {found}, expected whole numbers from 0 to 65535; convert it first")
    return values.astype(np.uint16)


def as_image(picture: Picture) -> Image.Image:
    """Convert a picture to an image of Pillow's.

    Pillow holds 8-bit grey and RGB and 16-bit grey.
    """
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def _orientation(image: Image.Image, path: Path) -> int:
    """Return the EXIF orientation, 1 where there is none, without decoding pixels."""
    exif = Image.Image.getexif(image)  # not a PNG's own way, which decodes the pixels to see what follows them
    if image.format == "PNG" and ORIENTATION not in exif:
        exif.load(_png_exif(path))
    orientation: int = exif.get(ORIENTATION, 1)
    return orientation


def _png_exif(path: Path) -> bytes:
    """Return the EXIF of a PNG wherever it stands in the file.

    It may follow the pixels.
    """
    with path.open("rb") as file:
        file.seek(len(_PNG))
        while len(chunk := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", chunk)
            if kind == b"eXIf":
                return file.read(length)
            file.seek(length + 4, 1)  # the chunk and its checksum
    return b""


def _shown(image: Image.Image, path: Path) -> Picture:
    if image.mode == "RGB" and _ppm_maxval(image) > 255:
        raise UserError(f"{path}: found a 16-bit PPM, which would be cut to 8 bits; save it as PNG or TIFF instead")
    if image.mode.startswith("I") or image.mode == "F":
        return unsigned(np.array(image), path)[..., None]
    image.info.pop("transparency", None)  # else Pillow warns that it drops it
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))[..., None]
    return np.array(image.convert("RGB"))


def _ppm_maxval(image: Image.Image) -> int:
    """Return the value that a PPM or PGM calls white, to which Pillow rescales; 255 for other files."""
    args = image.tile[0].args if image.format == "PPM" else None  # type: ignore[attr-defined]
    return int(args[1]) if isinstance(args, tuple) and len(args) == 2 else 255


def _read_png16(path: Path, colour_type: int) -> NDArray[np.uint16]:
    """Read a 16-bit PNG in colour or with alpha, which Pillow cuts to 8 bits without a word.

    Pillow keeps the first byte of each sample. Given the samples as little-endian it keeps the second, and given the
    four bytes of grey and alpha as one 8-bit RGBA pixel it keeps them all.
    """
    if colour_type == 4:
        grey = _unpacked(path, "RGBA")
        return grey[..., :1] * 256 + grey[..., 1:2]
    mode = "RGB" if colour_type == 2 else "RGBA"
    first, second = (_unpacked(path, f"{mode};16{order}")[..., :3] for order in "BL")
    return first * 256 + second


def _unpacked(path: Path, rawmode: str) -> NDArray[np.uint16]:
    with opened(path) as image:
        image.tile = [tile._replace(args=rawmode) for tile in image.tile]  # type: ignore[attr-defined]
        return np.asarray(image).astype(np.uint16)


def read_tiff(path: Path, *, stored: bool = False) -> NDArray[Any]:
    """Read the samples (H, W, C) of a TIFF, upright.

    As brightness and colour, or as they are stored.
    """
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        pages, by_pillow = tiff.series[0].pages, False
        try:
            values = (page if len(pages) == 1 else tiff.series[0]).asarray().reshape(shape)
        except ValueError as error:
            if "COMPRESSION" not in str(error):
                raise
            values, by_pillow = _read_tiff_by_pillow(path, page, len(pages)), True
        else:
            values = values.transpose([axes.index(axis) for axis in sorted(axes, key="YXSC".index)])
            values = upright(values, page.tags.valueof("Orientation", 1))
        values = np.ascontiguousarray(values.reshape(*values.shape[:2], -1), values.dtype.newbyteorder("="))
        # Pillow has YCbCr turned to RGB by the library that decodes it, but not CMYK.
        done = stored or (by_pillow and page.photometric == _PHOTOMETRIC.YCBCR)
        return values if done else _shown_page(values, page, path)


def read_tiff_header(path: Path) -> Header:
    """Read size, channels and depth from the header alone."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        width, height = (shape[axes.index(axis)] for axis in "XY")
        channels = next((size for axis, size in zip(axes, shape, strict=True) if axis in "SC"), 1)
        in_colour = page.photometric == _PHOTOMETRIC.PALETTE or page.photometric in _CONVERTED
        bits = 8 if page.photometric == _PHOTOMETRIC.PALETTE else max(8, page.bitspersample)
        turned = upright_size(width, height, page.tags.valueof("Orientation", 1))
        return Header(*turned, 3 if in_colour else channels, bits, _has_alpha(page))


def _layout(tiff: Any, path: Path) -> tuple[Any, str, tuple[int, ...]]:  # noqa: ANN401 (tifffile has no types)
    """Return the first page, and the picture's axes and shape.

    Axes are Y, X and at most one of S and C, in the file's order.
    """
    series = tiff.series[0]
    page = series.pages[0].aspage()
    axes, shape = (page.axes, page.shape) if len(series.pages) == 1 else (series.axes, series.shape)
    kept = [at for at, axis in enumerate(axes) if axis in "YX" or shape[at] > 1]
    axes, shape = "".join(axes[at] for at in kept), tuple(shape[at] for at in kept)
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"], ["C", "X", "Y"]):
        if len(series.pages) > 1:
            raise _pages(path, len(series.pages))
        raise UserError(
            f"{path}: found a TIFF with axes {axes} and shape {shape}, expected one picture with axes YX, YXS, SYX or "
            "CYX; write it with tifffile.imwrite(..., photometric='minisblack', planarconfig='contig')"
        )
    alike = sum(other.shape == series.shape for other in tiff.series)  # others may be thumbnails
    if alike > 1:
        raise _pages(path, alike)
    check_size(shape[axes.index("X")], shape[axes.index("Y")], path)
    return page, axes, shape


def _pages(path: Path, count: int) -> UserError:
    return UserError(
        f"{path}: found {count} pages, expected one picture; save each page as a file of its own (by ImageMagick: "
        "magick FILE.tif FILE-%d.tif), or, where they are channels of one picture, write it with axes CYX"
    )


def _read_tiff_by_pillow(path: Path, page: Any, pages: int) -> NDArray[Any]:  # noqa: ANN401 (tifffile has no types)
    """Read, upright, a TIFF whose compression (LZW, JPEG, fax) tifffile leaves to the package imagecodecs."""
    # Pillow would cut to one page, to 8 bits, or to three channels where it takes the fourth for padding.
    padded = page.photometric == _PHOTOMETRIC.RGB and page.samplesperpixel == 4 and not _has_alpha(page)
    if pages > 1 or (page.bitspersample == 16 and page.samplesperpixel > 1) or padded:
        raise UserError(
            f"{path}: found {page.compression.name} compression, which needs a package that is not there, expected "
            "deflate or none; pip install imagecodecs, or save the picture with deflate compression"
        )
    with opened(path, formats=("TIFF",)) as image:
        values = np.array(image)
    return ~values if page.photometric == _PHOTOMETRIC.MINISWHITE else values  # undo that Pillow shows it already


def _has_alpha(page: Any) -> bool:  # noqa: ANN401 (tifffile has no types)
    return page.photometric in _GREY_OR_RGB and page.extrasamples in ((_ALPHA.ASSOCALPHA,), (_ALPHA.UNASSALPHA,))


def _shown_page(values: NDArray[Any], page: Any, path: Path) -> Picture:  # noqa: ANN401 (tifffile has no types)
    """Turn the stored samples of a TIFF into the brightness or colour they stand for."""
    if page.photometric == _PHOTOMETRIC.PALETTE:
        palette: NDArray[np.uint8] = np.asarray(page.colormap.T >> 8, np.uint8)
        return np.asarray(palette[values[..., 0]])
    bits = page.bitspersample
    if bits not in (1, 8, 16) or values.dtype not in (np.bool_, np.uint8, np.uint16):
        raise UserError(f"{path}: found {bits}-bit {values.dtype} samples, expected uint8 or uint16; convert it first")
    if page.photometric in _CONVERTED:
        mode, channels = _CONVERTED[page.photometric]
        if bits != 8 or values.shape[2] != channels:
            found = f"{bits}-bit {mode} of {values.shape[2]} channels"
            raise UserError(f"{path}: found a TIFF of {found}, expected 8-bit {mode} or RGB; save it as RGB")
        stored = Image.frombytes(mode, values.shape[1::-1], values.tobytes())
        return np.array(stored.convert("RGB"))
    if page.photometric not in _GREY_OR_RGB:
        found = getattr(page.photometric, "name", page.photometric)
        raise UserError(f"{path}: found a TIFF of {found} colours, expected grey, RGB or CMYK; save it as RGB")
    shown: Picture = values * np.uint8(255) if bits == 1 else values
    if _has_alpha(page) and page.extrasamples == (_ALPHA.ASSOCALPHA,):
        shown = _divided_by_alpha(shown)
    return ~shown if page.photometric == _PHOTOMETRIC.MINISWHITE else shown


def _divided_by_alpha(values: Picture) -> Picture:
    """Undo that colours were multiplied by the last channel, alpha; where it is 0 they stay."""
    most = np.iinfo(values.dtype).max
    alpha = values[..., -1:].astype(np.float64)
    whole = np.divide(values[..., :-1] * float(most), alpha, out=values[..., :-1].astype(np.float64), where=alpha > 0)
    return np.concatenate([np.rint(whole).clip(0, most).astype(values.dtype), values[..., -1:]], axis=2)
