"""True labels that predictions speak against: train ids in files of few values, and files without a scored class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fcn.labels import CITYSCAPES, IGNORE
from p2pbench.datasets import pictures
from tests.p2pbench import drawn_scorer
from tests.p2pbench.label_files import Ids, error, exact, grey, name, predicted, remarks, score
from tests.p2pbench.tiny import picture

NO_DOUBT = "look like"
CLASS_IDS = np.array([*CITYSCAPES.values_of_classes, *[0] * (256 - 19)], np.uint8)  # label id by train id


def root_of(folder: Path, *labels: NDArray[np.uint8]) -> Path:
    """Cityscapes' folders with these label files."""
    files = folder / "cityscapes" / "gtFine" / "val" / "ulm"
    files.mkdir(parents=True)
    for frame, values in enumerate(labels):
        grey(files / f"{name(frame)}_gtFine_labelIds.png", values)
    return folder / "cityscapes"


def label_file(root: Path) -> Path:
    return root / "gtFine" / "val" / "ulm" / f"{name(0)}_gtFine_labelIds.png"


def halves(first: int, second: int) -> Ids:
    return np.repeat(np.array([first, second], np.uint8), [24, 40])[None].repeat(64, axis=0)


def outputs(folder: Path, *maps: NDArray[np.uint8]) -> Path:
    folder.mkdir(exist_ok=True)
    for frame, values in enumerate(maps):
        grey(folder / f"{name(frame)}.png", values)
    return folder


@pytest.mark.parametrize("in_colours", [False, True])
@pytest.mark.parametrize(
    ("values", "numbering"),
    [((0, 19), "train ids"), ((13, 19), "train ids"), ((0, 13), "train ids"), ((0, 12), "train ids plus 1")],
)
def test_truth_in_train_ids_of_two_values_is_said(
    values: tuple[int, int], numbering: str, in_colours: bool, tmp_path: Path
) -> None:
    """A perfect prediction scores 0 there, since most are other classes as label ids, or void."""
    train_ids = halves(*values) if numbering == "train ids" else halves(*values) - np.uint8(1)  # 0 becomes 255
    perfect = CLASS_IDS[np.where(train_ids == 19, IGNORE, train_ids)]
    root = root_of(tmp_path, halves(*values), halves(*values))
    folder = outputs(tmp_path / "theirs", *[exact(perfect) if in_colours else perfect] * 2)
    reading = "colours" if in_colours else "label-ids"
    result = score(folder, "--labels", f"cityscapes:{root}", "--read", reading)
    assert "0.000 [-]" in result.stdout
    (said,) = [line for line in remarks(result) if NO_DOUBT in line]
    assert said == (
        f"{folder}: the true labels look like {numbering}: predictions agree with 100% of their pixels as {numbering}, "
        f"0% as label ids; give label files in label ids in place of {label_file(root)}"
    )


def test_poor_predictions_are_no_evidence(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(
        tmp_path / "poor", *(np.where(predicted(frame) == 7, 33, 32).astype(np.uint8) for frame in range(3))
    )
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert "both      0.000" in result.stdout
    assert NO_DOUBT not in result.stderr
    root = root_of(tmp_path, halves(7, 8))  # also train ids by their values, of signs and vegetation
    folder = outputs(tmp_path / "other", halves(26, 24))
    assert NO_DOUBT not in score(folder, "--labels", f"cityscapes:{root}").stderr


def test_the_fcn_score_says_it_too(scorer: Path, tmp_path: Path) -> None:
    root = root_of(tmp_path, halves(7, 8))
    folder, arguments = outputs(tmp_path / "theirs", picture(1, 64)), ("--out", tmp_path / "out", "--weights", scorer)
    result = drawn_scorer.score(folder, "--labels", f"cityscapes:{root}", *arguments)
    assert NO_DOUBT not in result.stderr
    seen = pictures.read_labels(tmp_path / "out" / "segmentations" / f"{name(0)}.png")
    classes, pixels = np.unique(seen[(seen != IGNORE) & (seen != 6)], return_counts=True)
    grey(label_file(root), np.where(seen == classes[pixels.argmax()], seen, 19).astype(np.uint8))
    result = drawn_scorer.score(folder, "--labels", f"cityscapes:{root}", *arguments)
    assert (
        f"{folder}: the true labels look like train ids: predictions agree with 100% of their pixels" in result.stderr
    )


def test_labels_without_a_scored_class_are_named(scorer: Path, tmp_path: Path) -> None:
    root = root_of(tmp_path, halves(0, 3), halves(0, 3))
    folder, labels = outputs(tmp_path / "theirs", picture(1, 64), picture(2, 64)), f"cityscapes:{root}"
    expected = (
        f"{root}: found no pixel of a scored class in the labels of 2 items, such as {label_file(root)}, expected "
        "some; give the dataset whose labels are those of the outputs"
    )
    assert error(folder, "--labels", labels, "--read", "colours") == expected
    assert drawn_scorer.error(folder, "--labels", labels, "--weights", scorer) == expected
