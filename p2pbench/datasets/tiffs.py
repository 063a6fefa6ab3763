"""TIFF and BigTIFF: channels in any order and number, grey, palettes, both byte orders, with tifffile.

tifffile leaves LZW, JPEG and fax compression to the package imagecodecs; without it Pillow reads them, where it can.
What is refused is a UserError; what the two raise on damaged files passes through.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from p2pbench.datasets.pillow_files import SIDEWAYS, Picture, check_size, opened
from p2pbench.errors import UserError

FIRST_BYTES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF in either byte order

_PHOTOMETRIC = tifffile.PHOTOMETRIC


def read(path: Path, *, stored: bool = False) -> NDArray[Any]:
    """Return the samples of a TIFF, (H, W, C) and upright, as `pictures.read` shows them or as they are stored."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        pages = tiff.series[0].pages
        try:
            values = (page if len(pages) == 1 else tiff.series[0]).asarray().reshape(shape)
        except ValueError as error:
            if "COMPRESSION" not in str(error):
                raise
            values = _read_with_pillow(path, page, len(pages))
        else:
            values = values.transpose([axes.index(axis) for axis in sorted(axes, key="YXSC".index)])
            values = _upright(values, page.tags.valueof("Orientation", 1))
        values = np.ascontiguousarray(values.reshape(*values.shape[:2], -1), values.dtype.newbyteorder("="))
        return values if stored else _shown(values, page, path)


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) of what `read` returns, from the header alone."""
    with tifffile.TiffFile(path) as tiff:
        page, axes, shape = _layout(tiff, path)
        width, height = shape[axes.index("X")], shape[axes.index("Y")]
        sideways = page.tags.valueof("Orientation", 1) in SIDEWAYS
    return (height, width) if sideways else (width, height)


def _layout(tiff: Any, path: Path) -> tuple[Any, str, tuple[int, ...]]:  # noqa: ANN401 (tifffile has no types)
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
    check_size(shape[axes.index("X")], shape[axes.index("Y")], path)
    return page, axes, shape


def _read_with_pillow(path: Path, page: Any, pages: int) -> NDArray[Any]:  # noqa: ANN401 (tifffile has no types)
    """Read, upright, a TIFF whose compression (LZW, JPEG, fax) tifffile leaves to the package imagecodecs."""
    if pages > 1 or (page.bitspersample == 16 and page.samplesperpixel > 1):  # Pillow would cut to one page, or 8 bits
        raise UserError(
            f"{path}: found {page.compression.name} compression, which needs a package that is not there, expected "
            "deflate or none; pip install imagecodecs, or save the picture with deflate compression"
        )
    with opened(path, formats=("TIFF",)) as image:
        values = np.array(image)
    return ~values if page.photometric == _PHOTOMETRIC.MINISWHITE else values  # undo that Pillow shows it already


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation of (H, W) or (H, W, C)."""
    if orientation in SIDEWAYS:
        values = values.swapaxes(0, 1)
    upside_down, mirrored = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return values[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


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
