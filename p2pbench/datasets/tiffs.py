"""TIFF and BigTIFF: channels in any order and number, grey, palettes, both byte orders, with tifffile.

tifffile leaves LZW, JPEG and fax compression to the package imagecodecs; without it Pillow reads them, where it can.
What is refused is a UserError; what the two raise on damaged files passes through.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets.pillow_files import (
    Header,
    Picture,
    check_size,
    opened,
    upright,
    upright_size,
)
from p2pbench.errors import UserError

FIRST_BYTES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF in either byte order

_PHOTOMETRIC, _ALPHA = tifffile.PHOTOMETRIC, tifffile.EXTRASAMPLE
_GREY_OR_RGB = (_PHOTOMETRIC.MINISWHITE, _PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB)
_CONVERTED = {_PHOTOMETRIC.SEPARATED: ("CMYK", 4), _PHOTOMETRIC.YCBCR: ("YCbCr", 3)}  # Pillow's mode, and channels

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it prints what it finds odd in a file


def read(path: Path, *, stored: bool = False) -> NDArray[Any]:
    """Return the samples of a TIFF, (H, W, C) and upright, as `pictures.read` shows them or as they are stored."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        pages, by_pillow = tiff.series[0].pages, False
        try:
            values = (page if len(pages) == 1 else tiff.series[0]).asarray().reshape(shape)
        except ValueError as error:
            if "COMPRESSION" not in str(error):
                raise
            values, by_pillow = _read_with_pillow(path, page, len(pages)), True
        else:
            values = values.transpose([axes.index(axis) for axis in sorted(axes, key="YXSC".index)])
            values = upright(values, page.tags.valueof("Orientation", 1))
        values = np.ascontiguousarray(values.reshape(*values.shape[:2], -1), values.dtype.newbyteorder("="))
        # Pillow has YCbCr turned to RGB by the library that decodes it, but not CMYK.
        done = stored or (by_pillow and page.photometric == _PHOTOMETRIC.YCBCR)
        return values if done else _shown(values, page, path)


def header(path: Path) -> Header:
    """Return what `read` would, from the header alone."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        width, height = (shape[axes.index(axis)] for axis in "XY")
        channels = next((size for axis, size in zip(axes, shape, strict=True) if axis in "SC"), 1)
        in_colour = page.photometric == _PHOTOMETRIC.PALETTE or page.photometric in _CONVERTED
        bits = 8 if page.photometric == _PHOTOMETRIC.PALETTE else max(8, page.bitspersample)
        turned = upright_size(width, height, page.tags.valueof("Orientation", 1))
        return Header(*turned, 3 if in_colour else channels, bits, _has_alpha(page))


def _layout(tiff: Any, path: Path) -> tuple[Any, str, tuple[int, ...]]:  # noqa: ANN401 (tifffile has no types)
    """Return the first page, and the picture's axes and shape: Y, X and at most one of S and C, in the file's order."""
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


def _read_with_pillow(path: Path, page: Any, pages: int) -> NDArray[Any]:  # noqa: ANN401 (tifffile has no types)
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


def _shown(values: NDArray[Any], page: Any, path: Path) -> Picture:  # noqa: ANN401 (tifffile has no types)
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
