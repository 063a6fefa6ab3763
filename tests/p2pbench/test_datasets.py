"""Datasets made of real files: what they find, how they pair it, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab

from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.config import run_config
from p2pbench.datasets.catalogue import DATASETS, open_dataset, run_items
from p2pbench.datasets.dataset import Dataset, item_hash
from p2pbench.datasets.photos import join_lab, split_lab
from p2pbench.errors import UserError


def save(path: Path, picture: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def photo(seed: int, height: int = 36, width: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def opened(name: str, root: Path, **settings: object) -> Dataset:
    return open_dataset(run_config({"dataset": name, "root": str(root), **settings}, "test"))


def ids(dataset: Dataset, split: Any) -> list[str]:  # noqa: ANN401 (a literal)
    return [item.id for item in dataset.items(split)]


@pytest.fixture
def camvid_like(tmp_path: Path) -> Path:
    for folder, count in (("train", 3), ("test", 2)):
        for index in range(count):
            save(tmp_path / folder / f"n{index}.png", photo(index))
            labels = np.random.default_rng(index).integers(0, 12, (36, 48), dtype=np.uint8)
            save(tmp_path / f"{folder}annot" / f"n{index}.png", labels)
    return tmp_path


def test_camvid_pairs_photos_and_labels(camvid_like: Path) -> None:
    dataset = opened("camvid", camvid_like)
    assert ids(dataset, "train") == ["n0", "n1", "n2"]
    assert ids(dataset, "test") == ["n0", "n1"]
    sample = dataset.load(dataset.items("train")[1], None)
    values = np.asarray(Image.open(camvid_like / "trainannot" / "n1.png"))
    assert np.array_equal(sample.target, photo(1))
    assert sample.labels is not None
    assert np.array_equal(sample.labels, np.where(values == 11, IGNORE, values))
    assert tuple(sample.input[values == 3][0]) == (128, 64, 128)  # road
    turned = opened("camvid", camvid_like, direction="photo-to-labels").load(dataset.items("train")[1], None)
    assert np.array_equal(turned.input, sample.target)
    assert np.array_equal(turned.target, sample.input)


def test_labels_are_resized_by_nearest_neighbour_alone(camvid_like: Path) -> None:
    dataset = opened("camvid", camvid_like)
    sample = dataset.load(dataset.items("train")[0], 32)
    palette = {label.colour for label in CAMVID.labels}
    assert sample.input.shape == sample.target.shape == (32, 32, 3)
    assert {tuple(colour) for colour in sample.input.reshape(-1, 3).tolist()} <= palette
    resized = Image.fromarray(photo(0)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(sample.target, np.asarray(resized))


def test_real_camvid(camvid: Path) -> None:
    dataset = opened("camvid", camvid)
    train, test = dataset.items("train"), dataset.items("test")
    assert (len(train), len(test)) == (367, 233)
    sample = dataset.load(test[0], 128)
    assert sample.input.shape == sample.target.shape == (128, 128, 3)
    assert dataset.load(test[0], None).target.shape == (360, 480, 3)


def test_cityscapes_in_its_official_folders(tmp_path: Path) -> None:
    values = np.array([[7, 11, 26, 0], [33, 23, 5, 1]], np.uint8)
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "munster")):
        stem = f"{city}_000000_000019"
        save(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", photo(0, 2, 4))
        save(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", values)
        save(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_color.png", photo(1, 2, 4))
    dataset = opened("cityscapes", tmp_path)
    assert ids(dataset, "train") == ["aachen_000000_000019", "ulm_000000_000019"]
    assert ids(dataset, "test") == ["munster_000000_000019"]
    sample = dataset.load(dataset.items("test")[0], None)
    assert sample.labels is not None
    assert sample.labels.tolist() == [[0, 2, 13, IGNORE], [18, 10, IGNORE, IGNORE]]
    assert sample.input[0, 1].tolist() == [70, 70, 70]


def test_cityscapes_table_is_the_papers_class_order() -> None:
    order = "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,person,rider,car,"
    assert ",".join(CITYSCAPES.classes) == order + "truck,bus,train,motorcycle,bicycle"
    assert len(CAMVID.classes) == 11
    assert CITYSCAPES.to_indices(np.array([[-1]])).tolist() == [[IGNORE]]  # licence plate


def test_a_label_value_outside_the_table_is_named(camvid_like: Path) -> None:
    bad = camvid_like / "trainannot" / "n1.png"
    save(bad, np.full((36, 48), 77, np.uint8))
    dataset = opened("camvid", camvid_like)
    with pytest.raises(UserError) as error:
        dataset.load(dataset.items("train")[1], 32)
    assert str(bad) in str(error.value)
    assert "77" in str(error.value)


def test_unmatched_files_are_all_named_in_one_message(camvid_like: Path) -> None:
    (camvid_like / "train" / "n0.png").unlink()
    (camvid_like / "trainannot" / "n2.png").unlink()
    with pytest.raises(UserError) as error:
        opened("camvid", camvid_like).items("train")
    assert "2 unmatched files" in str(error.value)
    assert str(camvid_like / "trainannot" / "n0.png") in str(error.value)
    assert str(camvid_like / "train" / "n2.png") in str(error.value)


def test_pairs_of_differing_sizes_are_named(camvid_like: Path) -> None:
    save(camvid_like / "train" / "n1.png", photo(1, 36, 47))
    with pytest.raises(UserError) as error:
        opened("camvid", camvid_like).items("train")
    assert "47x36" in str(error.value)
    assert "48x36" in str(error.value)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_paired_pictures_are_cut_in_the_middle(tmp_path: Path, direction: str) -> None:
    both = photo(0, 36, 96)
    for folder in ("train", "val", "test"):
        save(tmp_path / folder / f"{folder}.png", both)
    dataset = opened("paired", tmp_path, direction=direction)
    sample = dataset.load(dataset.items("train")[0], None)
    a, b = (sample.input, sample.target) if direction == "AtoB" else (sample.target, sample.input)
    assert np.array_equal(a, both[:, :48])
    assert np.array_equal(b, both[:, 48:])
    assert ids(dataset, "test") == ["val"]  # as the released code
    assert ids(opened("paired", tmp_path, test_split="test"), "test") == ["test"]


def test_paired_pictures_of_odd_width_are_named(tmp_path: Path) -> None:
    save(tmp_path / "train" / "x.png", photo(0, 10, 33))
    with pytest.raises(UserError, match=r"x\.png is 33 wide"):
        opened("paired", tmp_path).items("train")


@pytest.mark.parametrize("layout", ["{side}/{split}", "{split}{side}"])
def test_folders_are_matched_by_stem_whatever_the_ending(tmp_path: Path, layout: str) -> None:
    for split in ("train", "test"):
        save(tmp_path / layout.format(side="A", split=split) / "one.png", photo(0))
        save(tmp_path / layout.format(side="B", split=split) / "one.jpg", photo(1))
    dataset = opened("folders", tmp_path)
    assert ids(dataset, "train") == ids(dataset, "test") == ["one"]
    assert np.array_equal(dataset.load(dataset.items("train")[0], None).input, photo(0))


def test_folders_of_sixteen_bits_and_many_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    thermal = rng.integers(0, 65536, (40, 40), dtype=np.uint16)
    bands = rng.integers(0, 65536, (40, 40, 5), dtype=np.uint16)
    for split in ("train", "test"):
        save(tmp_path / "A" / split / "x.png", thermal)
        (tmp_path / "B" / split).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "B" / split / "x.tif", bands, photometric="minisblack", planarconfig="contig")
    dataset = opened("folders", tmp_path)
    sample = dataset.load(dataset.items("train")[0], None)
    assert np.array_equal(sample.input, thermal[..., None])
    assert np.array_equal(sample.target, bands)


def test_photos_without_folders_of_splits_hold_out_every_tenth(tmp_path: Path) -> None:
    for index in range(20):
        save(tmp_path / "holiday" / f"p{index:02d}.png", photo(index, 8, 8))
    dataset = opened("edges", tmp_path)
    train, test = ids(dataset, "train"), ids(dataset, "test")
    assert (len(train), len(test)) == (18, 2)
    assert not set(train) & set(test)
    assert [id_[-3:] for id_ in test] == ["p09", "p19"]


def test_colorization_is_the_released_codes_scaling(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / split / "x.png", photo(3))
    dataset = opened("colorization", tmp_path)
    sample = dataset.load(dataset.items("train")[0], None)
    lab = rgb2lab(photo(3))
    seen = [part.astype(np.float64) / 65535 * 2 - 1 for part in (sample.input, sample.target)]
    assert np.abs(seen[0][..., 0] - (lab[..., 0] / 50 - 1)).max() < 2e-5
    assert np.abs(seen[1] - lab[..., 1:] / 110).max() < 2e-5


def test_lab_round_trip_gives_the_photo_back() -> None:
    levels = np.array([0, 1, 51, 102, 153, 204, 254, 255], np.uint8)
    every = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 32, 3)
    assert np.array_equal(join_lab(*split_lab(every)), every)


def test_inpainting_hides_the_central_quarter(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / split / "x.png", photo(0, 64, 64))
    dataset = opened("inpainting", tmp_path)
    seen = dataset.finish_input(torch.zeros(2, 3, 256, 256))
    assert (seen[..., 64:192, 64:192] == 1).all()
    assert seen.sum() == 2 * 3 * 128 * 128
    sample = dataset.load(dataset.items("train")[0], None)
    assert np.array_equal(sample.target, photo(0, 64, 64))


def test_edges_are_black_where_a_square_begins(tmp_path: Path) -> None:
    square = np.full((64, 64, 3), 255, np.uint8)
    square[16:48, 16:48] = 0
    for split in ("train", "val"):
        save(tmp_path / split / "x.png", square)
    dataset = opened("edges", tmp_path)
    edges = dataset.load(dataset.items("train")[0], None).input[..., 0]
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = (edges == 0).nonzero()
    inside = (abs(rows - 31.5) < 14) & (abs(columns - 31.5) < 14)
    outside = (abs(rows - 31.5) > 18) | (abs(columns - 31.5) > 18)
    assert len(rows) > 100
    assert not inside.any()
    assert not outside.any()
    assert "Canny" in dataset.note


@pytest.mark.parametrize("name", [name for name, kind in DATASETS.items() if kind.needs_root])
def test_a_missing_or_empty_root_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="give its root"):
        open_dataset(run_config({"dataset": name}, "test"))
    with pytest.raises(UserError, match="no such folder"):
        opened(name, tmp_path / "nowhere")
    with pytest.raises(UserError) as error:
        run_items(opened(name, tmp_path), run_config({"dataset": name}, "test"))
    assert str(tmp_path) in str(error.value)


def test_an_empty_split_is_named(camvid_like: Path) -> None:
    for folder in ("test", "testannot"):
        for path in (camvid_like / folder).iterdir():
            path.unlink()
    dataset = opened("camvid", camvid_like)
    with pytest.raises(UserError, match="the test split of camvid is empty"):
        run_items(dataset, run_config({"dataset": "camvid"}, "test"))


def test_a_direction_of_another_dataset_is_refused(camvid_like: Path) -> None:
    with pytest.raises(UserError, match="such as direction=labels-to-photo"):
        opened("camvid", camvid_like, direction="AtoB")


def test_items_are_the_same_when_their_hash_is(camvid_like: Path) -> None:
    dataset = opened("camvid", camvid_like)
    config = run_config({"dataset": "camvid", "train_items": 2}, "test")
    items = run_items(dataset, config)
    assert [item.id for item in items.train] == ["n0", "n1"]
    assert items.describe()["train"] == {"n": 2, "hash": item_hash(items.test)}  # n0, n1 too
    assert item_hash(items.train) != item_hash(dataset.items("train"))
