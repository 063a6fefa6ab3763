"""Pictures: each kind of file is made by hand or by another library, and read back to the values put in."""

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from p2pbench.datasets import pictures, transforms
from p2pbench.errors import UserError
from reports.store.errors import ReportError

Array = NDArray[Any]


def noise(*shape: int, dtype: type = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png_bytes(picture: Array, colour_type: int, bits: int, palette: bytes = b"") -> bytes:
    """Encode a PNG by hand; the second row uses the filter Up and the third Sub, so that both must be undone.

    picture: (H, W, C) of whole bytes a pixel.
    """
    height, width, channels = picture.shape
    rows = picture.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1).view(np.uint8)
    step = channels * bits // 8
    left = np.hstack([np.zeros((height, step), np.uint8), rows[:, :-step]])
    filtered = [b"\0" + rows[0].tobytes(), b"\2" + (rows[1] - rows[0]).tobytes(), b"\1" + (rows[2] - left[2]).tobytes()]
    filtered += [b"\0" + row.tobytes() for row in rows[3:]]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return png_file(header, zlib.compress(b"".join(filtered)), palette)


def png_file(header: bytes, pixels: bytes, palette: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    plte = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + plte + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def same(found: Array, expected: Array) -> bool:
    alike = found.dtype == expected.dtype and found.shape == expected.shape
    return alike and found.flags.writeable and bool((found == expected).all())


@pytest.mark.parametrize(
    ("colour_type", "stored", "kept"), [(0, 1, 1), (2, 3, 3), (4, 2, 1), (6, 4, 3)], ids=["grey", "rgb", "la", "rgba"]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_png_keeps_its_depth_and_drops_alpha(
    tmp_path: Path, colour_type: int, stored: int, kept: int, bits: int
) -> None:
    picture = noise(5, 7, stored, dtype=np.uint16 if bits == 16 else np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(picture, colour_type, bits))
    assert same(pictures.read(path), picture[..., :kept])
    assert pictures.header(path)[:2] == (7, 5)


def test_palette_becomes_rgb_and_keeps_its_indices_as_labels(tmp_path: Path) -> None:
    indices = noise(5, 7) % 3
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    colours = np.array([[255, 0, 0], [0, 128, 0], [1, 2, 3]], np.uint8)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=b"\x00\x80\xff")  # of which Pillow warns when it is dropped
    image.save(tmp_path / "a.tif")
    for name in ("plain.png", "clear.png", "a.tif"):
        assert same(pictures.read(tmp_path / name), colours[indices])
        assert same(pictures.read_labels(tmp_path / name), indices)


def test_one_bit_pictures_are_black_and_white_and_their_labels_0_and_1(tmp_path: Path) -> None:
    bits = noise(9, 11) > 127
    black_and_white = np.where(bits, 255, 0).astype(np.uint8)
    Image.fromarray(bits).save(tmp_path / "a.png")
    Image.fromarray(bits).save(tmp_path / "fax.tif", compression="group4")
    tifffile.imwrite(tmp_path / "white_is_zero.tif", bits)  # True is stored as 1, and 0 declared to be white
    for name, shown in [
        ("a.png", black_and_white),
        ("fax.tif", black_and_white),
        ("white_is_zero.tif", ~black_and_white),
    ]:
        assert same(pictures.read(tmp_path / name)[..., 0], shown)
        assert same(pictures.read_labels(tmp_path / name), bits.astype(np.uint8))


@pytest.mark.parametrize(("bits", "row"), [(2, b"\x1b\xe4"), (4, b"\x01\x23\x45\x67")])
def test_labels_of_less_than_8_bits_are_not_stretched(tmp_path: Path, bits: int, row: bytes) -> None:
    ids = np.array([[0, 1, 2, 3, 3, 2, 1, 0] if bits == 2 else [0, 1, 2, 3, 4, 5, 6, 7]], np.uint8)
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png_file(header, zlib.compress(b"\0" + row)))
    assert same(pictures.read_labels(tmp_path / "a.png"), ids)
    assert same(pictures.read(tmp_path / "a.png")[..., 0], ids * (85 if bits == 2 else 17))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".ppm"])
def test_lossless_rgb(tmp_path: Path, suffix: str) -> None:
    picture = noise(5, 7, 3)
    Image.fromarray(picture).save(tmp_path / f"a{suffix}", lossless=True)  # which only WebP heeds
    assert same(pictures.read(tmp_path / f"a{suffix}"), picture)


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    picture = noise(5, 7, 3)
    Image.fromarray(picture).save(tmp_path / "a.jpg", format="PNG")
    tifffile.imwrite(tmp_path / "b.png", picture)
    assert same(pictures.read(tmp_path / "a.jpg"), picture)
    assert same(pictures.read(tmp_path / "b.png"), picture)


def test_16_bit_pgm(tmp_path: Path) -> None:
    picture = noise(5, 7, dtype=np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 7 5 65535\n" + picture.astype(">u2").tobytes())
    assert same(pictures.read(tmp_path / "a.pgm"), picture[..., None])
    assert same(pictures.read_labels(tmp_path / "a.pgm"), picture)


def test_files_that_pillow_would_rescale_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 33\n\x00\x21")
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 65535\n" + bytes(6))
    with pytest.raises(UserError, match="maximum 33, expected 255 or 65535"):
        pictures.read_labels(tmp_path / "a.pgm")
    with pytest.raises(UserError, match="16-bit PPM"):
        pictures.read(tmp_path / "a.ppm")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_any_channels(tmp_path: Path, dtype: type, channels: int, compression: str | None) -> None:
    picture = noise(6, 7, channels, dtype=dtype)
    path = tmp_path / "a.tif"
    planes = np.moveaxis(picture, 2, 0)
    stored = picture if channels > 1 else picture[..., 0]
    options: dict[str, Any] = {"photometric": "minisblack", "compression": compression}
    layouts: list[tuple[Array, dict[str, Any]]] = [
        (stored, {"planarconfig": "contig" if channels > 1 else None, "metadata": None}),
        (planes if channels > 1 else stored, {"planarconfig": "separate" if channels > 1 else None}),
        (planes, {"metadata": {"axes": "CYX"}}),
        (planes, {"metadata": {"axes": "CYX"}, "ome": True}),
        (stored, {"metadata": None, "planarconfig": "contig" if channels > 1 else None, "byteorder": ">"}),
    ]
    for data, layout in layouts:
        tifffile.imwrite(path, data, **options, **layout)
        assert same(pictures.read(path), picture), layout
        assert pictures.header(path)[:2] == (7, 6)


def test_an_imagej_stack_of_channels(tmp_path: Path) -> None:
    picture = noise(5, 6, 7, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", picture, imagej=True, metadata={"axes": "CYX"})
    assert same(pictures.read(tmp_path / "a.tif"), np.moveaxis(picture, 0, 2))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_lzw_tiff_is_read_without_imagecodecs(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(noise(6, 7, 3)).convert(mode)
    image.save(tmp_path / "a.tif", compression="tiff_lzw")
    assert same(pictures.read(tmp_path / "a.tif"), np.asarray(image).reshape(6, 7, channels))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_lzw_tiff_of_16_bit_grey(tmp_path: Path, byteorder: str) -> None:
    picture = noise(6, 7, dtype=np.uint16)
    image = Image.frombytes("I;16" if byteorder == "<" else "I;16B", (7, 6), picture.astype(f"{byteorder}u2").tobytes())
    image.save(tmp_path / "a.tif", compression="tiff_lzw")
    assert same(pictures.read(tmp_path / "a.tif"), picture[..., None])


def test_white_is_zero_is_inverted_but_labels_are_raw(tmp_path: Path) -> None:
    picture = noise(6, 7)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="miniswhite")
    assert same(pictures.read(tmp_path / "a.tif")[..., 0], 255 - picture)
    assert same(np.array(Image.open(tmp_path / "a.tif")), 255 - picture)
    assert same(pictures.read_labels(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.zeros((6, 7), np.float32), {}, "found 32-bit float32 samples, expected uint8 or uint16"),
        (np.zeros((6, 7), np.int16), {}, "found 16-bit int16 samples"),
        (np.zeros((6, 7), np.uint32), {}, "found 32-bit uint32 samples"),
        (np.zeros((4, 6, 7), np.uint8), {}, "found 4 pages, expected one .* axes CYX"),
        (np.zeros((2, 4, 6, 7), np.uint8), {"metadata": {"axes": "TCYX"}}, "found 8 pages, expected one picture"),
    ],
)
def test_tiff_that_is_no_picture(tmp_path: Path, data: Array, options: dict[str, Any], message: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", **options)
    with pytest.raises(UserError, match=rf"a\.tif: {message}"):
        pictures.read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :8], picture[:8, 8:], picture[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    Image.fromarray(picture).save(tmp_path / "a.webp", exif=exif, lossless=True)
    tag = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", picture, extratags=tag)
    Image.fromarray(picture).save(tmp_path / "lzw.tif", compression="tiff_lzw", exif=exif)
    untouched = Image.fromarray(picture)
    untouched.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(untouched))
    assert expected.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    for name in ("a.jpg", "a.webp", "a.tif", "lzw.tif"):
        found = pictures.read(tmp_path / name)
        assert found.shape == expected.shape, name
        assert np.abs(found.astype(int) - expected).max() <= (8 if name == "a.jpg" else 0), name
        assert pictures.header(tmp_path / name)[:2] == (expected.shape[1], expected.shape[0])


def test_labels(tmp_path: Path) -> None:
    ids = noise(5, 7) % 34
    Image.fromarray(ids).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(ids[..., None], 3, axis=2)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([ids, ids, ids, ids * 0 + 9])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([ids, ids * 0 + 9])).save(tmp_path / "la.png")
    tifffile.imwrite(tmp_path / "int32.tif", ids.astype(np.int32))
    for name in ("grey.png", "rgb.png", "rgba.png", "la.png"):
        assert same(pictures.read_labels(tmp_path / name), ids)
    assert same(pictures.read_labels(tmp_path / "int32.tif"), ids.astype(np.uint16))
    wide = noise(5, 7, dtype=np.uint16)
    pictures.write(tmp_path / "wide", wide[..., None])
    assert same(pictures.read_labels(tmp_path / "wide.png"), wide)


def test_labels_that_are_none(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 7, 3)).save(tmp_path / "colours.png")
    Image.fromarray(noise(5, 7)).save(tmp_path / "grey.jpg")
    tifffile.imwrite(tmp_path / "minus.tif", np.full((5, 7), -1, np.int32))
    tifffile.imwrite(tmp_path / "float.tif", np.full((5, 7), 0.5, np.float32))
    for name, message in [
        ("colours.png", "found colours, expected label ids in one channel"),
        ("grey.jpg", "found a JPEG, which changes label ids"),
        ("minus.tif", "found int32 samples from -1 to -1, expected whole numbers from 0 to 65535"),
        ("float.tif", "found float32 samples from 0.5 to 0.5"),
    ]:
        with pytest.raises(UserError, match=rf"{name}: {message}"):
            pictures.read_labels(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".ppm", "16.png", "lzw.tif", "zlib.tif"])
def test_damaged_files_are_user_errors(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "tifffile")
    path = tmp_path / f"whole{suffix}"
    picture = noise(64, 64, 3)
    if suffix == "16.png":
        path.write_bytes(png_bytes(noise(64, 64, 3, dtype=np.uint16), 2, 16))
    elif suffix == "zlib.tif":
        tifffile.imwrite(path, picture, compression="zlib")
    else:
        Image.fromarray(picture).save(path, **({"compression": "tiff_lzw"} if suffix == "lzw.tif" else {}))
    whole = path.read_bytes()
    for length in (1, 9, 60, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="found no picture that can be decoded") as error:
            pictures.read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "page.jpg").write_text("<html>not found</html>" * 10)
    for name, message in [
        ("empty.png", "found an empty file"),
        ("page.jpg", "cannot identify image file"),
        ("missing.png", "No such file or directory"),
        ("", "Is a directory"),
    ]:
        for function in (pictures.read, pictures.read_labels, pictures.header):
            with pytest.raises(UserError, match=message):
                function(tmp_path / name)


def test_pictures_beyond_the_limit_of_pillow_are_read_and_absurd_ones_are_not(tmp_path: Path) -> None:
    # A header alone, as size() asks for no pixels: 400 million, a common size for an aerial picture.
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    (tmp_path / "aerial.png").write_bytes(png_file(header, zlib.compress(b"")))
    assert pictures.header(tmp_path / "aerial.png")[:2] == (20_000, 20_000)
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    (tmp_path / "absurd.png").write_bytes(png_file(header, zlib.compress(b"")))
    with pytest.raises(UserError, match="expected at most 1073741824; cut it into tiles"):
        pictures.read(tmp_path / "absurd.png")


def test_grey_and_rgb_turn_into_each_other() -> None:
    colours = noise(64, 64, 3)
    assert same(transforms.convert(colours, 1)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    assert same(transforms.convert(colours[..., :1], 3), np.repeat(colours[..., :1], 3, axis=2))
    assert transforms.convert(colours, 3) is colours
    deep = np.array([[[65535, 65535, 65535], [65535, 0, 0], [0, 1000, 0]]], np.uint16)
    assert transforms.convert(deep, 1)[0, :, 0].tolist() == [65535, 19595, 587]  # 0.299 * 65535 = 19595, 0.587 * 1000


def test_other_changes_of_channels_are_refused() -> None:
    with pytest.raises(UserError, match=r"train/a\.tif: found 5 channels, expected 3; "):
        transforms.convert(noise(2, 2, 5), 3, Path("train/a.tif"))
    with pytest.raises(UserError, match="found 2 channels, expected 3"):
        transforms.convert(noise(2, 2, 2), 3)
    with pytest.raises(UserError, match="found 3 channels, expected 4"):
        transforms.convert(noise(2, 2, 3), 4)


def test_of_four_channels_the_colours_are_taken() -> None:
    picture = noise(9, 9, 4)
    assert np.array_equal(transforms.convert(picture, 3), picture[..., :3])
    assert np.array_equal(transforms.convert(picture, 1), transforms.convert(picture[..., :3], 1))


def test_8_bits_become_16_over_the_whole_range() -> None:
    assert transforms.deepen(np.array([[[0], [1], [255]]], np.uint8)).ravel().tolist() == [0, 257, 65535]
    deep = noise(3, 3, 1, dtype=np.uint16)
    assert np.array_equal(transforms.deepen(deep), deep)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_resize_of_8_bit_is_pillows(channels: int, mode: str) -> None:
    picture = noise(40, 60, channels)
    image = Image.fromarray(picture.squeeze())
    assert image.mode == mode
    expected = np.asarray(image.resize((25, 30), Image.Resampling.BILINEAR)).reshape(30, 25, channels)
    assert same(transforms.resize(picture, 25, 30), expected)
    assert transforms.resize(picture, 60, 40) is picture
    half = transforms.resize(
        picture[:, ::2], 25, 30
    )  # as the halves of A|B are cut: rows that do not follow each other
    assert same(half, transforms.resize(np.ascontiguousarray(picture[:, ::2]), 25, 30))


def test_resize_of_16_bit_by_hand() -> None:
    # The triangle filter is as wide as four pixels here and weighs them 1:3:3:1, less what lies outside the row.
    picture = np.array([[[0], [7000], [14000], [65535]]], np.uint16)
    expected = [(3 * 0 + 3 * 7000 + 14000) / 7, (7000 + 3 * 14000 + 3 * 65535) / 7]
    assert transforms.resize(picture, 2, 1)[0, :, 0].tolist() == [round(value) for value in expected]
    many = noise(40, 60, 5, dtype=np.uint16)
    assert transforms.resize(many, 25, 30).shape == (30, 25, 5)
    assert transforms.resize(np.full((4, 4, 2), 65535, np.uint16), 9, 9).min() == 65535
    assert transforms.resize(np.full((4, 4, 5), 255, np.uint8), 3, 9).dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resize_of_labels_makes_no_new_ids(dtype: type) -> None:
    labels: Array = np.array([[0, 33], [255, 7]], dtype)
    assert same(transforms.resize_labels(labels, 4, 4), np.kron(labels, np.ones((2, 2), dtype)))
    many = noise(50, 70, dtype=dtype) // 20 * 20
    assert set(np.unique(transforms.resize_labels(many, 31, 17))) <= set(np.unique(many))
    assert transforms.resize_labels(labels, 2, 2) is labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(6, 7), (1, 7), (6, 1), (1, 1)])
def test_what_is_written_is_read(tmp_path: Path, dtype: type, channels: int, shape: tuple[int, int]) -> None:
    picture = noise(*shape, channels, dtype=dtype)
    path = pictures.write(tmp_path / "new" / "munich_0.5", picture)
    as_png = channels == 1 or (channels == 3 and dtype == np.uint8)
    assert path == tmp_path / "new" / ("munich_0.5.png" if as_png else "munich_0.5.tif")
    assert same(pictures.read(path), picture)
    other = np.array(Image.open(path)) if as_png else tifffile.imread(path)
    assert same(other.reshape(picture.shape), picture)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_writing_fails_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match=r"a\.png: cannot be written"):
        pictures.write(tmp_path / "file" / "a", noise(2, 2, 1))
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ReportError, match="cannot be written"):
        pictures.write(tmp_path / "a", noise(2, 2, 1))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "file"]
