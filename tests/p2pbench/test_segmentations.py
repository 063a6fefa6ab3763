"""The pictures of label maps and the tables of confusion that `fcn-score` and `label-score` leave beside the scores."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fcn import weights
from fcn.confusion import load
from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.cli import cli
from p2pbench.config import run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.labelled import NATIVE_SIZE
from p2pbench.metrics.label_maps import nearest_labels
from p2pbench.scoring.truth import open_truth, run_truth
from reports.store.layout import Grid, Run
from tests.p2pbench.drawn_scorer import error, make_cityscapes, make_scorer, maps, score, train
from tests.p2pbench.tiny import picture

BEYOND = "beyond the classes"
CLASSES = len(CITYSCAPES.classes)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, scorer: Path) -> Path:
    """A results folder with two scored cells of labels to street scenes, and the ground truth."""
    results = tmp_path_factory.mktemp("trained") / "results"
    train(results, "tiny")
    score(results, "--weights", scorer)
    return results


@pytest.fixture
def results(scored: Path, tmp_path: Path) -> Path:
    """A copy, to spoil."""
    return shutil.copytree(scored, tmp_path / "results")


def runs(results: Path) -> list[Run]:
    grid = Grid(results / "tiny")
    return [*grid.runs(), grid.real]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def inodes(folders: Iterable[Path]) -> dict[Path, int]:
    """Which file lies at each place: a file that is written anew is another."""
    return {path: path.stat().st_ino for folder in folders for path in folder.iterdir()}


def shown(results: Path) -> dict[str, bytes]:
    """Everything that the scorers draw, by its place."""
    folders = [Grid(results / "tiny").labels, *(run.segmentations for run in runs(results))]
    return {str(path.relative_to(results)): path.read_bytes() for folder in folders for path in folder.iterdir()}


def table(run: Run, scorer: str) -> list[list[str]]:
    with run.confusion_table(scorer).open() as file:
        return list(csv.reader(file))


def count(pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]], classes: int) -> list[list[int]]:
    """How many pixels of each class are taken for each, the ignored and those beyond the classes last."""
    matrix = np.zeros((classes + 1, classes + 1), int)
    for truth, prediction in pairs:
        np.add.at(matrix, (np.minimum(truth, classes), np.minimum(prediction, classes)), 1)
    return [[*map(int, row)] for row in matrix]


@pytest.mark.long
def test_a_segmentation_is_what_the_network_saw(scored: Path, scorer: Path) -> None:
    grid = Grid(scored / "tiny")
    beyond = 0
    for run in runs(scored):
        assert sorted(path.stem for path in run.segmentations.iterdir()) == sorted(run.pictures())
        for id_, (truth, prediction) in zip(run.pictures(), maps(run, scorer), strict=True):
            found = read(run.segmentations / f"{id_}.png")
            assert found.shape == (NATIVE_SIZE, NATIVE_SIZE)
            np.testing.assert_array_equal(found, np.where(prediction < CLASSES, prediction, IGNORE))
            np.testing.assert_array_equal(read(grid.labels / f"{id_}.png"), truth)
            beyond += int((found == IGNORE).sum())
    assert beyond > 0  # else nothing was tested


@pytest.mark.long
def test_the_table_of_confusion_sums_all_items(scored: Path, scorer: Path) -> None:
    for run in runs(scored):
        header, *rows = table(run, "fcn-strict")
        assert header == ["truth", *CITYSCAPES.classes, BEYOND]
        assert [row[0] for row in rows] == [*CITYSCAPES.classes, "ignored"]
        assert [[int(cell) for cell in row[1:]] for row in rows] == count(maps(run, scorer), CLASSES)
        assert not run.confusion_table("fcn-official").exists()


@pytest.mark.long
def test_what_is_lost_is_drawn_again_and_nothing_else_counted(results: Path, scorer: Path) -> None:
    first, second, real = runs(results)
    before, kept = shown(results), {run: run.confusion.read_bytes() for run in (first, second, real)}
    shutil.rmtree(first.segmentations)
    lost, mixed, stays = sorted(second.segmentations.iterdir())[:3]
    lost.unlink()
    shutil.copy(stays, mixed)  # a picture of another output at its place
    untouched = inodes([second.segmentations, real.segmentations, Grid(results / "tiny").labels])
    result = score(results, "--weights", scorer)
    told = {line.split(":")[0] for line in result.stderr.splitlines() if "segmented" in line}
    assert told == {"tiny/L1 seed 0", "tiny/cGAN seed 0"}
    assert shown(results) == before
    after = inodes([second.segmentations, real.segmentations, Grid(results / "tiny").labels])
    assert {path for path in after if after[path] != untouched.get(path)} == {lost, mixed}
    for run, content in kept.items():
        digest = weights.digest(scorer)
        assert run.confusion.read_bytes() == content
        assert len(load(run.confusion, digest)) == len(run.pictures())


@pytest.mark.long
def test_results_scored_without_pictures_get_them(results: Path, scorer: Path) -> None:
    before = shown(results)
    for folder in [Grid(results / "tiny").labels, *(run.segmentations for run in runs(results))]:
        shutil.rmtree(folder)
    score(results, "--weights", scorer)
    assert shown(results) == before


@pytest.mark.long
def test_true_labels_that_are_lost_need_no_network(results: Path, scorer: Path) -> None:
    before = shown(results)
    next(Grid(results / "tiny").labels.iterdir()).unlink()
    assert "segmented" not in score(results, "--weights", scorer).stderr
    assert shown(results) == before


# Ends the process when the third picture is written, and before its matrix is kept.
KILLED = """
import os, signal, sys
from fcn import scoring
from p2pbench.cli import cli
from p2pbench.datasets import label_images

write = label_images.write_label_image

def fatal(path, *arguments):
    write(path, *arguments)
    if path.parent.name == "segmentations" and path.stem.endswith("2"):
        os.kill(os.getpid(), signal.SIGKILL)

label_images.write_label_image = fatal
scoring.SECONDS_BETWEEN_SAVES = -1.0
cli(["fcn-score", "--device", "cpu", "--weights", *sys.argv[1:]])
"""


@pytest.mark.process
def test_who_is_killed_in_between_goes_on(results: Path, scorer: Path) -> None:
    before = shown(results)
    for run in runs(results):
        shutil.rmtree(run.segmentations)
        run.confusion.unlink()
    process = subprocess.run([sys.executable, "-c", KILLED, str(scorer), str(results)], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    run = runs(results)[0]
    digest = weights.digest(scorer)
    ids = list(run.pictures())
    assert sorted(load(run.confusion, digest)) == ids[:2]
    assert sorted(path.stem for path in run.segmentations.glob("*.png")) == ids[:3]
    done = inodes([run.segmentations])
    score(results, "--weights", scorer)
    assert shown(results) == before
    assert done.items() <= inodes([run.segmentations]).items()
    assert sorted(load(run.confusion, digest)) == ids


@pytest.mark.long
def test_pictures_of_items_that_are_gone_are_removed(results: Path, scorer: Path) -> None:
    run, other, _ = runs(results)
    id_, path = next(iter(run.pictures().items()))
    path.unlink()
    (run.segmentations / "notes.txt").write_text("not ours")
    Image.fromarray(picture(2)).save(run.segmentations / "mine.png")
    score(results, "--weights", scorer, "--allow-partial")
    assert sorted(path.stem for path in run.segmentations.glob("*.png")) == sorted([*run.pictures(), "mine"])
    assert (run.segmentations / "notes.txt").exists()
    assert (other.segmentations / f"{id_}.png").exists()
    assert (Grid(results / "tiny").labels / f"{id_}.png").exists()  # others are compared with it
    for run in runs(results):
        (run.images / f"{id_}.png").unlink(missing_ok=True)
    score(results, "--weights", scorer, "--allow-partial")
    assert not (Grid(results / "tiny").labels / f"{id_}.png").exists()


@pytest.mark.long
def test_another_scorer_draws_anew(results: Path, tmp_path: Path) -> None:
    other = make_scorer(tmp_path / "other.safetensors", CITYSCAPES, 20, seed=1)
    score(results, "--weights", other)
    for run in runs(results):
        for id_, (_, prediction) in zip(run.pictures(), maps(run, other), strict=True):
            found = read(run.segmentations / f"{id_}.png")
            np.testing.assert_array_equal(found, np.where(prediction < CLASSES, prediction, IGNORE))


@pytest.mark.long
def test_true_labels_with_ignored_pixels_follow_their_file(tmp_path: Path, scorer: Path) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", 2, 33)
    settings = {"dataset": "cityscapes", "root": str(root), "train_items": None, "test_items": None}
    truth = open_truth(f"cityscapes:{root}")
    for values in (None, 7, 0):  # as drawn; all road; all ignored
        file = next((root / "gtFine" / "val").rglob("*000000_000019_gtFine_labelIds.png"))
        if values is not None:
            Image.fromarray(np.full((32, 64), values, np.uint8)).save(file)
        results = tmp_path / f"results-{values}"  # labels that changed since a grid was made are refused there
        train(results, "tiny", ("L1",), **settings)
        assert score(results, "--weights", scorer).exit_code == 0
        grid = Grid(results / "tiny")
        for id_ in truth.items:
            found = read(grid.labels / f"{id_}.png")
            np.testing.assert_array_equal(found, truth.labels(id_))
            assert read(grid.real.segmentations / f"{id_}.png").shape == found.shape == (32, 64)
    changed = read(grid.labels / "ulm_000000_000019.png")
    assert (changed == IGNORE).all()
    header, *rows = table(grid.real, "fcn-strict")
    assert sum(int(cell) for cell in rows[-1][1:]) == sum((truth.labels(id_) == IGNORE).sum() for id_ in truth.items)


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, str]:
    """A plain folder of two outputs, and where their labels are: 700x33 in CamVid's folders."""
    rng = np.random.default_rng(0)
    for id_ in "ab":
        for folder, values in (
            ("camvid/test", rng.integers(0, 256, (33, 700, 3))),
            ("camvid/testannot", rng.integers(0, 12, (33, 700))),
            ("outputs", picture(1, 40)),
        ):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / folder / f"{id_}.png")
    return tmp_path / "outputs", f"camvid:{tmp_path / 'camvid'}"


@pytest.mark.long
def test_a_plain_folder_has_its_segmentations_beside_its_scores(outputs: tuple[Path, str], tmp_path: Path) -> None:
    folder, labels = outputs
    arguments = ("--weights", make_scorer(tmp_path / "fcn.safetensors", CAMVID, 11), "--labels", labels)
    first = score(folder, *arguments)
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "scores", "segmentations"]
    assert read(folder / "segmentations" / "a.png").shape == (24, 512)
    again = score(folder, *arguments)  # whose own pictures are no outputs
    assert again.stdout == first.stdout
    assert "segmented" not in again.stderr
    score(folder, *arguments, "--out", tmp_path / "kept")
    for id_ in "ab":
        own, kept = folder / "segmentations" / f"{id_}.png", tmp_path / "kept" / "segmentations" / f"{id_}.png"
        assert own.read_bytes() == kept.read_bytes()
    header, *_ = table(Run(folder, "outputs", None), "fcn-strict")
    assert header == ["truth", *CAMVID.classes, BEYOND]


def test_pictures_of_others_are_not_overwritten(outputs: tuple[Path, str], tmp_path: Path) -> None:
    folder, labels = outputs
    theirs = tmp_path / "kept" / "segmentations" / "b.png"
    theirs.parent.mkdir(parents=True)
    Image.fromarray(picture(2)).save(theirs)
    before = theirs.read_bytes()
    scorer = make_scorer(tmp_path / "fcn.safetensors", CAMVID, 11)
    said = error(folder, "--weights", scorer, "--labels", labels, "--out", tmp_path / "kept")
    assert said.startswith(f"{theirs}: found a picture that was not written by this program")
    assert theirs.read_bytes() == before
    assert not (tmp_path / "kept" / "scores").exists()


@pytest.mark.parametrize(
    "name",
    ["fcn-strict.json", "fcn-official-classes.csv", "fcn-strict-confusion.csv", "evaluation_results.txt"],
)
def test_scores_of_others_are_not_overwritten(outputs: tuple[Path, str], tmp_path: Path, name: str) -> None:
    folder, labels = outputs
    theirs = tmp_path / "kept" / "scores" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"mine": 1}')
    scorer = make_scorer(tmp_path / "fcn.safetensors", CAMVID, 11)
    arguments = (folder, "--weights", scorer, "--labels", labels, "--out", tmp_path / "kept")
    said = error(*arguments)
    assert said.startswith(f"{theirs}: ")
    assert "move it away" in said
    assert theirs.read_text() == '{"mine": 1}'
    assert [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()] == [name]
    theirs.unlink()
    score(*arguments)
    score(*arguments)


@pytest.mark.long
@pytest.mark.parametrize("name", ["evaluation_results.txt", "fcn-strict-classes.csv", "fcn-strict-confusion.csv"])
def test_a_line_added_to_scores_stays(results: Path, scorer: Path, name: str) -> None:
    path = runs(results)[0].scores / name
    with path.open("a") as file:
        file.write("my own line\n")
    theirs = path.read_bytes()
    said = error(results, "--weights", scorer)
    assert said == f"{path}: was changed since this program wrote it, and would be overwritten; move it away"
    assert path.read_bytes() == theirs
    path.unlink()
    score(results, "--weights", scorer)


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one cell of street scenes to labels, and the ground truth."""
    results = tmp_path_factory.mktemp("back") / "results"
    train(results, "tiny", ("L1",), direction="photo-to-labels")
    return results


def label_score(*arguments: object) -> None:
    result = CliRunner().invoke(cli, ["label-score", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0


@pytest.mark.long
@pytest.mark.parametrize(("at", "size"), [("output", 32), ("label", None)])
def test_label_score_shows_the_nearest_labels(at: str, size: int | None, back: Path) -> None:
    label_score(back, "--at", at)
    grid = Grid(back / "tiny")
    truth = run_truth(run_config({"dataset": "streets", "direction": "photo-to-labels"}, "test"))
    side = size or NATIVE_SIZE
    for run in runs(back):
        pairs = []
        for id_, path in run.pictures().items():
            nearest = nearest_labels(pictures.read(path).astype(np.uint8), CITYSCAPES)
            nearest = nearest.repeat(side // 32, axis=0).repeat(side // 32, axis=1)
            pairs.append((truth.labels(id_, size), nearest))
            np.testing.assert_array_equal(read(run.segmentations / f"{id_}.png"), nearest)
            np.testing.assert_array_equal(read(grid.labels / f"{id_}.png"), truth.labels(id_, size))
        assert len(pairs) == len(list(run.segmentations.iterdir())) == len(list(grid.labels.iterdir()))
        header, *rows = table(run, "labels")
        assert header == ["truth", *CITYSCAPES.classes, BEYOND]
        assert [[int(cell) for cell in row[1:]] for row in rows] == count(pairs, CLASSES)
        assert not run.confusion_table("labels-official").exists()


@pytest.mark.long
def test_label_score_writes_its_classes(back: Path) -> None:
    label_score(back)
    for run in runs(back):
        for scorer in ("labels", "labels-official"):
            with run.classes(scorer).open() as file:
                rows = list(csv.DictReader(file))
            assert [row["class"] for row in rows] == list(CITYSCAPES.classes)
        pixels = [sum(map(int, row[1:])) for row in table(run, "labels")[1:-1]]
        assert [int(row["pixels"]) for row in rows] == pixels
    iou = [float(row["iou"]) for row in rows if row["pixels"] != "0"]
    assert iou == pytest.approx([1] * len(iou))  # the ground truth


@pytest.mark.long
def test_label_score_restores_and_removes(back: Path, tmp_path: Path) -> None:
    results = shutil.copytree(back, tmp_path / "results")
    label_score(results)
    before, run = shown(results), runs(results)[0]
    kept = inodes([run.segmentations])
    gone = next(iter(sorted(run.segmentations.iterdir())))
    gone.unlink()
    shutil.rmtree(Grid(results / "tiny").labels)
    label_score(results)
    assert shown(results) == before
    assert {path for path, inode in inodes([run.segmentations]).items() if inode != kept[path]} <= {gone}
    (run.images / gone.name).unlink()
    label_score(results, "--allow-partial")
    assert not gone.exists()
    assert before.keys() - shown(results).keys() == {str(gone.relative_to(results))}
