"""Label maps as pictures: pixels, colours, sizes, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fcn.labels import CAMVID, CITYSCAPES, IGNORE, LabelTable
from p2pbench.datasets.label_images import (
    LONGEST_SIDE,
    remove_other_label_images,
    source_of_label_image,
    write_label_image,
)
from reports.store.errors import ReportError


def read(path: Path) -> NDArray[np.uint8]:
    """The pixels as they are stored."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def random_map(height: int, width: int, classes: int = 19) -> NDArray[np.uint8]:
    values = np.array([*range(classes), IGNORE], np.uint8)
    return np.random.default_rng(0).choice(values, (height, width))


@pytest.mark.parametrize(("table", "classes"), [(CITYSCAPES, 19), (CAMVID, 11)])
def test_pixels_are_indices_in_the_colours_of_the_table(table: LabelTable, classes: int, tmp_path: Path) -> None:
    labels = random_map(40, 60, classes)
    write_label_image(tmp_path / "a.png", labels, table, "")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), labels)
    colours = {label.index: label.colour for label in table.labels if label.index != IGNORE} | {IGNORE: (0, 0, 0)}
    expected = np.array([colours[int(index)] for index in labels.ravel()], np.uint8).reshape(40, 60, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png").convert("RGB")), expected)


def test_the_colours_of_a_few_classes_by_hand(tmp_path: Path) -> None:
    write_label_image(tmp_path / "a.png", np.array([[0, 10, 13, 18, 255]], np.uint8), CITYSCAPES, "")
    road, sky, car, bicycle, black = (128, 64, 128), (70, 130, 180), (0, 0, 142), (119, 11, 32), (0, 0, 0)
    assert [*Image.open(tmp_path / "a.png").convert("RGB").get_flattened_data()] == [road, sky, car, bicycle, black]


def test_channels_beyond_the_classes_are_void(tmp_path: Path) -> None:
    write_label_image(tmp_path / "a.png", np.array([[10, 11, 19, 59, 254, 255]], np.uint8), CAMVID, "")
    assert read(tmp_path / "a.png").tolist() == [[10, *[IGNORE] * 5]]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((512, 512), (512, 512)),
        ((1024, 2048), (256, 512)),
        ((600, 300), (512, 256)),
        ((513, 513), (512, 512)),
        ((1, 5000), (1, 512)),
    ],
)
def test_large_maps_shrink_by_nearest_neighbour(size: tuple[int, int], shown: tuple[int, int], tmp_path: Path) -> None:
    labels = random_map(*size)
    write_label_image(tmp_path / "a.png", labels, CITYSCAPES, "")
    found = read(tmp_path / "a.png")
    assert found.shape == shown
    # The pixel whose square holds the centre of the shown one.
    rows, columns = (((np.arange(few) + 0.5) * many / few).astype(int) for few, many in zip(shown, size, strict=True))
    np.testing.assert_array_equal(found, labels[np.ix_(rows, columns)])
    assert max(found.shape) == LONGEST_SIDE


def test_a_picture_says_what_it_was_made_from(tmp_path: Path) -> None:
    labels = random_map(8, 8)
    path = tmp_path / "deep" / "a.png"
    assert source_of_label_image(path) is None
    write_label_image(path, labels, CITYSCAPES, "scorer and image")
    assert source_of_label_image(path) == "scorer and image"
    write_label_image(path, labels, CITYSCAPES, "")
    assert source_of_label_image(path) == ""
    path.write_bytes(path.read_bytes()[:20])
    assert source_of_label_image(path) is None
    Image.fromarray(labels).save(path)
    assert source_of_label_image(path) is None


def test_the_same_picture_is_not_written_again(tmp_path: Path) -> None:
    path, labels = tmp_path / "a.png", random_map(8, 8)
    write_label_image(path, labels, CITYSCAPES, "a")
    before = path.stat()
    write_label_image(path, labels, CITYSCAPES, "a")
    assert path.stat().st_ino == before.st_ino
    labels[0, 0] = 3 - labels[0, 0] % 2
    write_label_image(path, labels, CITYSCAPES, "a")
    np.testing.assert_array_equal(read(path), labels)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_pictures_of_other_items_go_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    for name in ("kept", "gone", "gone too"):
        write_label_image(tmp_path / f"{name}.png", random_map(8, 8), CITYSCAPES, "")
    Image.fromarray(random_map(8, 8)).save(tmp_path / "theirs.png")
    (tmp_path / "notes.txt").write_text("theirs too")
    remove_other_label_images(tmp_path, ["kept"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.png", "notes.txt", "theirs.png"]
    remove_other_label_images(tmp_path / "nowhere", [])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"file/a\.png: cannot be written"):
        write_label_image(tmp_path / "file" / "a.png", random_map(8, 8), CITYSCAPES, "")
