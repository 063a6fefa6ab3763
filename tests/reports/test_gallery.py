"""Which pictures the gallery shows, how large, and how deep ones become 8-bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from reports import gallery
from reports.store import picture
from reports.store.errors import ReportError
from reports.store.layout import Grid
from reports.store.picture import PictureFiles


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    return folder


def test_columns_are_input_cells_and_real_and_rows_the_same_items(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    shown = gallery.write(gallery.columns(grid, ["L1", "L1+cGAN"], [0]), assets)
    assert shown is not None
    assert [column.name for column in shown.columns] == ["input", "L1", "L1+cGAN", "real"]
    assert [row.item for row in shown.rows] == ["bridge", "church", "harbour", "square"]
    names = {tile.shown.name for row in shown.rows for tile in row.tiles if tile.shown}
    assert names == {path.name for path in assets.iterdir()}
    assert len(names) == 16
    tile = shown.rows[1].tiles[2]
    assert (tile.alt, tile.shown) == ("L1+cGAN, church", PictureFiles("02-0001.png", "02-0001.png", 16, 16))
    original = grid.run("L1+cGAN", 0).images / "church.png"
    with Image.open(assets / "02-0001.png") as copy, Image.open(original) as source:
        assert copy.format == "PNG"
        np.testing.assert_array_equal(np.asarray(copy), np.asarray(source))


def test_a_cell_shows_its_lowest_seed_that_has_pictures(build: Callable[..., Path], assets: Path) -> None:
    grid = Grid(build(seeds=(3, 1, 2)) / "losses")
    for path in grid.run("L1", 1).images.iterdir():
        path.unlink()
    shown = gallery.write(gallery.columns(grid, ["L1", "L1+cGAN"], [3, 1, 2]), assets)
    assert shown is not None
    assert [column.seed for column in shown.columns] == [None, 2, 1, None]


def test_a_missing_picture_leaves_a_note(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    (grid.run("L1", 0).images / "harbour.png").unlink()
    shown = gallery.write(gallery.columns(grid, ["L1", "L1+cGAN"], [0]), assets)
    assert shown is not None
    assert (shown.rows[2].tiles[1].shown, shown.rows[2].tiles[1].note) == (None, "no picture")
    assert shown.damages == []
    assert len(list(assets.iterdir())) == 15


def test_a_damaged_picture_is_named_and_the_rest_shown(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    path = grid.run("L1", 0).images / "harbour.png"
    path.write_bytes(path.read_bytes()[:200])
    shown = gallery.write(gallery.columns(grid, ["L1", "L1+cGAN"], [0]), assets)
    assert shown is not None
    assert shown.rows[2].tiles[1].note == "unreadable"
    assert len(shown.damages) == 1
    assert str(path) in shown.damages[0]
    assert len(list(assets.iterdir())) == 15


def test_a_grid_without_pictures_has_no_gallery(tmp_path: Path, assets: Path) -> None:
    assert gallery.write(gallery.columns(Grid(tmp_path / "losses"), ["L1"], [0]), assets) is None


def test_without_input_and_target_the_items_are_those_of_all_cells(results: Path, assets: Path) -> None:
    grid = Grid(results / "losses")
    for path in [*grid.input.images.iterdir(), *grid.real.images.iterdir(), grid.run("L1", 0).images / "bridge.png"]:
        path.unlink()
    shown = gallery.write(gallery.columns(grid, ["L1", "L1+cGAN"], [0]), assets)
    assert shown is not None
    assert [column.name for column in shown.columns] == ["L1", "L1+cGAN"]
    assert [row.item for row in shown.rows] == ["bridge", "church", "harbour", "square"]


def test_file_names_hold_no_untrusted_text(build: Callable[..., Path], assets: Path) -> None:
    cell, item = "<img src=x onerror=alert(1)>", "a #?%\"'&道路"
    grid = Grid(build(cells=[cell], items=[item]) / "losses")
    shown = gallery.write(gallery.columns(grid, [cell], [0]), assets)
    assert shown is not None
    assert shown.rows[0].item == item
    for path in assets.iterdir():
        assert set(path.stem) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_items_are_evenly_spaced() -> None:
    ids = [f"{number:03}" for number in range(111)]
    assert gallery.choose(ids[::-1], 12) == ids[::10]
    assert gallery.choose(ids[:12], 12) == ids[:12]
    assert gallery.choose(["b", "a"], 12) == ["a", "b"]
    assert gallery.choose(ids[:14], 12)[0::11] == ["000", "013"]
    assert len(set(gallery.choose(ids[:14], 12))) == 12
    assert gallery.choose(ids, 1) == ["000"]


def test_no_more_items_than_asked_for_have_pictures_and_the_page_begins_with_twelve(
    build: Callable[..., Path], assets: Path
) -> None:
    ids = [f"item-{number:02}" for number in range(40)]
    columns = gallery.columns(Grid(build(cells=["L1"], items=ids) / "losses"), ["L1"], [0])
    shown = gallery.write(columns, assets, most=20)
    assert shown is not None
    assert (len(shown.rows), shown.total, shown.all_items) == (20, 40, tuple(ids))
    assert [row.number for row in shown.rows] == list(range(20))
    assert (shown.rows[0].item, shown.rows[-1].item) == ("item-00", "item-39")
    assert len(shown.first) == 12
    assert {row.item for row in shown.first} <= {row.item for row in shown.rows}
    assert len(list(assets.iterdir())) == 20 * 3


def test_where_not_all_items_have_room_the_notable_ones_come_first(build: Callable[..., Path], assets: Path) -> None:
    ids = [f"item-{number:02}" for number in range(40)]
    columns = gallery.columns(Grid(build(cells=["L1"], items=ids) / "losses"), ["L1"], [0])
    notable = ["item-17", "gone", "item-03", "item-17", "item-29", "item-05"]
    shown = gallery.write(columns, assets, most=6, notable=notable)
    assert shown is not None
    assert [row.item for row in shown.rows] == ["item-00", "item-03", "item-17", "item-20", "item-29", "item-39"]


def test_photos_become_jpeg_with_a_thumbnail_and_flat_pictures_stay_exact(tmp_path: Path) -> None:
    smooth = np.add.outer(np.linspace(20, 120, 200), np.linspace(0, 100, 300))
    noise = np.random.default_rng(0).normal(size=(200, 300, 1)) * 4
    photo = np.clip(smooth[..., None] + noise + (0, 10, 20), 0, 255).astype(np.uint8)
    flat = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((100, 100), np.uint8))
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(flat).save(tmp_path / "flat.png")
    out = tmp_path / "out"
    out.mkdir()
    assert picture.save(tmp_path / "photo.png", out / "a") == PictureFiles("a.jpg", "at.jpg", 300, 200)
    assert picture.save(tmp_path / "flat.png", out / "b") == PictureFiles("b.png", "b.png", 300, 200)
    with Image.open(out / "a.jpg") as large, Image.open(out / "at.jpg") as thumb:
        assert np.abs(np.asarray(large, float) - photo).mean() < 2.5
        assert thumb.size == (128, 85)
        reduced = np.asarray(Image.fromarray(photo).resize(thumb.size, Image.Resampling.BOX), float)
        assert np.abs(np.asarray(thumb, float) - reduced).mean() < 2.5
    with Image.open(out / "b.png") as same:
        np.testing.assert_array_equal(np.asarray(same), flat)


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
