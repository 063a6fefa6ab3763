"""The strict protocol equals Cityscapes' own evaluation script (cityscapesScripts) to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import evaluateImgLists
from cityscapesscripts.helpers.labels import labels as their_labels
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fcn.confusion import confusion
from fcn.labels import CITYSCAPES, IGNORE
from p2pbench.cli import cli
from p2pbench.scoring.confusion_scores import class_rows, confusion_scores

SCORED = [label.value for label in CITYSCAPES.labels if label.index != IGNORE]
VOID = [label.value for label in CITYSCAPES.labels if label.index == IGNORE and label.value >= 0]
CLASSES = len(SCORED)

Ids = NDArray[np.uint8]


class Kind(NamedTuple):
    """Label ids of the truth, a scored one first, and of predictions that are wrong (half of the pixels are right)."""

    truth: Sequence[int]
    predicted: Sequence[int]


KINDS = {
    "all classes": Kind(SCORED, SCORED),
    "absent and predicted": Kind(SCORED[:6], SCORED),
    "absent and not predicted": Kind(SCORED[::3], SCORED[::3]),
    "ignored pixels": Kind([*SCORED, *VOID], SCORED),
    "void predicted": Kind(SCORED[5:], [*SCORED[5:], *VOID]),
    "all of it": Kind([*SCORED[2:9], *VOID[::2]], [*SCORED[4:], *VOID[1::2]]),
    "one class": Kind(SCORED[-1:], SCORED[-1:]),
}


def draw(kind: Kind, images: int, seed: int) -> list[tuple[Ids, Ids]]:
    """Label ids of the truth and of predictions; each image has a few of the kind's ids, in shares of its own."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(images):
        ids = rng.permutation(kind.truth)[: rng.integers(1, len(kind.truth) + 1)]
        truth = rng.choice(ids, (24, 32), p=rng.dirichlet(np.full(len(ids), 0.5)))
        truth.flat[0] = kind.truth[0]
        noise = rng.choice(kind.predicted, truth.shape)
        right = rng.random(truth.shape) < 0.5
        maps.append((truth.astype(np.uint8), np.where(right, truth, noise).astype(np.uint8)))
    return maps


def write(maps: Sequence[tuple[Ids, Ids]], root: Path) -> tuple[list[str], list[str]]:
    """Truth and predictions as Cityscapes names them; the files of each."""
    files: tuple[list[str], list[str]] = ([], [])
    for frame, pair in enumerate(maps):
        stem = f"ulm_{frame:06d}_000019"
        for side, (ids, path) in enumerate(
            zip(pair, (root / f"gtFine/val/ulm/{stem}_gtFine_labelIds.png", root / f"ids/{stem}.png"), strict=True)
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(path)
            files[side].append(str(path))
    return files


def theirs(truth: list[str], predicted: list[str]) -> dict[str, Any]:
    """What Cityscapes' script says."""
    settings = SimpleNamespace(
        evalInstLevelScore=False, evalPixelAccuracy=False, evalLabels=[], JSONOutput=False, quiet=True
    )
    found: dict[str, Any] = evaluateImgLists(predicted, truth, settings)
    return found


def matrices(maps: Sequence[tuple[Ids, Ids]]) -> dict[str, NDArray[np.int64]]:
    """As `label-score` counts them: void is a channel beyond the classes."""
    indices = [[CITYSCAPES.to_indices(ids) for ids in pair] for pair in maps]
    return {
        f"i{place:02d}": confusion(truth, np.minimum(predicted, CLASSES), CLASSES, CLASSES + 1)
        for place, (truth, predicted) in enumerate(indices)
    }


def test_the_label_tables_agree() -> None:
    ours = {label.value: (label.name, label.colour, label.index == IGNORE) for label in CITYSCAPES.labels}
    assert ours == {label.id: (label.name, label.color, label.ignoreInEval) for label in their_labels}
    order = [label.name for label in sorted(their_labels, key=lambda each: each.id) if not label.ignoreInEval]
    assert list(CITYSCAPES.classes) == order  # in which the mean is summed


@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_iou_is_theirs_to_the_last_bit(kind: str, images: int, tmp_path: Path) -> None:
    for seed in range(5):
        maps = draw(KINDS[kind], images, seed)
        expected = theirs(*write(maps, tmp_path / str(seed)))
        scores = confusion_scores("fcn", matrices(maps), "strict", images, {})
        assert scores.metrics["class_iou"].value == expected["averageScoreClasses"]
        for row in class_rows(matrices(maps), "strict", CITYSCAPES.classes):
            iou = expected["classScores"][row.name]
            assert row.iou == iou or (math.isnan(row.iou) and math.isnan(iou))
        # The rows of their confusion matrix are the truth; of the mean of their own shares it says nothing.
        shares = [
            counts[value] / sum(counts)
            for value in SCORED
            if sum(counts := [int(count) for count in expected["confMatrix"][value]])
        ]
        assert scores.metrics["class_accuracy"].value == pytest.approx(np.mean(shares), abs=1e-15)


def test_each_item_alone_is_theirs(tmp_path: Path) -> None:
    maps = draw(KINDS["all of it"], 6, 3)
    scores = confusion_scores("fcn", matrices(maps), "strict", 6, {})
    alone = [theirs(*write([pair], tmp_path / str(place))) for place, pair in enumerate(maps)]
    per_item = scores.metrics["class_iou"].per_item
    assert per_item is not None
    assert per_item.tolist() == [each["averageScoreClasses"] for each in alone]


def test_thirteen_absent_classes_that_are_predicted(tmp_path: Path) -> None:
    truth = np.repeat(np.array(SCORED[:6], np.uint8), 64).reshape(24, 16)
    predicted = truth.copy()
    predicted.flat[::5] = np.resize(SCORED[6:], predicted.flat[::5].size)
    expected = theirs(*write([(truth, predicted)], tmp_path))["averageScoreClasses"]
    found = confusion_scores("fcn", matrices([(truth, predicted)]), "strict", 1, {}).metrics["class_iou"].value
    assert found == expected == pytest.approx(0.8 * 6 / 19, abs=2e-3)  # a mean over six classes would be 0.8


def test_label_score_prints_their_number(tmp_path: Path) -> None:
    shown = set(VOID) - {18}  # polegroup has pole's colour, and is read back as pole
    maps = draw(Kind([*SCORED[:8], *shown], [*SCORED[:14], *shown]), 4, 1)
    expected = theirs(*write(maps, tmp_path / "truth"))["averageScoreClasses"]
    for frame, (_, predicted) in enumerate(maps):
        path = tmp_path / f"outputs/ulm_{frame:06d}_000019_fake_B.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(CITYSCAPES.to_colours(predicted)).save(path)
    arguments = ["label-score", str(tmp_path / "outputs"), "--labels", f"cityscapes:{tmp_path / 'truth'}", "--json"]
    lines = [json.loads(line) for line in CliRunner().invoke(cli, arguments).stdout.splitlines()]
    assert {line["scorer"]: line["metrics"]["class_iou"] for line in lines}["labels"] == expected
