"""Which pictures the gallery shows, how large, and how deep ones become 8-bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from reports import gallery, picture
from reports.errors import ReportError
from reports.layout import Grid


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    return folder


def test_columns_are_input_cells_and_real_and_rows_the_same_items(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    shown = gallery.write(grid, ["L1", "L1+cGAN"], [0], assets, "g")
    assert shown is not None
    assert [column.name for column in shown.columns] == ["input", "L1", "L1+cGAN", "real"]
    assert [row.item for row in shown.rows] == ["bridge", "church", "harbour", "square"]
    names = [tile.name for row in shown.rows for tile in row.tiles]
    assert sorted(names, key=str) == sorted(path.name for path in assets.iterdir())
    assert len(set(names)) == 16
    copied = shown.rows[1].tiles[2]
    assert (copied.alt, copied.width, copied.height) == ("L1+cGAN, church", 16, 16)
    assert copied.name is not None
    with Image.open(assets / copied.name) as copy, Image.open(grid.run("L1+cGAN", 0).images / "church.png") as original:
        assert copy.format == "PNG"
        np.testing.assert_array_equal(np.asarray(copy), np.asarray(original))


def test_a_cell_shows_its_lowest_seed_that_has_pictures(build: Callable[..., Path], assets: Path) -> None:
    grid = Grid(build(seeds=(3, 1, 2)) / "losses")
    for path in grid.run("L1", 1).images.iterdir():
        path.unlink()
    shown = gallery.write(grid, ["L1", "L1+cGAN"], [3, 1, 2], assets, "g")
    assert shown is not None
    assert [column.seed for column in shown.columns] == [None, 2, 1, None]


def test_a_missing_picture_leaves_a_note(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    (grid.run("L1", 0).images / "harbour.png").unlink()
    shown = gallery.write(grid, ["L1", "L1+cGAN"], [0], assets, "g")
    assert shown is not None
    assert (shown.rows[2].tiles[1].name, shown.rows[2].tiles[1].note) == (None, "no picture")
    assert shown.damages == ()
    assert len(list(assets.iterdir())) == 15


def test_a_damaged_picture_is_named_and_the_rest_shown(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    path = grid.run("L1", 0).images / "harbour.png"
    path.write_bytes(path.read_bytes()[:200])
    shown = gallery.write(grid, ["L1", "L1+cGAN"], [0], assets, "g")
    assert shown is not None
    assert shown.rows[2].tiles[1].note == "unreadable"
    assert len(shown.damages) == 1
    assert str(path) in shown.damages[0]
    assert len(list(assets.iterdir())) == 15


def test_a_grid_without_pictures_has_no_gallery(tmp_path: Path, assets: Path) -> None:
    assert gallery.write(Grid(tmp_path / "losses"), ["L1"], [0], assets, "g") is None


def test_without_input_and_target_the_items_are_those_of_all_cells(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    for path in [*grid.input.images.iterdir(), *grid.real.images.iterdir(), grid.run("L1", 0).images / "bridge.png"]:
        path.unlink()
    shown = gallery.write(grid, ["L1", "L1+cGAN"], [0], assets, "g")
    assert shown is not None
    assert [column.name for column in shown.columns] == ["L1", "L1+cGAN"]
    assert [row.item for row in shown.rows] == ["bridge", "church", "harbour", "square"]


def test_file_names_hold_no_untrusted_text(build: Callable[..., Path], assets: Path) -> None:
    cell, item = "<img src=x onerror=alert(1)>", "a #?%\"'&道路"
    shown = gallery.write(Grid(build(cells=[cell], items=[item]) / "losses"), [cell], [0], assets, "g")
    assert shown is not None
    assert shown.rows[0].item == item
    for path in assets.iterdir():
        assert set(path.stem) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_items_are_evenly_spaced() -> None:
    ids = [f"{number:03}" for number in range(111)]
    assert gallery.choose(ids[::-1]) == ids[::10]
    assert gallery.choose(ids[:12]) == ids[:12]
    assert gallery.choose(["b", "a"]) == ["a", "b"]
    assert gallery.choose(ids[:14])[0::11] == ["000", "013"]
    assert len(set(gallery.choose(ids[:14]))) == 12


@pytest.mark.parametrize(
    ("native", "room", "width"), [(64, 192, 192), (64, 190, 128), (256, 192, 192), (100, 128, 100)]
)
def test_small_pictures_grow_by_whole_numbers_and_large_ones_shrink_to_fit(native: int, room: int, width: int) -> None:
    assert gallery.shown_width([native, native, 1], room) == width


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.uint8), [0, 255]),
        (np.array([False, True]), [0, 255]),
        (np.array([0, 255, 256, 65535], np.uint16), [0, 0, 1, 255]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.25, 0.5], np.float32), [64, 128]),  # within 0..1: not stretched
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([10, 20, 30], np.int32), [0, 128, 255]),
        (np.array([np.nan, 0.0, 1.0]), [0, 0, 255]),
        (np.array([7, 7], np.int16), [0, 0]),
    ],
)
def test_pixels_of_any_type_become_eight_bits(values: np.ndarray, expected: list[int]) -> None:
    assert picture.to_eight_bits(values).tolist() == expected


def test_a_sixteen_bit_png_keeps_its_high_bytes(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 256], [32768, 65535]], np.uint16)).save(path)
    shown = picture.load(path)
    assert shown.mode == "L"
    assert np.asarray(shown).tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 5), (4, 5)), ((4, 5, 3), (4, 5, 3)), ((3, 4, 5), (4, 5, 3)), ((4, 5, 1), (4, 5)), ((8, 9, 7), (8, 9, 3))],
    ids=["grey", "colour", "planes", "one channel", "seven channels"],
)
def test_a_tiff_of_any_layout_is_shown(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.full(shape, 0x8040, np.uint16), photometric="minisblack")
    shown = np.asarray(picture.load(path))
    assert shown.shape == expected
    assert (shown == 0x80).all()


def test_palettes_and_transparency_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    Image.new("RGB", (2, 2), (200, 10, 30)).quantize(4).save(path)
    assert picture.load(path).getpixel((0, 0)) == (200, 10, 30)
    Image.new("LA", (2, 2), (90, 128)).save(path)
    assert picture.load(path).getpixel((0, 0)) == (90, 90, 90, 128)


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (2048, 1024)).save(path)
    assert picture.load(path).size == (512, 256)


@pytest.mark.parametrize("name", ["no.png", "no.tif"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no picture at all")
    with pytest.raises(ReportError, match=f"{name}: found no picture"):
        picture.load(tmp_path / name)
