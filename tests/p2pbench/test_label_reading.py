"""`label-score` on label maps of other models: ids and palettes are read as such, and what is open is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.datasets import label_images, pictures, transforms
from p2pbench.scoring import truth as truth_module
from p2pbench.scoring.label_files import NUMBERINGS, class_lookup
from reports.store import ledger
from reports.store.layout import Run
from tests.fcn.plain import official, strict
from tests.p2pbench.label_files import (
    ITEMS,
    TRAIN_IDS,
    VOC,
    Save,
    by_frequency,
    error,
    grey,
    name,
    outputs,
    predicted,
    remarks,
    scene,
    score,
    three,
    train_ids,
    with_palette,
)
from tests.p2pbench.tiny import Command

label_palette = CITYSCAPES.to_colours(np.arange(34)).astype(np.uint8)
class_palette = np.concatenate([CITYSCAPES.class_colours, np.zeros((237, 3), np.uint8)])

EXACT: dict[str, tuple[Save, str]] = {
    "label ids": (grey, "label ids"),
    "16 bits": (lambda path, ids: grey(path, ids.astype(np.uint16)), "label ids"),
    "-1 in 16 bits": (lambda path, ids: grey(path, np.where(ids == 0, np.uint16(65535), ids)), "label ids"),
    "255 for void": (lambda path, ids: grey(path, np.where(ids < 4, 255, ids).astype(np.uint8)), "label ids"),
    "grey as RGB": (three, "label ids"),
    "16 bits as RGB": (lambda path, ids: cv2.imwrite(str(path), np.dstack([ids.astype(np.uint16)] * 3)), "label ids"),
    "grey and alpha": (lambda path, ids: grey(path, np.dstack([ids, np.full_like(ids, 255)])), "label ids"),
    "RGBA": (lambda path, ids: grey(path, np.dstack([ids] * 3 + [np.full_like(ids, 255)])), "label ids"),
    "TIFF": (lambda path, ids: tifffile.imwrite(path.with_suffix(".tif"), ids.astype(np.uint16)), "label ids"),
    "the table's palette": (with_palette(label_palette), "label ids"),
    "another palette": (with_palette(VOC), "label ids"),
    "train ids, 255": (train_ids(255), "train ids"),
    "train ids, 19": (train_ids(19), "train ids"),
    "train ids, 0": (train_ids(0), "train ids plus 1"),
    "train ids in 3 channels": (train_ids(255, three), "train ids"),
    "train ids, the table's palette": (train_ids(255, with_palette(class_palette)), "train ids"),
    "train ids, another palette": (train_ids(255, with_palette(VOC)), "train ids"),
}


@pytest.mark.parametrize("kept", EXACT)
def test_ids_are_read_as_ids(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    save, reading = EXACT[kept]
    result = score(outputs(tmp_path / "theirs", save), "--labels", f"cityscapes:{cityscapes}")
    assert result.exit_code == 0, result.exception
    assert remarks(result)[0].startswith(f"{tmp_path / 'theirs'}: read as {reading}: 3 pictures of values ")
    maps = [(TRAIN_IDS[scene(frame)], np.minimum(TRAIN_IDS[predicted(frame)], 19)) for frame in range(ITEMS)]
    run = Run(tmp_path / "theirs", "theirs", None)
    for scorer, expected in (("labels", strict(maps)), ("labels-official", official(maps)[0])):
        scores = ledger.read_scorer(run, scorer)
        assert [metric.value for metric in scores.metrics.values()] == pytest.approx(expected, abs=1e-12)
    assert 0.5 < expected[0] < 0.95
    assert str(scores.protocol["prediction"]).startswith(f"{reading} as stored: ")


@pytest.mark.parametrize(
    "save",
    [lambda path, ids: grey(path, CITYSCAPES.to_colours(ids)), by_frequency],
    ids=["RGB", "palette in any order"],
)
def test_colours_are_read_as_colours(save: Save, cityscapes: Path, tmp_path: Path) -> None:
    """A pole group has a pole's colour, so that it becomes one; as ids it stays void."""
    folder = outputs(tmp_path / "theirs", save)
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert remarks(result) == [] or "outputs are dropped whole" in remarks(result)[0]
    classes = [np.where((ids := predicted(frame)) == 18, 5, TRAIN_IDS[ids]) for frame in range(ITEMS)]
    maps = [(TRAIN_IDS[scene(frame)], np.minimum(classes[frame], 19)) for frame in range(ITEMS)]
    scores = ledger.read_scorer(Run(folder, "theirs", None), "labels")
    assert [metric.value for metric in scores.metrics.values()] == pytest.approx(strict(maps), abs=1e-12)
    assert str(scores.protocol["prediction"]).startswith("label of the nearest colour: ")


def test_ids_of_another_size_are_compared_at_either(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", lambda path, ids: train_ids(255)(path, ids[::2, ::2]))
    for at, step in (("output", 2), ("label", 1)):
        result = score(folder, "--labels", f"cityscapes:{cityscapes}", "--at", at, "--json")
        line = json.loads(result.stdout.splitlines()[-1])
        maps = []
        for frame in range(ITEMS):
            small = np.minimum(TRAIN_IDS[predicted(frame)[::2, ::2]], 19)
            truth = TRAIN_IDS[transforms.resize_labels(scene(frame), 64 // step, 64 // step)]
            maps.append((truth, small.repeat(2 // step, axis=0).repeat(2 // step, axis=1)))
        assert list(line["metrics"].values()) == pytest.approx(strict(maps), abs=1e-12)
        assert line["protocol"]["output_sizes"] == ["32x32"]


@pytest.mark.long
def test_camvids_indices(camvid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(camvid / "testannot", folder)
    result = score(folder, "--labels", f"camvid:{camvid}", "--at", "label", "--out", tmp_path / "scores")
    assert result.stdout.splitlines()[2].split()[:2] == ["both", "1.000"]
    assert "read as label ids: 233 pictures of values 0, 1, 2," in result.stderr
    assert "100% as label ids, " in result.stderr


def test_a_value_that_the_numbering_does_not_have(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", grey)
    said = error(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "train-ids")
    assert f"{name(0)}.png: found values 20, 21, 22, 23, 26, expected 0 to 18, 19 or 255 for void; leave" in said


@pytest.mark.long
def test_scores_are_written_where_they_are_wanted(cityscapes: Path, tmp_path: Path) -> None:
    folder, labels = outputs(tmp_path / "theirs", train_ids(19)), f"cityscapes:{cityscapes}"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    first = score(folder, "--labels", labels, "--out", tmp_path / "kept")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    run = Run(tmp_path / "kept", "kept", None)
    assert run.scorers() == ["labels", "labels-official"]
    assert run.classes("labels").exists()
    assert run.confusion_table("labels").exists()
    for frame in range(ITEMS):
        shown = pictures.read_labels(run.segmentations / f"{name(frame)}.png")
        assert np.array_equal(shown, TRAIN_IDS[predicted(frame)])
    score(folder, "--labels", labels)
    again = score(folder, "--labels", labels)  # scores/ and segmentations/ lie in it now
    assert again.stdout == first.stdout
    assert all(path.read_bytes() == content for path, content in before.items())
    theirs = folder / "segmentations" / f"{name(0)}.png"
    shutil.copy(folder / f"{name(0)}.png", theirs)
    assert label_images.source_of_label_image(theirs) is None
    (folder / f"{name(0)}.png").unlink()
    assert f"{theirs}: found a picture that was not written by this program" in error(folder, "--labels", labels)


def test_a_folder_of_the_papers_name_stands_beside_the_paper(
    cityscapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = outputs(tmp_path / "L1+cGAN", grey)
    assert "  paper  " not in score(folder, "--labels", f"cityscapes:{cityscapes}").stdout  # of 3 images of 500
    monkeypatch.setattr(truth_module, "CITYSCAPES_TEST", ITEMS)
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert ["paper", "0.83", "0.36", "0.29"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize("option", [("--out", "scores"), ("--read", "colours")])
def test_options_of_a_plain_folder_want_labels(option: tuple[str, str]) -> None:
    result = score("results", *option)
    assert result.exit_code == 2
    assert "--out and --read are for a plain folder: give --labels" in result.output


def test_a_process_reads_train_ids(cityscapes: Path, tmp_path: Path, p2pbench: Command) -> None:
    folder = outputs(tmp_path / "theirs", train_ids(255))
    process = p2pbench("label-score", str(folder), "--labels", f"cityscapes:{cityscapes}", "--read", "train-ids")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == score(folder, "--labels", f"cityscapes:{cityscapes}").stdout


def test_numberings_are_those_of_cityscapes_scripts() -> None:
    theirs = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    for label in theirs:
        expected = IGNORE if label.ignoreInEval else label.trainId
        assert class_lookup(CITYSCAPES, "label-ids")[label.id] == expected
        if not label.ignoreInEval:
            assert class_lookup(CITYSCAPES, "train-ids")[label.trainId] == expected
            assert class_lookup(CITYSCAPES, "train-ids-from-1")[label.trainId + 1] == expected
    for table, classes in ((CITYSCAPES, 19), (CAMVID, 11)):
        lookups = [class_lookup(table, numbering) for numbering in NUMBERINGS]
        assert [sorted({*lookup.tolist()}) for lookup in lookups] == [[-1, *range(classes), IGNORE]] * 3
        assert all(lookup[[255, 65535]].tolist() == [IGNORE] * 2 for lookup in lookups)
