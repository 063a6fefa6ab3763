"""No command writes into what it reads; `generate` has tests of its own, as has `report`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fcn import weights
from fcn.labels import CAMVID
from fcn.network import FCN, FcnArchitecture
from fcn.weights import Card
from p2pbench.cli import cli
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.errors import MENDABLE
from tests.p2pbench.tiny import TINY, picture

SETTINGS = [f"--set={name}={value}" for name, value in TINY.items() if name != "dataset"]
FROM_PHOTOS = ("colorization", "inpainting", "edges")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(*arguments: object, unchanged: Path) -> str:
    """The one line of a refused call, which changes nothing in a folder."""
    before = content(unchanged)
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    if not isinstance(result.exception, MENDABLE):
        raise result.exception or AssertionError(f"accepted: {arguments}")
    assert content(unchanged) == before
    return str(result.exception)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "photos"
    folder.mkdir(parents=True)
    for index in range(12):
        Image.fromarray(picture(index)).save(folder / f"{index:02}.png")
    return folder


@pytest.mark.parametrize("out", ["data/photos", "data/photos/results", "link", "link/new", "data/photos/../photos/x"])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_training_writes_nothing_into_its_data(photos: Path, tmp_path: Path, out: str, dry: list[str]) -> None:
    (tmp_path / "link").symlink_to(photos)
    where = ("--root", photos, "--out", tmp_path / out, "--device", "cpu")
    for dataset in FROM_PHOTOS:
        direction = f"direction={DATASETS[dataset].directions[0]}"
        arguments = ("train-ablation", "losses", "--dataset", dataset, "--set", direction, *where, *SETTINGS, *dry)
        assert f"lies in {photos}, which is read" in refused(*arguments, unchanged=tmp_path)
    arguments = ("train", "--dataset", "colorization", *where, *SETTINGS)
    assert f"lies in {photos}, which is read" in refused(*arguments, unchanged=tmp_path)


def test_a_grids_folder_is_not_its_data(photos: Path, tmp_path: Path) -> None:
    named = photos.rename(tmp_path / "data" / "colorization")
    arguments = ("train", "--dataset", "colorization", "--root", named, "--out", tmp_path / "data", *SETTINGS)
    assert "is the same as" in refused(*arguments, unchanged=tmp_path)
    (named / "inner").mkdir()
    arguments = ("train", "--dataset", "colorization", "--root", named / "inner", "--out", tmp_path / "data", *SETTINGS)
    assert "holds" in refused(*arguments, unchanged=tmp_path)


@pytest.mark.parametrize(
    "command", [("train",), ("train-ablation", "losses"), ("train-ablation", "losses", "--dry-run")]
)
def test_what_is_linked_into_the_data_counts(photos: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    out = tmp_path / "results"
    grid = out / ("losses" if "losses" in command else "edges")
    shutil.copytree(photos, grid / "outputs")
    (photos / "more").symlink_to(grid / "outputs")
    edges = ("--dataset", "edges", "--root", photos, "--set", "direction=edges-to-photo")
    arguments = (*command, *edges, "--out", out, *SETTINGS, "--device", "cpu")
    said = refused(*arguments, unchanged=tmp_path)
    assert f"{grid}: holds {photos}/more, which is read" in said
    (photos / "more").unlink()
    (photos / "more.png").symlink_to(grid / "outputs" / "05.png")
    said = refused(*arguments, unchanged=tmp_path)
    assert f"{grid}: holds {photos}/more.png, which is read" in said


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_report_that_could_not_be_written_is_known_before_training(
    photos: Path, tmp_path: Path, dry: list[str]
) -> None:
    results = tmp_path / "results"
    root = shutil.copytree(photos, results / "report" / "photos")
    edges = ("--dataset", "edges", "--set", "direction=edges-to-photo")  # which the preset says otherwise
    command = ("train-ablation", "losses", *edges, "--out", results, "--device", "cpu", *SETTINGS, *dry)
    said = refused(*command, "--root", root, unchanged=tmp_path)
    assert said == f"{results}/report: holds {root}, which is read; expected a place apart; write elsewhere"
    said = refused(*command, "--root", photos, unchanged=tmp_path)
    assert f"{results}/report: found 'photos', expected an earlier report or nothing" in said
    if not dry:
        said = refused("train", "--dataset", "edges", "--root", photos, "--out", results, *SETTINGS, unchanged=tmp_path)
        assert "found 'photos', expected an earlier report or nothing" in said
        assert "found 'photos'" in refused("quickstart", "--out", results, unchanged=tmp_path)


@pytest.mark.parametrize("out", ["camvid/scorer.safetensors", "camvid/train/scorer.safetensors", "link/x"])
def test_a_scorer_is_not_written_into_what_it_learns_from(
    scored: Callable[..., tuple[object, ...]], tmp_path: Path, out: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "camvid")
    command = ("fcn-train", "--dataset", "camvid", "--root", tmp_path / "camvid", "--init", "scratch", "--epochs", 1)
    said = refused(*command, "--width", "0.02", "--device", "cpu", "--out", tmp_path / out, unchanged=tmp_path)
    assert f"lies in {tmp_path}/camvid, which is read" in said


@pytest.mark.parametrize("part", ["train", "trainannot"])
def test_a_scorer_is_not_written_over_a_file_that_is_linked_into_what_it_learns_from(
    scored: Callable[..., tuple[object, ...]], tmp_path: Path, part: str
) -> None:
    file = tmp_path / "camvid" / part / "1.png"
    file.symlink_to(file.rename(tmp_path / "elsewhere.png"))
    command = ("fcn-train", "--dataset", "camvid", "--root", tmp_path / "camvid", "--init", "scratch", "--epochs", 1)
    said = refused(*command, "--device", "cpu", "--out", tmp_path / "elsewhere.png", unchanged=tmp_path)
    assert f"elsewhere.png: is the same as {file}, which is read" in said


@pytest.mark.long
def test_results_beside_the_data_are_apart(photos: Path, tmp_path: Path) -> None:
    where = ("--root", str(photos), "--out", str(tmp_path / "data"), "--device", "cpu")
    before = content(photos)
    for _ in range(2):  # and the second finds what the first has made
        result = CliRunner().invoke(cli, ["train", "--dataset", "edges", *where, *SETTINGS])
        assert result.exit_code == 0, result.exception
    assert "finished before, skipped" in result.output
    assert content(photos) == before


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., tuple[object, ...]]:
    """A CamVid of two test items with a scorer; a function that gives a call of `fcn-score` on some outputs."""
    root = tmp_path / "camvid"
    for name in ("train", "trainannot", "test", "testannot"):
        (root / name).mkdir(parents=True)
        for index in range(2):
            path = root / name / f"{index}.png"
            values = picture(index, 48)
            Image.fromarray(values[..., 0] % 12 if name.endswith("annot") else values).save(path)
    shape = FcnArchitecture(channels=11, width=1 / 16, hidden=8)
    card = Card(shape, CAMVID.classes, CAMVID.name, None, "a test", None)
    torch.manual_seed(0)
    weights.save(tmp_path / "scorer.safetensors", FCN(shape), card)

    def call(outputs: Path, *more: object) -> tuple[object, ...]:
        fixed = ("--labels", f"camvid:{root}", "--weights", tmp_path / "scorer.safetensors", "--device", "cpu")
        return ("fcn-score", outputs, *fixed, *more)

    return call


@pytest.mark.long
def test_scores_of_a_folder_lie_beside_its_outputs_and_not_in_the_data(
    scored: Callable[..., tuple[object, ...]], tmp_path: Path
) -> None:
    root = tmp_path / "camvid"
    said = refused(*scored(root / "test"), unchanged=tmp_path)  # real photos as outputs, a fair thing to score
    assert f"lies in {root}, which is read" in said
    outputs = tmp_path / "outputs"
    shutil.copytree(root / "test", outputs)
    for out in (root, root / "new", outputs / ".." / "camvid"):
        assert "which is read" in refused(*scored(outputs, "--out", out), unchanged=tmp_path)
    for more in ((), ("--out", outputs / "inner"), ("--out", tmp_path / "apart")):
        for _ in range(2):  # what was written is no output
            result = CliRunner().invoke(cli, [*map(str, scored(outputs, *more, "--json"))])
            assert result.exit_code == 0, result.exception
            assert '"n": 2' in result.output
    result = CliRunner().invoke(cli, [*map(str, scored(root / "test", "--out", tmp_path / "of-photos"))])
    assert result.exit_code == 0, result.exception


def test_a_study_lies_in_no_folder_of_its_pictures(tmp_path: Path) -> None:
    for name in ("real", "fake"):
        (tmp_path / name).mkdir()
        for index in range(12):
            Image.fromarray(np.full((16, 16, 3), index, np.uint8)).save(tmp_path / name / f"{index}.png")
    small = ("--name", "first", "--raters", 2, "--practice", 2, "--trials", 4, "--size", "16x16")
    folders = ("--real", tmp_path / "real", "--fake", f"a={tmp_path / 'fake'}")
    for results in (tmp_path / "real", tmp_path / "fake" / "results"):
        assert "which is read" in refused("amt", "create", results, *small, *folders, unchanged=tmp_path)
    result = CliRunner().invoke(cli, [*map(str, ("amt", "create", tmp_path / "results", *small, *folders))])
    assert result.exit_code == 0, result.exception


def test_an_imported_scorer_is_not_the_file_that_is_read(tmp_path: Path) -> None:
    file, link = tmp_path / "x.caffemodel", tmp_path / "link"
    file.write_bytes(b"mine")
    link.symlink_to(file)
    for out in (file, link, tmp_path / "y" / ".." / "x.caffemodel"):
        assert "is the same as" in refused("fcn-import", file, out, unchanged=tmp_path)


def test_a_trained_scorer_is_not_the_file_that_it_begins_with(tmp_path: Path) -> None:
    (tmp_path / "vgg.pth").write_bytes(b"mine")
    arguments = ("fcn-train", "--dataset", "streets", "--train-items", 4, "--device", "cpu")
    where = ("--init", tmp_path / "vgg.pth", "--out", tmp_path / "vgg.pth")
    assert "is the same as" in refused(*arguments, *where, unchanged=tmp_path)
