"""Train ids where label ids are expected: recognised wherever labels are read, and never where there are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.ablation.data import Data
from p2pbench.cli import cli
from p2pbench.config import RunConfig
from p2pbench.datasets.label_images import count_values, look_like_train_ids, refuse_train_ids
from p2pbench.datasets.streets.scene import draw_scene
from p2pbench.errors import UserError
from p2pbench.training.generator_file import save_generator
from p2pbench.training.model import build, make_card
from tests.p2pbench.tiny import Command

Ids = NDArray[np.uint8]

CAMVID_IDS = np.array([23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 33, 0], np.uint8)  # Cityscapes' label ids, by CamVid's
TRAIN_IDS = CITYSCAPES.to_indices(np.arange(34))  # by label id, void is 255


@cache
def scene(index: int) -> Ids:
    """Label ids of a street scene, with the voids of a real one: the car below, the camera's edges."""
    ids = draw_scene(0, index, 64).labels.copy()
    ids[-5:], ids[:, :1], ids[:1] = 1, 3, 2
    return ids


NUMBERINGS: dict[str, Callable[[Ids], Ids]] = {
    "255 for ignore": lambda ids: TRAIN_IDS[ids],
    "19 for ignore": lambda ids: np.minimum(TRAIN_IDS[ids], 19),
    "0 for ignore, classes from 1": lambda ids: TRAIN_IDS[ids] + np.uint8(1),
    "0 for ignore, and for road": lambda ids: np.where(TRAIN_IDS[ids] == IGNORE, 0, TRAIN_IDS[ids]),
}


def make(root: Path, numbering: Callable[[Ids], Ids], items: int, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Photos and labels in Cityscapes' folders; the labels of some splits in another numbering."""
    for split in ("train", "val"):
        for frame in range(items):
            ids, stem = scene(frame), f"ulm/ulm_{frame:06d}_000019"
            labels = numbering(ids) if split in splits else ids
            for part, picture in (("leftImg8bit", np.repeat(ids[..., None], 3, 2)), ("gtFine", labels)):
                ending = "leftImg8bit" if part == "leftImg8bit" else "gtFine_labelIds"
                path = root / part / split / f"{stem}_{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    return root


def commands(root: Path, out: Path) -> dict[str, list[str]]:
    """Each command that reads a dataset's labels."""
    data, photos = ["--dataset", "cityscapes", "--root", str(root)], str(root / "leftImg8bit" / "val")
    labels = ["--labels", f"cityscapes:{root}", "--out", str(out / "scores")]
    return {
        "label-score": ["label-score", photos, *labels],
        "fcn-score": ["fcn-score", photos, *labels, "--weights", "none.safetensors"],
        "self-test": ["fcn-score", "--self-test", *data, "--weights", "none.safetensors"],
        "fcn-train": ["fcn-train", *data, "--out", str(out / "fcn.safetensors"), "--init", "scratch"],
        "train": ["train", *data, "--out", str(out / "results")],
        "train-ablation": ["train-ablation", "losses", *data, "--out", str(out / "results")],
    }


def said(arguments: list[str]) -> str:
    """The one line that a command ends with, and that it is one."""
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, UserError), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize("items", [1, 2, 12])
@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_train_ids_are_refused_wherever_labels_are_read(numbering: str, items: int, tmp_path: Path) -> None:
    root = make(tmp_path / "cityscapes", NUMBERINGS[numbering], items)
    for command, arguments in commands(root, tmp_path / "out").items():
        line = said(arguments)
        split = "train" if "train" in command else "val"
        first = root / "gtFine" / split / "ulm" / "ulm_000000_000019_gtFine_labelIds.png"
        assert line.startswith(f"{first}: found train ids (values 0, 1, 2, "), command
        assert (f" in {items} label files), " if items > 1 else "), ") + "expected label ids 0 to 33, " in line
        assert "; give a folder with the label ids as published, *_gtFine_labelIds.png" in line
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_process_ends_with_that_line_alone(tmp_path: Path, p2pbench: Command) -> None:
    root = make(tmp_path / "cityscapes", NUMBERINGS["19 for ignore"], 1)
    process = p2pbench(*commands(root, tmp_path / "out")["fcn-score"])
    _, err = process.communicate()
    assert process.returncode == 1
    assert "found train ids (values 0, 1, 2, " in err.splitlines()[-1]
    assert ", 19), expected label ids" in err.splitlines()[-1]


def test_each_split_is_looked_at_by_itself(tmp_path: Path) -> None:
    root = make(tmp_path / "cityscapes", NUMBERINGS["19 for ignore"], 2, splits=("val",))
    tried = commands(root, tmp_path / "out")
    assert "val/ulm/ulm_000000_000019_gtFine_labelIds.png: found train ids" in said(tried["train"])
    assert CliRunner().invoke(cli, [*tried["fcn-train"], "--width", "0.02", "--epochs", "1"]).exit_code == 0


@pytest.fixture
def generator(tiny: Callable[..., RunConfig], tiny_data: Data, tmp_path: Path) -> Path:
    """A generator of photos from Cityscapes' labels."""
    card = make_card(tiny(), tiny_data.dataset, tiny_data.channels)
    card = card.model_copy(update={"dataset": "cityscapes", "direction": "labels-to-photo"})
    path = tmp_path / "generator.safetensors"
    save_generator(path, build(tiny(), tiny_data.channels, torch.device("cpu")).generator, card)
    return path


def test_a_generator_is_not_given_train_ids(generator: Path, tmp_path: Path) -> None:
    write(tmp_path / "labels", [NUMBERINGS["0 for ignore, and for road"](scene(index)) for index in range(2)])
    arguments = ["generate", str(generator), str(tmp_path / "labels"), "--out", str(tmp_path / "out")]
    assert f"{tmp_path / 'labels' / '0.png'}: found train ids (values 0, 1, 2, " in said(arguments)
    write(tmp_path / "labels", [CITYSCAPES.to_colours(scene(0)), scene(1)])  # colours have no ids
    assert CliRunner().invoke(cli, arguments).exit_code == 0


def test_files_that_are_called_train_ids_are_named(tmp_path: Path) -> None:
    root = make(tmp_path / "cityscapes", NUMBERINGS["255 for ignore"], 2)
    for path in list((root / "gtFine").rglob("*_labelIds.png")):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    for command, arguments in commands(root, tmp_path / "out").items():
        line = said(arguments)
        assert (
            "ulm_000000_000019_gtFine_labelTrainIds.png: found train ids (*_gtFine_labelTrainIds.png, 2 files), "
            in line
        )
        assert "expected label ids (*_gtFine_labelIds.png)" in line, command


def write(folder: Path, maps: list[Ids]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = []
    for index, ids in enumerate(maps):
        files.append(folder / f"{index}.png")
        Image.fromarray(ids).save(files[-1], compress_level=0)
    return files


def crop(ids: Ids, rng: np.random.Generator) -> Ids:
    side = int(rng.integers(16, len(ids) + 1))
    row, column = rng.integers(0, len(ids) - side + 1, 2)
    return ids[row : row + side, column : column + side]


@pytest.mark.long
def test_label_ids_are_never_refused(tmp_path: Path) -> None:
    """One and more street scenes, whole and cropped, with some of their classes left unlabelled."""
    rng = np.random.default_rng(0)
    scenes = [scene(index) for index in range(20)]
    for trial in range(200):
        chosen = [scenes[index] for index in rng.integers(0, len(scenes), rng.integers(1, 6))]
        if trial % 2:
            chosen = [crop(ids, rng) for ids in chosen]
        if trial % 4 > 1:
            unlabelled = rng.choice([8, 11, 13, 17, 20, 21, 22, 23, 24, 26], rng.integers(1, 6), replace=False)
            chosen = [np.where(np.isin(ids, unlabelled), 0, ids).astype(np.uint8) for ids in chosen]
        refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", chosen))


@pytest.mark.long
def test_train_ids_of_few_scenes_are_always_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for index in range(20):
        for numbering in NUMBERINGS.values():
            chosen = [numbering(scene(index))]
            with pytest.raises(UserError, match="found train ids"):
                refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", chosen))
            chosen = [numbering(crop(scene(int(i)), rng)) for i in rng.integers(0, 20, 8)]
            with pytest.raises(UserError, match="found train ids"):
                refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", chosen))


LABEL_IDS = [
    [*range(10), 11, 12, 13],
    *([0], [7], [0, 7], [0, 11], [7, 8, 11], [0, 1, 2, 3], [1, 2, 3, 4], [0, 8, 13]),
    [0, 1, 3, 4, 7, 8, 11, 12, 13, 17],
    [1, 2, 3, 4, 7, 16],  # road in a tunnel, which is void
    [0, 8, 11, 12, 13, 17],  # no road, and nothing else that is void
    [0, 1, 4, 5, 7, 11, 16, 17],
]


@pytest.mark.parametrize("road", [0.05, 0.5])
@pytest.mark.parametrize("values", LABEL_IDS)
def test_few_values_may_be_label_ids(values: list[int], road: float, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).choice(np.array(values, np.uint8), (32, 32))
    if 7 in values:
        ids[ids == 7] = values[0]
        ids[: round(32 * road)] = 7
    refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", [ids]))


@pytest.mark.parametrize(
    "shares",
    [
        {8: 60, 0: 30, 10: 5, 19: 5},  # leaves, road, sky, void
        {0: 40, 2: 30, 10: 20, 19: 10},
        {0: 40, 2: 30, 10: 20, 13: 10},
        {1: 40, 3: 20, 9: 20, 11: 10, 0: 10},  # the same plus 1
    ],
)
def test_streets_of_few_classes_are_known_as_train_ids(shares: dict[int, int], tmp_path: Path) -> None:
    ids = np.repeat(np.array(list(shares), np.uint8), list(shares.values())).reshape(10, 10)
    with pytest.raises(UserError, match="found train ids"):
        refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", [ids]))


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_real_streets_are_never_mistaken(numbering: str, camvid: Path) -> None:
    """CamVid's labels as Cityscapes' label ids, and as the train ids of these; whole, and what label ids lack above 19.

    They cover streets otherwise than Cityscapes does, which the evidence is taken from.
    """
    files = sorted((camvid / "testannot").glob("*.png"))
    assert len(files) > 100
    for file in files[::4]:
        ids = CAMVID_IDS[np.asarray(Image.open(file))]
        assert look_like_train_ids(count_values(NUMBERINGS[numbering](ids))), file
        assert not look_like_train_ids(count_values(ids)), file
        assert not look_like_train_ids(count_values(np.where(ids > 19, 0, ids))), file


@pytest.mark.long
def test_crops_of_real_streets_are_never_refused(camvid: Path) -> None:
    """A fence and a pavement alone, as patches may hold, are no train ids of cars and trees."""
    rng = np.random.default_rng(0)
    files = sorted((camvid / "trainannot").glob("*.png"))
    assert len(files) > 100
    for file in files:
        ids = CAMVID_IDS[np.asarray(Image.open(file))]
        for side in (32, 64, 96, 128):
            for _ in range(4):
                row, column = (int(rng.integers(0, length - side + 1)) for length in ids.shape)
                assert not look_like_train_ids(count_values(ids[row : row + side, column : column + side])), file


def test_label_files_of_little_variety_may_stand_among_others(tmp_path: Path) -> None:
    """A parking deck and a rail yard, whose values would make sense as train ids, too."""
    odd = [np.repeat(np.array(values, np.uint8), 40).reshape(-1, 8) for values in ([1, 2, 9, 11, 12], [6, 10, 13, 15])]
    refuse_train_ids(CITYSCAPES, write(tmp_path / "labels", [scene(0), scene(1), *odd]))


@pytest.mark.long
def test_one_file_of_train_ids_among_label_ids_is_found(tmp_path: Path) -> None:
    """Before work begins where it is one of those that are looked at, and else when it is read."""
    root = make(tmp_path / "cityscapes", lambda ids: ids, 250, splits=())
    for frame in (0, 201):
        path = root / "gtFine" / "val" / "ulm" / f"ulm_{frame:06d}_000019_gtFine_labelIds.png"
        kept = path.read_bytes()
        Image.fromarray(NUMBERINGS["0 for ignore, and for road"](scene(frame))).save(path)
        line = said(commands(root, tmp_path / "out")["label-score"])
        assert line.startswith(f"{path}: found train ids (values 0, ")
        path.write_bytes(kept)


def test_where_both_numberings_are_one_nothing_is_asked(tmp_path: Path) -> None:
    refuse_train_ids(CAMVID, write(tmp_path / "labels", [np.arange(12, dtype=np.uint8).repeat(12).reshape(12, 12)]))


def test_files_that_cannot_be_read_are_left_to_those_who_name_them_all(tmp_path: Path) -> None:
    files = write(tmp_path / "labels", [scene(0), scene(1)])
    files[0].write_bytes(b"no picture")
    refuse_train_ids(CITYSCAPES, files)
