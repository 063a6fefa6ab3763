"""What a header says is what is read, for every mode and depth of every format that can be written here."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from tests.p2pbench.png_files import KINDS, write_png

MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La")
DEEP = ("I;16", "I;16L", "I;16B")
FORMATS = {"PNG": "png", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp", "JPEG": "jpg", "PPM": "ppm"}
COMPRESSIONS = ("", "tiff_lzw", "tiff_adobe_deflate", "group4", "jpeg", "packbits")
SHAPES = ((6, 8), (6, 8, 1), (6, 8, 2), (6, 8, 3), (6, 8, 4), (6, 8, 5), (3, 6, 8), (4, 6, 8))
PHOTOMETRICS = ("minisblack", "miniswhite", "rgb", "palette", "separated", "ycbcr")


def png_files(folder: Path) -> Iterator[Path]:
    for (colour, bits), transparent in itertools.product(KINDS, (False, True)):
        if not transparent or colour in (0, 2, 3):
            path = folder / f"{colour}-{bits}-{transparent}.png"
            write_png(path, bits, colour, transparent=transparent)
            yield path


def pillow_files(folder: Path, format_: str) -> Iterator[Path]:
    """All that Pillow writes in a format; it refuses the modes that the format has not."""
    for mode, compression in itertools.product((*MODES, *DEEP), COMPRESSIONS if format_ == "TIFF" else ("",)):
        path = folder / f"{mode.replace(';', '')}-{compression}.{FORMATS[format_]}"
        with suppress(OSError, ValueError, KeyError):
            Image.new(mode, (8, 6)).save(path, format=format_, **({"compression": compression} if compression else {}))
            yield path


def tiff_files(folder: Path) -> Iterator[Path]:
    """All that tifffile writes of these samples and layouts."""
    kinds = itertools.product(
        ("bool", "uint8", "uint16"), SHAPES, PHOTOMETRICS, ("contig", "separate"), ("", "assocalpha", "unassalpha")
    )
    for place, (dtype, shape, photometric, planar, alpha) in enumerate(kinds):
        path = folder / f"{place}-{dtype}-{photometric}-{planar}-{alpha}.tif"
        options: dict[str, Any] = {"extrasamples": [alpha]} if alpha else {}
        if photometric == "palette":
            options["colormap"] = np.zeros((3, 256 if dtype == "uint8" else 65536), np.uint16)
        values: NDArray[Any] = np.ones(shape, dtype)
        with suppress(ValueError, TypeError, IndexError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tifffile.imwrite(path, values, photometric=photometric, planarconfig=planar, **options)
            yield path


@pytest.mark.parametrize(
    ("files", "fewest"),
    [
        (png_files, 26),
        *((lambda folder, each=each: pillow_files(folder, each), 1) for each in FORMATS),
        (tiff_files, 100),
    ],
    ids=["every PNG", *FORMATS, "every TIFF"],
)
def test_headers_say_what_is_read(tmp_path: Path, files: Any, fewest: int) -> None:  # noqa: ANN401 (a function)
    """Files that are refused when they are read need no right header; whoever reads them hears of it."""
    differing, right = [], 0
    for path in files(tmp_path):
        try:
            found = pictures.read(path)
        except UserError:
            continue
        header = pictures.header(path)
        if (header.height, header.width, header.channels, header.bits) == (*found.shape, 8 * found.itemsize):
            right += 1
        else:
            differing.append(f"{path.name}: {header} of {found.shape} {found.dtype}")
    assert differing == []
    assert right >= fewest


def test_a_fourth_channel_without_a_meaning_is_not_lost_by_compression(tmp_path: Path) -> None:
    values = np.arange(6 * 8 * 4, dtype=np.uint8).reshape(6, 8, 4)
    image = Image.frombytes("RGBX", (8, 6), values.tobytes())
    image.save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    assert np.array_equal(pictures.read(tmp_path / "a.tif"), values)
    image.save(tmp_path / "b.tif", compression="tiff_lzw")
    with pytest.raises(UserError, match=r"b\.tif: found LZW compression, .* save the picture with deflate"):
        pictures.read(tmp_path / "b.tif")


def test_a_device_is_not_read_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        for read in (pictures.read, pictures.read_labels, pictures.header):
            with pytest.raises(UserError, match=rf"{name}: found a pipe or a device, expected a picture"):
                read(tmp_path / name)
