"""Colours, alpha and orientation: each kind of file against Pillow, tifffile or values by hand, and its header too."""

from __future__ import annotations

import logging
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from amt import study_pictures as study_pictures
from amt.errors import AmtError
from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from reports.store import picture as report_pictures
from reports.store.errors import ReportError

COLOURS = np.zeros((16, 24, 3), np.uint8)
COLOURS[:8, :8], COLOURS[:8, 8:], COLOURS[8:, :8], COLOURS[8:, 8:] = (200, 30, 40), (20, 180, 60), (30, 60, 220), 90
IMAGE = Image.fromarray(COLOURS)
ALPHA = np.repeat(np.array([[128, 255]], np.uint8), 12, axis=1).repeat(16, axis=0)


def with_alpha() -> Image.Image:
    image = IMAGE.convert("RGBA")
    image.putalpha(Image.fromarray(ALPHA))
    return image


def read(path: Path) -> NDArray[Any]:
    """What is read, after its header said the same."""
    found = pictures.read(path)
    header = pictures.header(path)
    assert (header.height, header.width, header.channels) == found.shape
    assert header.bits == 8 * found.itemsize
    assert found.flags.writeable
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
@pytest.mark.parametrize("deep", [False, True])
def test_png_is_turned_upright(tmp_path: Path, orientation: int, place: str, deep: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = COLOURS[..., 0].astype(np.uint16) * 257
    (Image.fromarray(grey) if deep else IMAGE).save(tmp_path / "a.png", exif=exif)
    if place == "after the pixels":
        content = (tmp_path / "a.png").read_bytes()
        start = content.index(b"eXIf") - 4
        length = 12 + struct.unpack(">I", content[start : start + 4])[0]
        chunk, rest = content[start : start + length], content[:start] + content[start + length :]
        (tmp_path / "a.png").write_bytes(rest[:-12] + chunk + rest[-12:])
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read(tmp_path / "a.png").squeeze(), expected)
    if deep:
        assert np.array_equal(pictures.read_labels(tmp_path / "a.png"), expected)


def test_png_of_16_bit_colours_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    deep = (COLOURS.astype(np.uint16) * 257).astype(">u2").tobytes()
    rows = b"".join(b"\0" + deep[i : i + 24 * 6] for i in range(0, len(deep), 24 * 6))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 24, 16, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    encoded = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + encoded[0] + chunk + b"".join(encoded[1:]))
    assert np.array_equal(read(tmp_path / "a.png"), np.rot90(COLOURS.astype(np.uint16) * 257, -1))


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("cmyk.jpg", lambda path: IMAGE.convert("CMYK").save(path, quality=95)),
        ("cmyk.tif", lambda path: IMAGE.convert("CMYK").save(path)),
        ("cmyk.tif", lambda path: IMAGE.convert("CMYK").save(path, compression="tiff_lzw")),
        ("cmyk.tif", lambda path: IMAGE.convert("CMYK").save(path, compression="tiff_adobe_deflate")),
        ("ycbcr.tif", lambda path: IMAGE.convert("YCbCr").save(path)),
        ("ycbcr.tif", lambda path: IMAGE.convert("YCbCr").save(path, compression="jpeg")),
        ("ycbcr.tif", lambda path: tifffile.imwrite(path, np.asarray(IMAGE.convert("YCbCr")), photometric="ycbcr")),
        ("rgb.jfif", lambda path: IMAGE.save(path, format="JPEG", quality=95, subsampling=0)),
    ],
)
def test_colours_of_other_models_are_those_that_pillow_shows(
    tmp_path: Path, name: str, save: Callable[[Path], None]
) -> None:
    save(tmp_path / name)
    found = read(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert np.array_equal(found, np.asarray(image.convert("RGB")))
    assert np.abs(found.astype(int) - COLOURS).mean() < 6
    assert pictures.header(tmp_path / name).kind == "8-bit colour"


@pytest.mark.parametrize(
    ("photometric", "dtype", "channels", "message"),
    [
        ("cielab", np.uint8, 3, "found a TIFF of CIELAB colours, expected grey, RGB or CMYK; save it as RGB"),
        ("icclab", np.uint8, 3, "found a TIFF of ICCLAB colours"),
        ("itulab", np.uint8, 3, "found a TIFF of ITULAB colours"),
        ("cielab", np.uint16, 3, "found a TIFF of CIELAB colours"),
        ("separated", np.uint16, 4, "found a TIFF of 16-bit CMYK of 4 channels, expected 8-bit CMYK or RGB"),
        ("separated", np.uint8, 5, "found a TIFF of 8-bit CMYK of 5 channels"),
    ],
)
def test_other_colours_are_refused(tmp_path: Path, photometric: str, dtype: type, channels: int, message: str) -> None:
    values: NDArray[Any] = np.zeros((6, 7, channels), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, planarconfig="contig")
    with pytest.raises(UserError, match=rf"a\.tif: {message}"):
        pictures.read(tmp_path / "a.tif")


def test_alpha_is_dropped_but_from_tiff(tmp_path: Path) -> None:
    with_alpha().save(tmp_path / "a.png")
    with_alpha().save(tmp_path / "a.webp", lossless=True, exact=True)
    IMAGE.quantize(4).save(tmp_path / "palette.png", transparency=0)
    for name in ("a.png", "a.webp", "palette.png"):
        assert np.array_equal(read(tmp_path / name), COLOURS)
        assert pictures.header(tmp_path / name).kind == "8-bit colour less its alpha"
    with_alpha().convert("LA").save(tmp_path / "grey.png")
    assert np.array_equal(read(tmp_path / "grey.png")[..., 0], np.asarray(IMAGE.convert("L")))
    assert pictures.header(tmp_path / "grey.png").kind == "8-bit grey less its alpha"
    for options in ({}, {"compression": "tiff_lzw"}):
        with_alpha().save(tmp_path / "a.tif", **options)
        assert np.array_equal(read(tmp_path / "a.tif"), np.dstack([COLOURS, ALPHA]))
        assert pictures.header(tmp_path / "a.tif").kind == "8-bit colour with alpha"
    bands = np.dstack([COLOURS, ALPHA])
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="minisblack", planarconfig="contig")
    assert pictures.header(tmp_path / "bands.tif").kind == "4 channels of 8 bits"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_that_was_multiplied_into_the_colours_is_undone(tmp_path: Path, dtype: type) -> None:
    scale = np.iinfo(dtype).max // 255
    whole, alpha = COLOURS.astype(np.uint64) * scale, ALPHA.astype(np.uint64)[..., None] * scale
    alpha[0, 0] = 0
    multiplied = np.rint(whole * alpha / np.iinfo(dtype).max)
    stored: NDArray[Any] = np.dstack([multiplied, alpha]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    found = read(tmp_path / "a.tif").astype(int)
    assert np.array_equal(found[..., 3:], alpha)
    assert np.abs(found[..., :3] - whole.astype(int))[alpha[..., 0] > 0].max() <= 1
    assert found[0, 0].tolist() == [0, 0, 0, 0]
    if dtype == np.uint8:
        with Image.open(tmp_path / "a.tif") as image:
            assert np.abs(np.asarray(image).astype(int) - found).max() <= 1


def test_one_bit_and_palette_headers(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[..., 0] > 100).save(tmp_path / "a.png")
    Image.fromarray(COLOURS[..., 0] > 100).save(tmp_path / "a.tif")
    IMAGE.quantize(4).save(tmp_path / "p.tif")
    assert read(tmp_path / "a.png").shape == read(tmp_path / "a.tif").shape == (16, 24, 1)
    assert np.array_equal(read(tmp_path / "p.tif"), COLOURS)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("compression", [None, "zlib", "lzma", "tiff_lzw", "jpeg"])
def test_whatever_a_tiff_decoder_raises_is_a_damaged_file(
    tmp_path: Path, compression: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """By every package that reads pictures; damage is drawn from a seed, at the header, the tags and the pixels."""
    caplog.set_level(logging.CRITICAL, "tifffile")
    path, rng = tmp_path / "a.tif", np.random.default_rng(0)
    picture = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    if compression in ("tiff_lzw", "jpeg"):
        Image.fromarray(picture).save(path, compression=compression)
    else:
        tifffile.imwrite(path, picture, compression=compression)
    whole, complaints = path.read_bytes(), []
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3) if rng.random() < 0.5 else rng.integers(0, 250, 2):
            content[place] = rng.integers(256)
        path.write_bytes(content[: rng.integers(1, len(content))] if rng.random() < 0.2 else content)
        for read_, refused in (
            (pictures.read, UserError),
            (pictures.read_labels, UserError),
            (pictures.header, UserError),
            (lambda path: study_pictures.read(path, 8, 8), AmtError),
            (report_pictures.load, ReportError),
        ):
            try:
                read_(path)
            except refused as error:
                complaints.append(str(error))
    assert len(complaints) > 60
    assert all(str(path) in complaint and "\n" not in complaint for complaint in complaints)


def test_damaged_lzma_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, compression="lzma")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    start = content.index(lzma.compress(b"")[:6])  # the magic number of the format
    content[start : start + 20] = bytes(20)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tif: found no picture that can be decoded"):
        pictures.read(tmp_path / "a.tif")
    with pytest.raises(ReportError, match=r"a\.tif: found no picture"):
        report_pictures.load(tmp_path / "a.tif")
