"""`fcn-score` on results folders and on other models' outputs, and its self-test."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn import weights
from fcn.confusion import load
from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.scoring import networks
from reports.store import ledger
from reports.store.layout import RECORD, Grid, Run
from tests.fcn.plain import official, strict
from tests.p2pbench.drawn_scorer import (
    error,
    make_cityscapes,
    make_scorer,
    maps,
    score,
    train,
)
from tests.p2pbench.tiny import picture


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two cells of labels to street scenes, and the ground truth."""
    results = tmp_path_factory.mktemp("trained") / "results"
    train(results, "tiny")
    return results


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    """A copy, to spoil."""
    return shutil.copytree(trained, tmp_path / "results")


def values(run: Run, name: str) -> list[float]:
    return [metric.value for metric in ledger.read_scorer(run, name).metrics.values()]


@pytest.mark.long
def test_the_numbers_are_those_of_the_published_script(results: Path, scorer: Path) -> None:
    result = score(results, "--weights", scorer)
    assert result.exit_code == 0
    grid = Grid(results / "tiny")
    runs = [*grid.runs(), grid.real]
    assert [run.cell for run in runs] == ["L1", "cGAN", "real"]
    for run in runs:
        pairs = maps(run, scorer)
        assert values(run, "fcn-official") == pytest.approx(official(pairs)[0], abs=1e-9)
        assert values(run, "fcn-strict") == pytest.approx(strict(pairs), abs=1e-9)
        pixel, accuracy, iou = official(pairs)[0]
        lines = run.published.read_text().splitlines()
        assert lines[:4] == [
            f"Mean pixel accuracy: {pixel:.6f}",
            f"Mean class accuracy: {accuracy:.6f}",
            f"Mean class IoU: {iou:.6f}",
            "************ Per class numbers below ************",
        ]
        assert lines[4].startswith("road           : acc = 0.")
        assert len(lines) == 4 + 19
    assert len(np.unique(maps(grid.real, scorer)[0][1])) > 3  # else nothing was tested
    title, *shown, price = [line for line in result.stdout.splitlines() if not line.startswith((" ", "in brackets"))]
    assert title == "official and strict rules, own scorer: FCN-8s, drawn"
    assert shown == [f"tiny/{name}  4 of 4 items" for name in ("L1 seed 0", "cGAN seed 0", "real")]
    absent = 19 - len(set(np.unique([truth for truth, _ in maps(grid.real, scorer)])) - {IGNORE})
    assert price.startswith(f"official: {absent} of 19 classes do not occur and count 0")
    assert f"at most {(19 - absent) / 19:.3f}" in " ".join(result.stdout.split())


@pytest.mark.long
def test_all_rows_of_a_grid_have_one_protocol(results: Path, scorer: Path) -> None:
    score(results, "--weights", scorer)
    grid = Grid(results / "tiny")
    strict_, official_ = (
        {ledger.read_scorer(run, name).fingerprint for run in (*grid.runs(), grid.real)}
        for name in ("fcn-strict", "fcn-official")
    )
    assert len(strict_) == len(official_) == 1
    assert strict_ != official_
    protocol = ledger.read_scorer(grid.real, "fcn-official").protocol
    assert protocol["weights"] == weights.digest(scorer)
    assert "48x48" in str(protocol["segmented_at"])
    other = make_scorer(results.parent / "other.safetensors", CITYSCAPES, 20, seed=1)
    score(results, "--weights", other)
    assert ledger.read_scorer(grid.real, "fcn-strict").fingerprint not in strict_


@pytest.mark.long
def test_classes_are_in_a_file(results: Path, scorer: Path) -> None:
    score(results, "--weights", scorer)
    real = Grid(results / "tiny").real
    with real.classes("fcn-strict").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert tuple(rows) == CITYSCAPES.classes
    assert rows["train"] == dict.fromkeys(rows["train"], "") | {"class": "train", "pixels": "0", "images": "0"} | {
        name: rows["train"][name] for name in ("iou", "iou_low", "iou_high")
    }
    assert rows["train"]["iou"] in {"", "0.0"}  # by whether it is predicted
    for place, name in ((1, "accuracy"), (2, "iou")):
        defined = [float(row[name]) for row in rows.values() if row[name]]
        assert np.mean(defined) == pytest.approx(values(real, "fcn-strict")[place])
    road = rows["road"]
    assert float(road["iou_low"]) <= float(road["iou"]) <= float(road["iou_high"])


@pytest.mark.long
def test_a_second_call_segments_what_changed_alone(results: Path, scorer: Path) -> None:
    assert "segmented" in score(results, "--weights", scorer).stderr
    again = score(results, "--weights", scorer)
    assert "segmented" not in again.stderr
    run = Grid(results / "tiny").run("L1", 0)
    before = load(run.confusion, weights.digest(scorer))
    Image.fromarray(picture(3, 32)).save(next(iter(run.pictures().values())))
    refused = "test-00000.png: was not made by this run, or was replaced since; move it away, and give the command"
    assert refused in score(results, "--weights", scorer).stderr
    (run.folder / RECORD).unlink()  # as an older version left it
    third = score(results, "--weights", scorer)
    assert third.stdout != again.stdout
    assert third.stderr.count("segmented") == 1
    after = load(run.confusion, weights.digest(scorer))
    assert [id_ for id_ in after if after[id_].key != before[id_].key] == [next(iter(run.pictures()))]


@pytest.mark.long
def test_what_is_unfinished_is_listed_and_the_rest_is_scored(results: Path, scorer: Path) -> None:
    grid = Grid(results / "tiny")
    grid.run("L1", 0).generator.unlink()
    result = score(results, "--weights", scorer)
    assert result.exit_code == 0
    assert "unfinished: tiny/L1 seed 0: its training is not finished" in result.stderr.splitlines()
    assert "tiny/cGAN seed 0" in result.stdout
    next(iter(grid.run("cGAN", 0).pictures().values())).unlink()
    assert "tiny/cGAN seed 0: 3 of 4 pictures there" in error(results, "--weights", scorer)
    partial = score(results, "--weights", scorer, "--allow-partial")
    assert "tiny/cGAN seed 0  3 of 4 items" in partial.stdout


@pytest.mark.long
def test_one_protocol_and_json(results: Path, scorer: Path) -> None:
    assert "official" not in score(results, "--weights", scorer, "--protocol", "strict").stdout
    printed = score(results, "--weights", scorer, "--json").stdout.splitlines()
    rows = [json.loads(line) for line in printed]
    assert [(row["cell"], row["scorer"]) for row in rows[-2:]] == [("real", "fcn-official"), ("real", "fcn-strict")]
    assert set(rows[0]["metrics"]) == {"pixel_accuracy", "class_accuracy", "class_iou"}


def test_other_directions_are_for_label_score(tmp_path: Path, scorer: Path) -> None:
    train(tmp_path / "results", "back", ("L1",), direction="photo-to-labels")
    said = error(tmp_path / "results", "--weights", scorer)
    assert "direction is photo-to-labels, expected labels-to-photo" in said


@pytest.fixture
def camvid_root(tmp_path: Path) -> Path:
    """Two photos with labels in CamVid's folders."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for id_ in ("a", "b"):
            for folder, values_ in ((split, rng.integers(0, 256, (40, 60, 3))), (f"{split}annot", LABELS[id_])):
                path = tmp_path / "camvid" / folder / f"{id_}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values_.astype(np.uint8)).save(path)
    return tmp_path / "camvid"


LABELS = {"a": np.arange(2400).reshape(40, 60) // 200, "b": np.arange(2400).reshape(40, 60) % 12}


def test_outputs_of_another_model(camvid_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "test_latest" / "images"
    folder.mkdir(parents=True)
    for id_, size in (("a", 40), ("b", 64)):
        Image.fromarray(picture(1, size)).save(folder / f"{id_}_fake_B.png")
        Image.fromarray(picture(2)).save(folder / f"{id_}_real_A.png")
    scorer = make_scorer(tmp_path / "fcn.safetensors", CAMVID, 11)
    labels = f"camvid:{camvid_root}"
    result = score(tmp_path / "test_latest", "--weights", scorer, "--labels", labels)
    assert result.exit_code == 0
    assert "2 of 2 items" in result.stdout
    assert "1 output is 64x64, most are 40x40, such as that of b" in result.stderr
    assert "paper" not in result.stdout
    run = Run(tmp_path / "test_latest", "test_latest", None)
    scores = ledger.read_scorer(run, "fcn-official")
    assert scores.protocol["names"] == "NAME_fake_B (pytorch-CycleGAN-and-pix2pix)"
    # Again, from the same folder, which holds scores/ now; and elsewhere.
    elsewhere = score(tmp_path / "test_latest", "--weights", scorer, "--labels", labels, "--out", tmp_path / "kept")
    assert elsewhere.stdout == result.stdout
    assert Run(tmp_path / "kept", "kept", None).published.exists()
    (folder / "b_fake_B.png").unlink()
    said = error(tmp_path / "test_latest", "--weights", scorer, "--labels", labels)
    assert "1 of 2 outputs missing: b" in said
    partial = score(tmp_path / "test_latest", "--weights", scorer, "--labels", labels, "--allow-partial")
    assert "1 of 2 items" in partial.stdout


def test_jpeg_grey_and_alpha_are_scored_and_said(camvid_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    Image.fromarray(picture(1)).convert("L").save(folder / "a.jpg")
    Image.fromarray(picture(1)).convert("RGBA").save(folder / "b.png")
    scorer = make_scorer(tmp_path / "fcn.safetensors", CAMVID, 11)
    arguments = (folder, "--weights", scorer, "--labels", f"camvid:{camvid_root}")
    result = score(*arguments)
    assert "1 output is JPEG or lossy WebP, such as a.jpg" in result.stderr
    scores = ledger.read_scorer(Run(folder, "outputs", None), "fcn-strict")
    assert scores.protocol["file_format"] == "JPEG or lossy WebP"
    assert scores.protocol["output_conversion"] == ["alpha dropped", "grey repeated"]
    score(*arguments)  # from the matrices alone, which know it too
    assert ledger.read_scorer(Run(folder, "outputs", None), "fcn-strict").fingerprint == scores.fingerprint


@pytest.mark.long
def test_cityscapes_by_the_published_weights_stands_beside_the_paper(
    tmp_path: Path, scorer: Path, imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", 2, 33)
    outputs = tmp_path / "L1+cGAN"
    shutil.copytree(root / "leftImg8bit" / "val", outputs)
    few = score(outputs, "--weights", imported, "--labels", f"cityscapes:{root}")
    assert "paper" not in few.stdout  # of 2 images of 500
    monkeypatch.setattr("p2pbench.scoring.truth.CITYSCAPES_TEST", 2)
    own = score(outputs, "--weights", scorer, "--labels", f"cityscapes:{root}")
    assert own.stdout.splitlines()[0] == "official and strict rules, own scorer: FCN-8s, drawn"
    assert "paper" not in own.stdout
    alone = score(outputs, "--weights", scorer, "--labels", f"cityscapes:{root}", "--protocol", "official")
    assert alone.stdout.splitlines()[0] == "official rules, own scorer: FCN-8s, drawn"
    scorer = imported
    result = score(outputs, "--weights", scorer, "--labels", f"cityscapes:{root}")
    assert "scorer" not in result.stdout
    assert ["paper", "0.66", "0.23", "0.17"] in [line.split() for line in result.stdout.splitlines()]
    assert "2 of 2 items" in result.stdout
    (tmp_path / "labels").mkdir()
    shutil.copytree(root / "gtFine", tmp_path / "labels" / "gtFine")
    alone = score(outputs, "--weights", scorer, "--labels", f"cityscapes:{tmp_path / 'labels'}")
    assert alone.stdout == result.stdout
    settings = {"dataset": "cityscapes", "root": str(root), "train_items": None, "test_items": None}
    train(tmp_path / "results", "own", ("L1", "L2"), **settings)
    lines = score(tmp_path / "results", "--weights", scorer).stdout.splitlines()
    root.rename(tmp_path / "moved")
    assert "cityscapes: found no such folder" in error(tmp_path / "results", "--weights", scorer)
    again = score(tmp_path / "results", "--weights", scorer, "--root", tmp_path / "moved")
    assert again.stdout.splitlines() == lines
    assert [line.split()[1:] for line in lines if "paper" in line] == [
        ["0.42", "0.15", "0.11"],
        ["0.80", "0.26", "0.21"],
    ]


def test_train_ids_are_refused(tmp_path: Path, scorer: Path) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", 10, 18)
    outputs = tmp_path / "outputs"
    shutil.copytree(root / "leftImg8bit" / "val", outputs)
    said = error(outputs, "--weights", scorer, "--labels", f"cityscapes:{root}")
    assert "found train ids (values 0, 1, 2, 3, " in said
    assert "in 10 label files), expected label ids 0 to 33" in said
    for path in (root / "gtFine" / "val").rglob("*.png"):
        values_ = np.asarray(Image.open(path)).copy()
        values_[0], values_[1] = 255, 33
        Image.fromarray(values_).save(path)
    assert "label values 255 are not in the table" in error(
        outputs, "--labels", f"cityscapes:{root}", "--weights", scorer
    )


@pytest.mark.long
def test_what_cannot_be_scored(tmp_path: Path, scorer: Path, results: Path, camvid_root: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    labels = f"camvid:{camvid_root}"
    assert "found no pictures" in error(outputs, "--labels", labels, "--weights", scorer)
    Image.fromarray(picture(1)).save(outputs / "c.png")
    assert "none of 1 output is of one of 2 items; found c, expected a, b" in error(
        outputs, "--labels", labels, "--weights", scorer
    )
    for id_ in "ab":
        Image.fromarray(picture(1)).save(outputs / f"{id_}.png")
    said = error(outputs, "--labels", labels)
    assert all(part in said for part in ("dataset camvid needs a scorer's file", "fcn-import", "fcn-train"))
    assert "trained for cityscapes label ids (19 classes); expected one for camvid" in error(
        outputs, "--labels", labels, "--weights", scorer
    )
    assert "nothing.safetensors: no such file" in error(results, "--weights", tmp_path / "nothing.safetensors")
    (outputs / "a.png").write_bytes(b"no picture")
    own = make_scorer(tmp_path / "own.safetensors", CAMVID, 11)
    assert "a.png: found no picture that can be decoded" in error(outputs, "--labels", labels, "--weights", own)
    (camvid_root / "testannot" / "b.png").unlink()
    assert "b.png has no labels" in error(outputs, "--labels", labels, "--weights", own)
    assert "found no such folder" in error(tmp_path / "nowhere", "--weights", scorer)


def test_wrong_usage() -> None:
    assert score().exit_code == 2
    assert score("results", "--self-test", "--dataset", "streets").exit_code == 2
    assert score("--self-test").exit_code == 2
    assert score("results", "--out", "elsewhere").exit_code == 2


@pytest.mark.parametrize(
    ("steps", "least"),
    [(50, (0.77, 0.65, 0.45)), pytest.param(networks.SETTINGS.steps, (0.92, 0.9, 0.75), marks=pytest.mark.slow)],
)
@pytest.mark.long
def test_street_scenes_bring_a_scorer_that_knows_them(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, least: tuple[float, ...]
) -> None:
    """The one that is trained on first use: its accuracy on real test photos is what quickstart rests on.

    A twelfth of the steps shows that it learns; what all of them reach takes minutes.
    """
    monkeypatch.setattr(networks, "SETTINGS", replace(networks.SETTINGS, steps=steps, validate_every=steps // 2))
    tested = score("--self-test", "--dataset", "streets")
    assert tested.exit_code == 0, tested.stderr
    lines = tested.stdout.splitlines()
    reached = [float(word) for word in lines[3].split()[2:5]]
    assert all(value > bound for value, bound in zip(reached, least, strict=True)), reached
    assert "above chance" in lines[4]
    assert "warning" not in tested.stderr
    copy = shutil.copytree(trained, tmp_path / "results")
    again = score(copy)  # the same scorer, from the cache
    assert again.exit_code == 0
    assert "training a scorer" not in again.stderr
    title = "official and strict rules, own scorer: FCN-4s trained on 1200 street scenes"
    assert again.stdout.splitlines()[0] == title
    real = Grid(copy / "tiny").real
    assert values(real, "fcn-strict")[0] > 0.1 + values(Grid(copy / "tiny").run("L1", 0), "fcn-strict")[0]
