"""Label maps from colours, and `label-score` on results folders and on other models' outputs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import reports
from fcn.labels import CAMVID, CITYSCAPES, IGNORE, Label, LabelTable
from p2pbench.cli import cli
from p2pbench.config import GridConfig, run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import PHOTO_TO_LABELS
from p2pbench.datasets.labelled import NATIVE_SIZE
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import label_maps, nearest_labels
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring import truth as truth_module
from p2pbench.scoring.label_scorer import LabelScorer
from p2pbench.scoring.runs import LabelRequest
from p2pbench.scoring.score import score_labels
from p2pbench.scoring.truth import open_truth, run_truth
from reports.store import ledger
from reports.store.layout import Grid
from tests.fcn.plain import official, strict
from tests.p2pbench.grids import run_grid
from tests.p2pbench.tiny import TINY, Command

SMALL = {"dataset": "streets", "train_items": 4, "test_items": 5, "epochs": 1, "device": "cpu"}


def by_brute_force(picture: NDArray[np.uint8], table: LabelTable) -> NDArray[np.uint8]:
    """Pixel by pixel in whole numbers: the smallest distance, then a scored class, then the table's order."""
    found = np.empty(picture.shape[:2], np.uint8)
    for place in np.ndindex(found.shape):
        pixel = picture[place].tolist()
        keys = [
            (sum((a - b) ** 2 for a, b in zip(pixel, label.colour, strict=True)), label.index == IGNORE, order)
            for order, label in enumerate(table.labels)
        ]
        found[place] = table.labels[min(keys)[2]].index
    return found


@pytest.mark.parametrize("table", [CITYSCAPES, CAMVID])
def test_the_nearest_colour_is_that_of_brute_force(table: LabelTable) -> None:
    rng = np.random.default_rng(0)
    colours = np.array([label.colour for label in table.labels], np.uint8)
    noisy = colours[rng.integers(0, len(colours), (30, 40))].astype(int) + rng.integers(-9, 10, (30, 40, 3))
    near, anything = np.clip(noisy, 0, 255).astype(np.uint8), rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for picture in (anything, near, colours[None]):
        assert np.array_equal(nearest_labels(picture, table), by_brute_force(picture, table))


def test_ties_and_shared_colours() -> None:
    table = LabelTable(
        "own",
        (
            Label(0, "void", (0, 0, 0), IGNORE),
            Label(1, "plate", (100, 0, 0), IGNORE),
            Label(2, "car", (100, 0, 0), 1),
            Label(3, "road", (20, 0, 0), 0),
            Label(4, "sky", (10, 10, 0), 2),
        ),
    )
    picture = np.array([[[100, 0, 0], [10, 0, 0], [60, 0, 0], [0, 0, 0], [20, 10, 0]]], np.uint8)
    assert nearest_labels(picture, table).tolist() == [[1, 0, 1, IGNORE, 0]]


def test_a_large_picture_is_the_sum_of_its_parts() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (300, 500, 3), dtype=np.uint8)  # more than a block
    whole = nearest_labels(picture, CITYSCAPES)
    parts = [nearest_labels(part, CITYSCAPES) for part in np.array_split(picture, 7)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_matrices_at_either_size_by_hand() -> None:
    road, sky, black = (128, 64, 128), (70, 130, 180), (0, 0, 0)
    picture = np.array([[road, sky], [black, sky]], np.uint8)
    labels = np.array([[0, 0, 10, 10]] * 2 + [[0, IGNORE, 10, 10]] * 2, np.uint8)
    predicted = nearest_labels(picture, CITYSCAPES)
    at_label = label_maps(predicted, labels, "label").matrix(19)
    assert at_label.shape == (20, 20)
    assert {(row, column): int(at_label[row, column]) for row, column in np.argwhere(at_label)} == {
        (0, 0): 4,
        (0, 19): 2,  # void predicted on road
        (10, 10): 8,
        (19, 19): 2,
    }
    at_output = label_maps(predicted, labels, "output").matrix(19)
    assert at_output.sum() == 4
    assert at_output[10, 10] == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two cells of street scenes to labels, and the ground truth."""
    results = tmp_path_factory.mktemp("trained") / "results"
    _train(results, "tiny", direction="photo-to-labels")
    return results


def _train(results: Path, name: str, cells: tuple[str, ...] = ("L1", "cGAN"), **settings: Any) -> None:  # noqa: ANN401
    grid = GridConfig(title="Tiny", cells={cell: {"objective": cell} for cell in cells})
    run_grid(results, name, grid, "own.toml", {**TINY, **SMALL, **settings}, [0], Terminal())


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    """A copy, to spoil."""
    return shutil.copytree(trained, tmp_path / "results")


def score(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["label-score", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit | UserError):
        raise result.exception
    return result


@pytest.mark.long
def test_a_results_folder(results: Path) -> None:
    result = score(results)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")][:3] == [
        "tiny/L1 seed 0  5 of 5 items",
        "tiny/cGAN seed 0  5 of 5 items",
        "tiny/real  5 of 5 items",
    ]
    assert [line for line in lines if line.startswith("  strict")][-1].startswith("  strict    1.000 [-]")
    grid = Grid(results / "tiny")
    real = ledger.read_scorer(grid.real, "labels")
    assert [metric.value for metric in real.metrics.values()] == [1, 1, 1]
    for run in grid.runs():
        assert ledger.read_scorer(run, "labels").fingerprint == real.fingerprint
        assert ledger.read_scorer(run, "labels-official").n == 5
    assert real.protocol["test_dropout"] is True
    assert real.protocol["output_sizes"] == ["32x32"]


@pytest.mark.long
def test_the_numbers_are_those_of_the_pixels(results: Path) -> None:
    score(results)
    grid = Grid(results / "tiny")
    truth = run_truth(run_config(SMALL | {"direction": "photo-to-labels"}, "test"))
    for at, size, scale in (("output", 32, 1), ("label", None, NATIVE_SIZE // 32)):
        score(results, "--at", at)
        for run in (*grid.runs(), grid.real):
            maps = []
            for id_, path in run.pictures().items():
                predicted = by_brute_force(pictures.read(path).astype(np.uint8), CITYSCAPES)
                predicted = np.minimum(predicted, 19).repeat(scale, axis=0).repeat(scale, axis=1)
                maps.append((truth.labels(id_, size), predicted))
            scores = ledger.read_scorer(run, "labels")
            assert [metric.value for metric in scores.metrics.values()] == pytest.approx(strict(maps), abs=1e-12)
            scores = ledger.read_scorer(run, "labels-official")
            assert [metric.value for metric in scores.metrics.values()] == pytest.approx(official(maps)[0], abs=1e-12)
    assert "own size" in str(scores.protocol["compared_at"])


@pytest.mark.long
def test_json_for_machines(results: Path) -> None:
    result = score(results, "--json", "--at", "label")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["cell"], line["seed"], line["scorer"]) for line in lines[::2]] == [
        ("L1", 0, "labels-official"),
        ("cGAN", 0, "labels-official"),
        ("real", None, "labels-official"),
    ]
    assert 0.5 < lines[-1]["metrics"]["class_iou"] < 1


@pytest.mark.long
def test_what_is_unfinished_is_listed_and_the_rest_is_scored(results: Path) -> None:
    grid = Grid(results / "tiny")
    grid.run("cGAN", 0).generator.unlink()
    grid.run("started", 1).folder.mkdir(parents=True)
    result = score(results)
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if line.startswith("unfinished")] == [
        "unfinished: tiny/cGAN seed 0: its training is not finished",
        "unfinished: tiny/started seed 1: its training is not finished",
    ]
    assert grid.run("L1", 0).scorers() == ["image", "labels", "labels-official"]
    assert grid.run("cGAN", 0).scorers() == ["image"]
    (grid.run("L1", 0).images / "test-00003.png").unlink()
    with pytest.raises(UserError, match="nothing can.*L1 seed 0: 4 of 5 pictures there, missing test-00003"):
        score_labels(results, LabelRequest(PHOTO_TO_LABELS), LabelScorer("output", lambda *_: None))
    result = score(results, "--allow-partial")
    assert "tiny/L1 seed 0  4 of 5 items" in result.stdout
    assert "tiny/real  5 of 5 items" in result.stdout


@pytest.mark.long
def test_other_directions_and_datasets_are_passed_over(results: Path, folders: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    _train(others, "photos", cells=("L1",), direction="labels-to-photo")
    _train(others, "pairs", cells=("L1",), dataset="folders", root=str(folders))
    with pytest.raises(UserError) as error:
        score_labels(others, LabelRequest(PHOTO_TO_LABELS), LabelScorer("output", lambda *_: None))
    assert str(error.value) == (
        f"{others}: nothing can be scored: pairs: skipped, its dataset folders has no label table; "
        "photos: skipped, its direction is labels-to-photo, expected photo-to-labels"
    )
    shutil.copytree(others / "pairs", results / "pairs")
    result = score(results)
    assert result.exit_code == 0
    assert "pairs: skipped, its dataset folders has no label table" in result.stderr.splitlines()


@pytest.mark.long
def test_a_folder_of_another_models_outputs(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs" / "test_latest" / "images"
    for id_, path in Grid(results / "tiny").run("L1", 0).pictures().items():
        pictures.write(folder / f"{id_}_fake_B", pictures.read(path))
        pictures.write(folder / f"{id_}_real_A", pictures.read(path))
    pictures.write(folder / "stray_fake_B", pictures.read(path))
    with pytest.raises(UserError, match="95 of 100 outputs missing: test-00005, .*--allow-partial"):
        CliRunner().invoke(cli, ["label-score", str(folder), "--labels", "streets:"], catch_exceptions=False)
    result = score(tmp_path / "theirs", "--labels", "streets:", "--allow-partial")
    assert result.exit_code == 0
    assert f"{tmp_path / 'theirs'}  5 of 100 items" in result.stdout
    assert "1 output is of no test item and left out, such as stray_fake_B.png" in result.stderr
    score(results)
    own = ledger.read_scorer(Grid(results / "tiny").run("L1", 0), "labels")
    result = score(tmp_path / "theirs", "--labels", "streets:", "--allow-partial", "--json")
    line = json.loads(result.stdout.splitlines()[1])
    assert line["metrics"]["class_iou"] == own.metrics["class_iou"].value
    assert line["intervals"]["class_iou"] == pytest.approx(own.interval("class_iou"))
    assert line["protocol"]["names"] == "NAME_fake_B (pytorch-CycleGAN-and-pix2pix)"


@pytest.fixture
def camvid_root(tmp_path: Path) -> Path:
    """Two test items of 24x16 in CamVid's folders: one with labels, one whose pixels are all ignored."""
    root = tmp_path / "camvid"
    rng = np.random.default_rng(0)
    for name, values in (("a", rng.integers(0, 11, (16, 24))), ("b", np.full((16, 24), 11))):
        for folder, picture in (("test", rng.integers(0, 256, (16, 24, 3))), ("testannot", values)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(root / folder / f"{name}.png")
    return root


def test_odd_outputs_are_converted_and_noted(camvid_root: Path, tmp_path: Path) -> None:
    values = np.asarray(Image.open(camvid_root / "testannot" / "a.png"))
    colours = CAMVID.to_colours(values)
    folder = tmp_path / "outputs"
    folder.mkdir()
    opaque = np.full((16, 24, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([colours, opaque], axis=2)).save(folder / "a.png")
    Image.fromarray(colours).resize((6, 4)).save(folder / "b.jpg")
    result = score(folder, "--labels", f"camvid:{camvid_root}:test", "--json")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["metrics"]["class_iou"] for line in lines] == [pytest.approx(1), 1]
    assert (lines[0]["n"], lines[0]["n_expected"]) == (1, 2)
    assert lines[0]["protocol"]["output_sizes"] == ["24x16", "6x4"]
    assert lines[0]["protocol"]["output_conversion"] == ["alpha dropped"]
    assert lines[0]["protocol"]["file_format"] == "JPEG or lossy WebP"
    notes = [line.removeprefix(f"{folder}: ") for line in result.stderr.splitlines() if "label maps:" not in line]
    assert notes == [
        "1 output is JPEG or lossy WebP, such as b.jpg: colours changed; save PNG",
        "1 output is not RGB of 8 bits (alpha dropped), such as that of a",
        "1 output is 6x4, most are 24x16, such as that of b",
        "1 output is left out, since all pixels are ignored, such as that of b",
    ]


def test_void_on_the_last_class_costs_the_official_image(camvid_root: Path, tmp_path: Path) -> None:
    values = np.zeros((16, 24), np.uint8)
    values[0, 0] = 10
    Image.fromarray(values).save(camvid_root / "testannot" / "a.png")
    colours = CAMVID.to_colours(values)
    colours[0, 0] = 0
    pictures.write(tmp_path / "outputs" / "a", colours)
    result = score(tmp_path / "outputs", "--labels", f"camvid:{camvid_root}", "--allow-partial")
    assert "  official  -" in result.stdout
    assert "  strict    0.997 [-]" in result.stdout
    assert "1 output is dropped whole by the official protocol: void predicted on the last class" in result.stderr


@pytest.mark.long
def test_one_item_has_no_interval_whatever_scores_it(tmp_path: Path) -> None:
    results = tmp_path / "results"
    _train(results, "one", ("L1",), direction="photo-to-labels", test_items=1)
    numbers = r"0\.\d{3} \[-\] +" * 2 + r"0\.\d{3} \[-\]"
    printed = score(results).stdout
    assert re.search(rf"official +{numbers}\n +strict +{numbers}\n", printed)
    said = {
        command: CliRunner().invoke(cli, [command, str(results), *more]).stdout
        for command, more in (("image-score", ()), ("report", ("--out", str(tmp_path / "report"))))
    }
    values = said["image-score"].splitlines()[1:]
    assert len(values) == 8  # L1, PSNR, SSIM, GMSD, sharpness and three histograms
    assert all(line.endswith("  [-]") for line in values)
    for command in ("image-score", "label-score"):
        for line in CliRunner().invoke(cli, [command, str(results), "--json"]).stdout.splitlines():
            assert set(json.loads(line)["intervals"].values()) == {None}
    table = reports.read(results)
    assert set(table["scorer"]) == {"image", "labels", "labels-official"}
    assert table[["low", "high"]].isna().all(axis=None)
    assert "[0." not in (tmp_path / "report/tables/one--labels.tex").read_text()


def test_missing_labels_are_named(camvid_root: Path, tmp_path: Path) -> None:
    pictures.write(tmp_path / "outputs" / "a", np.full((16, 24, 3), (128, 64, 128), np.uint8))
    (camvid_root / "testannot" / "b.png").unlink()
    with pytest.raises(UserError, match=r"unmatched files?: .*test/b\.png has no labels"):
        open_truth(f"camvid:{camvid_root}")
    (camvid_root / "test" / "b.png").unlink()
    Image.fromarray(np.full((16, 24), 77, np.uint8)).save(camvid_root / "testannot" / "a.png")
    result = CliRunner().invoke(cli, ["label-score", str(tmp_path / "outputs"), "--labels", f"camvid:{camvid_root}"])
    assert "label values 77 are not in the table" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("streets", "labels streets: expected DATASET:ROOT.*streets, cityscapes, camvid"),
        ("citiscapes:/data", "labels citiscapes:/data: expected DATASET:ROOT"),
        ("paired:/data", "dataset paired has pictures but no label table"),
        ("camvid:", "found no folder, expected camvid:ROOT"),
        ("camvid:nowhere:val", "found no such folder nowhere, expected camvid:ROOT"),
    ],
)
def test_truth_that_cannot_be_opened(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_truth(text)


def test_the_split_of_the_truth(camvid_root: Path) -> None:
    (camvid_root / "test").rename(camvid_root / "val")
    (camvid_root / "testannot").rename(camvid_root / "valannot")
    truth = open_truth(f"camvid:{camvid_root}:val")
    assert list(truth.items) == ["a", "b"]
    assert truth.labels("a").shape == (16, 24)
    assert truth.labels("b", 8).tolist() == [[IGNORE] * 8] * 8
    assert len(open_truth("streets:").items) == 100


@pytest.mark.long
def test_cityscapes_stands_beside_the_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "cityscapes"
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for frame in range(2):
            for folder, ending, picture in (
                ("leftImg8bit", "leftImg8bit", rng.integers(0, 256, (32, 64, 3))),
                ("gtFine", "gtFine_labelIds", rng.integers(0, 34, (32, 64))),
            ):
                path = root / folder / split / "ulm" / f"ulm_{frame:06d}_000019_{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture.astype(np.uint8)).save(path)
    settings = {"dataset": "cityscapes", "root": str(root), "train_items": None, "test_items": None}
    _train(tmp_path / "results", "table-6", ("L1+cGAN", "L2"), direction="photo-to-labels", **settings)
    assert "paper" not in score(tmp_path / "results").stdout  # of 2 images of 500
    monkeypatch.setattr(truth_module, "CITYSCAPES_TEST", 2)
    scored = score(tmp_path / "results")
    lines = scored.stdout.splitlines()
    assert lines[4].split() == ["paper", "0.83", "0.36", "0.29"]
    assert sum("paper" in line for line in lines) == 1
    assert [line for line in lines if line.startswith("  both ")][-1].startswith("  both      1.000 [-]")
    assert "1 cluster of items (cities): no interval" in scored.stderr


def test_the_table_fits_a_pipe(results: Path, p2pbench: Command) -> None:
    process = p2pbench("label-score", str(results))
    out, _ = process.communicate()
    assert process.returncode == 0
    assert out.splitlines()[1] == "tiny/L1 seed 0  5 of 5 items"
    assert max(len(line) for line in out.splitlines()) <= 80


def test_a_folder_that_holds_no_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run found; .*or a folder of outputs with its labels"):
        score_labels(tmp_path, LabelRequest(PHOTO_TO_LABELS), LabelScorer("output", lambda *_: None))
