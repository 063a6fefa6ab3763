"""Label maps in the report: copied as they are, compared pixel by pixel, and named where they cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reports import gallery
from reports.gallery import IGNORED, RIGHT, UNLABELLED, WRONG, Column, GalleryLabelMaps
from reports.store.errors import ReportError
from reports.store.layout import Grid

ITEMS = ("church", "harbour")
TRUTH = np.array([[0, 1, IGNORED], [2, 2, IGNORED]], np.uint8)
SEEN = np.array([[0, 2, 1], [IGNORED, 2, IGNORED]], np.uint8)
ERRORS = [[RIGHT, WRONG, UNLABELLED], [WRONG, RIGHT, UNLABELLED]]
COLOURS = bytes([128, 64, 128, 244, 35, 232, 70, 70, 70]).ljust(3 * 256, b"\0")


def label_map(path: Path, values: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.frombytes("P", values.shape[::-1], values.tobytes())
    picture.putpalette(COLOURS)
    picture.save(path)
    return path


def values_of(path: Path) -> list[list[int]]:
    with Image.open(path) as picture:
        return np.asarray(picture).tolist()  # type: ignore[no-any-return]


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """Two cells and two items, all with segmentations and true labels."""
    grid = Grid(tmp_path / "results/losses")
    for item in ITEMS:
        label_map(grid.labels / f"{item}.png", TRUTH)
        label_map(grid.run("L1", 0).segmentations / f"{item}.png", SEEN)
        label_map(grid.run("GAN", 0).segmentations / f"{item}.png", TRUTH)
    return grid


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    return tmp_path / "assets"


def written(grid: Grid, assets: Path, items: Sequence[str] = ITEMS) -> GalleryLabelMaps | None:
    columns = [Column(grid.input, {}), *(Column(grid.run(cell, 0), {}) for cell in ("L1", "GAN"))]
    return gallery.write_label_maps(grid, columns, items, assets)


def test_label_maps_are_copied_byte_by_byte(grid: Grid, assets: Path) -> None:
    seen = written(grid, assets)
    assert seen == GalleryLabelMaps(frozenset({0, 1}), (frozenset(), frozenset({0, 1}), frozenset({0, 1})), ())
    names = {"t-0000", "t-0001", *(f"{kind}0{place}-000{item}" for kind in "se" for place in (1, 2) for item in (0, 1))}
    assert {path.stem for path in assets.iterdir()} == names
    assert (assets / "t-0001.png").read_bytes() == (grid.labels / "harbour.png").read_bytes()
    source = grid.run("L1", 0).segmentations / "church.png"
    assert (assets / "s01-0000.png").read_bytes() == source.read_bytes()


def test_the_error_map_tells_right_from_wrong_and_from_unlabelled(grid: Grid, assets: Path) -> None:
    written(grid, assets)
    assert values_of(assets / "e01-0000.png") == ERRORS
    assert values_of(assets / "e02-0000.png") == [[RIGHT, RIGHT, UNLABELLED]] * 2
    with Image.open(assets / "e01-0000.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    colours = {state: tuple(shown[np.array(ERRORS) == state][0]) for state in (RIGHT, WRONG, UNLABELLED)}
    assert len(set(colours.values())) == 3
    assert colours[WRONG][0] > 2 * colours[WRONG][1]  # red


def test_nothing_to_show_is_none(assets: Path, tmp_path: Path) -> None:
    assert written(Grid(tmp_path / "other"), assets) is None
    assert list(assets.iterdir()) == []


def test_without_true_labels_the_segmentations_alone_are_shown(grid: Grid, assets: Path) -> None:
    for item in ITEMS:
        (grid.labels / f"{item}.png").unlink()
    grid.labels.rmdir()
    seen = written(grid, assets)
    assert seen == GalleryLabelMaps(frozenset(), (frozenset(), frozenset({0, 1}), frozenset({0, 1})), ())
    assert {path.name[0] for path in assets.iterdir()} == {"s"}


def test_an_item_without_label_maps_has_none(grid: Grid, assets: Path) -> None:
    seen = written(grid, assets, ("square", "church"))
    assert seen == GalleryLabelMaps(frozenset({1}), (frozenset(), frozenset({1}), frozenset({1})), ())


def test_a_size_unlike_the_truth_is_named_and_left_out(grid: Grid, assets: Path) -> None:
    path = label_map(grid.run("L1", 0).segmentations / "church.png", np.zeros((4, 8), np.uint8))
    seen = written(grid, assets)
    assert seen
    assert seen.segmented[1:] == (frozenset({1}), frozenset({0, 1}))
    what = "found 8x4, expected 3x2 as the true labels"
    assert seen.damages == (f"{path}: {what}; move it away and score the run again",)
    assert not (assets / "s01-0000.png").exists()
    assert not (assets / "e01-0000.png").exists()


@pytest.mark.parametrize("of", ["truth", "segmentation"])
@pytest.mark.parametrize("harm", ["empty", "truncated", "changed", "text", "rgb", "grey", "gif"])
def test_a_file_that_is_no_label_map_is_named_and_left_out(grid: Grid, assets: Path, harm: str, of: str) -> None:
    path = (grid.labels if of == "truth" else grid.run("L1", 0).segmentations) / "church.png"
    content = path.read_bytes()
    if harm in {"rgb", "grey"}:
        Image.new({"rgb": "RGB", "grey": "L"}[harm], (3, 2)).save(path)
    elif harm == "gif":
        Image.new("P", (3, 2)).save(path, format="GIF")
    else:
        middle = content.index(b"IDAT") + 6
        changed = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        harmed = {"empty": b"", "truncated": content[:middle], "changed": changed, "text": b"<html>"}
        path.write_bytes(harmed[harm])
    seen = written(grid, assets)
    assert seen
    assert len(seen.damages) == 1
    assert seen.damages[0].startswith(f"{path}: found no label map (")
    assert seen.damages[0].endswith("), expected a palette PNG; move it away and score the run again")
    assert "object at" not in seen.damages[0]
    assert seen.truth == frozenset({1} if of == "truth" else {0, 1})
    assert seen.segmented[1] == frozenset({0, 1} if of == "truth" else {1})
    assert not (assets / "e01-0000.png").exists()
    assert (assets / "e01-0001.png").exists()


def test_a_file_is_read_as_its_class_indices(grid: Grid) -> None:
    assert gallery.read_label_map(grid.labels / "church.png").values.tolist() == TRUTH.tolist()
    with pytest.raises(ReportError, match=r"none\.png: found no label map"):
        gallery.read_label_map(grid.labels / "none.png")


def test_the_same_label_maps_give_the_same_files(grid: Grid, assets: Path) -> None:
    written(grid, assets)
    first = {path.name: path.read_bytes() for path in assets.iterdir()}
    written(grid, assets)
    assert {path.name: path.read_bytes() for path in assets.iterdir()} == first
