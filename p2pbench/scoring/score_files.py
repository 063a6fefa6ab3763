"""What the scorers of label maps write about a run: its scores, those of its classes, and what was taken for what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn.protocol import PROTOCOLS
from p2pbench.datasets import label_images
from p2pbench.scoring.confusion_scores import ClassRow, class_rows
from p2pbench.scoring.outcome import Compared, Scorers
from p2pbench.scoring.score_table import ScoreRow
from p2pbench.scoring.truth import Truth
from reports.store import apart, ledger, made
from reports.store.atomic import csv_text
from reports.store.layout import Run

CLASS_COLUMNS = ("class", "accuracy", "accuracy_low", "accuracy_high", "iou", "iou_low", "iou_high", "pixels", "images")


TRUTH, IGNORED, BEYOND = "truth", "ignored", "beyond the classes"


_CLASSES, _CONFUSION = f"{','.join(CLASS_COLUMNS)}\n".encode(), f"{TRUTH},".encode()  # how the tables begin


def folder_run(out: Path, folder: Path, ids: Iterable[str], truth: Truth, scorers: Scorers) -> Run:
    """Where the scores of a plain folder of outputs go.

    Args:
        out: The folder that gets `scores/` and `segmentations/`.
        folder: The outputs.
        ids: Of the items whose label maps will be written.
        truth: What they are compared with; nothing is written into its folder.
        scorers: The names of the scorer by each protocol.

    Raises:
        UserError: Another's picture is where a label map goes, as may be in anybody's folder of outputs.
        ReportError: As `check_free`; or `out` is, holds or lies in the folder of the truth.
    """
    run = Run(out, folder.resolve().name, None)
    if truth.dataset.needs_root:
        for written in (run.scores, run.segmentations):  # in the folder of outputs they are known, and left out
            apart.check(written, [truth.dataset.root])
    for id_ in ids:
        label_images.check_label_image_free(run.segmentations / f"{id_}.png")
    check_free(run, scorers, "move it away, or give --out DIR")
    return run


def check_free(run: Run, scorers: Scorers, mend: str = "move it away") -> None:
    """Refuse to score a run by another's files, or ones that were changed by hand, where `write` writes.

    Args:
        run: The run.
        scorers: The names of the scorer by each protocol.
        mend: What to do about such a file.

    Raises:
        ReportError: There is one; it is named.
    """
    for scorer in scorers:
        ledger.check_free(run, scorer)
        made.check_free(run.classes(scorer), _CLASSES, mend)
    made.check_free(run.confusion_table(scorers.strict), _CONFUSION, mend)


def write(run: Run, scorers: Scorers, row: ScoreRow, compared: Mapping[str, Compared], truth: Truth) -> None:
    """Write a run's scores by both protocols, the scores of each class by both, and the table of confusion.

    Args:
        run: Where.
        scorers: The names of the scorer by each protocol.
        row: Its scores.
        compared: Its outputs, by item id.
        truth: What they were compared with.

    Raises:
        ReportError: A file cannot be written.
    """
    classes = truth.table.classes
    for scores in row.scores:
        ledger.write(run, scores)
    matrices = {id_: one.counts for id_, one in compared.items()}
    for rules, scorer in zip(PROTOCOLS, scorers, strict=True):
        rows = class_rows(matrices, rules, classes, truth.clusters)
        _write_csv(run.classes(scorer), _class_lines(rows), _CLASSES)
    summed = np.sum(list(matrices.values()), axis=0)
    _write_csv(run.confusion_table(scorers.strict), _confusion_lines(summed, classes), _CONFUSION)


def _class_lines(rows: Iterable[ClassRow]) -> list[list[object]]:
    """Header and lines; a score that is undefined is empty."""
    lines: list[list[object]] = [list(CLASS_COLUMNS)]
    for row in rows:
        numbers = row.accuracy, *row.accuracy_interval, row.iou, *row.iou_interval
        lines.append([row.name, *("" if math.isnan(number) else number for number in numbers), row.pixels, row.images])
    return lines


def _confusion_lines(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[list[object]]:
    """Header and one line a true class and one for ignored pixels; all channels beyond the classes are one column."""
    scored = len(classes)
    counts = np.column_stack([matrix[:, :scored], matrix[:, scored:].sum(axis=1)])
    named = zip([*classes, IGNORED], counts.tolist(), strict=True)
    return [[TRUTH, *classes, BEYOND], *([name, *line] for name, line in named)]


def _write_csv(path: Path, lines: Iterable[Iterable[object]], start: bytes) -> None:
    made.put(path, csv_text(lines).encode(), start)
