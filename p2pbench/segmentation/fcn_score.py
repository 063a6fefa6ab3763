"""The FCN-score of runs and of any model's outputs: segmented by an FCN, compared with the labels they were made from.

What is written lies in the folder's `scores/`: the matrices, which any protocol is computed from; the scores by both
protocols; their classes; and the file that the published script would have written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fcn import protocol, scoring
from fcn.labels import CITYSCAPES, IGNORE, LabelTable
from fcn.preprocessing import MEAN_BGR
from fcn.scoring import Example, Loaded, Scorer
from p2pbench.datasets.cityscapes import Cityscapes
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.segmentation.confusion_scores import class_rows
from p2pbench.segmentation.outcome import (
    Compared,
    Outcome,
    Scored,
    Scorers,
    folder_notes,
    folder_origin,
    notes,
    score_row,
)
from p2pbench.segmentation.outputs import find_outputs, match_outputs, read_output
from p2pbench.segmentation.paper import FCN_TABLES, PaperScores, paper_row
from p2pbench.segmentation.ready import Ready, check_something, ready_grids
from p2pbench.segmentation.scorers import open_scorer
from p2pbench.segmentation.truth import Truth, read_bytes
from p2pbench.segmentation.work import Work
from reports import atomic, ledger
from reports.layout import Run

SCORERS = Scorers(official="fcn-official", strict="fcn-strict")
BEYOND = "a channel outside the classes"
SUSPICIOUS_ITEMS = 10  # so many street photos without vegetation, sky and cars are not street photos
CLASS_COLUMNS = ("class", "accuracy", "accuracy_low", "accuracy_high", "iou", "iou_low", "iou_high", "pixels", "images")


def score_results(results: Path, root: str | None, work: Work) -> Outcome:
    """Score every finished run from labels to photos, and the ground truth beside them, and write the scores.

    Args:
        results: A results folder.
        root: Where the dataset is now; None looks where the runs found it.
        work: How.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
        FcnError: The scorer's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outcome = Outcome()
    for ready in ready_grids(results, LABELS_TO_PHOTO, root, allow_partial=work.allow_partial, outcome=outcome):
        score_ready(ready, work, outcome)
    check_something(results, outcome)
    return outcome


def score_folder(folder: Path, truth: Truth, out: Path, work: Work) -> Outcome:
    """Score a plain folder of any model's outputs.

    Args:
        folder: The outputs.
        truth: What they were made from.
        out: Where `scores/` is written.
        work: How.

    Raises:
        UserError: No output is of a test item, some are missing and may not be, or a file cannot be read.
        FcnError: The scorer's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outputs = find_outputs(folder)
    files = match_outputs(outputs, truth.items, folder, allow_partial=work.allow_partial)
    scorer = open_scorer(truth, work.weights, work.device, work.listener)
    run = Run(out, folder.resolve().name, None)
    paper = paper_row(FCN_TABLES, "", run.cell) if truth.dataset.name == Cityscapes.name else None
    place: dict[str, str | int | None] = {"folder": str(folder)}
    scored = _score(_Outputs(run, str(folder), place, files, folder_origin(outputs, truth), paper), truth, scorer, work)
    scored.notes[:0] = folder_notes(outputs, truth)
    return Outcome([scored])


@dataclass(frozen=True)
class _Outputs:
    """A folder of outputs: where its scores go, what it is called, its files by item id, and where they come from."""

    run: Run
    name: str
    place: dict[str, str | int | None]
    files: Mapping[str, Path]
    origin: Mapping[str, object]
    paper: PaperScores | None


def score_ready(ready: Ready, work: Work, outcome: Outcome) -> None:
    """Score one grid. Raises what `score_results` does."""
    scorer = open_scorer(ready.truth, work.weights, work.device, work.listener)
    for run, files in ready.outputs.items():
        paper = ready.paper(run, FCN_TABLES)
        outputs = _Outputs(run, ready.name(run), ready.place(run), files, ready.origin(run), paper)
        outcome.scored.append(_score(outputs, ready.truth, scorer, work))


def _score(outputs: _Outputs, truth: Truth, scorer: Scorer, work: Work) -> Scored:
    """Segment what is new, and write the scores of all."""
    examples = [_example(id_, path, truth) for id_, path in outputs.files.items()]
    matrices = scoring.score(scorer, examples, outputs.run.confusion, work.advance(outputs.name))
    compared = {id_: Compared(kept.counts, kept.size, kept.changed) for id_, kept in matrices.images.items()}
    whole = {**outputs.origin, **_protocol(scorer)}
    row = score_row(outputs.name, SCORERS, compared, len(truth.items), whole)._replace(paper=outputs.paper)
    for scores in row.scores:
        ledger.write(outputs.run, scores)
    _write_classes(outputs.run, compared, truth.table)
    return Scored(
        row, outputs.place, truth.table.classes, compared, [*notes(compared, BEYOND), *_suspicions(compared, truth)]
    )


def _example(id_: str, path: Path, truth: Truth) -> Example:
    def key() -> str:
        return hashlib.sha256(read_bytes(path) + truth.key(id_).encode()).hexdigest()

    return Example(id_, key, lambda: Loaded(read_output(path), truth.labels(id_)))


def _protocol(scorer: Scorer) -> dict[str, object]:
    """Every choice of the segmentation that changes a score."""
    card, network = scorer.card, scorer.card.architecture
    size = f"to {card.photo_size}x{card.photo_size}, then " if card.photo_size is not None else ""
    return {
        "weights": scorer.digest,
        "weights_source": card.source,
        "network": f"FCN-{network.stride}s, {network.channels} channels for {len(card.classes)} classes, "
        f"width {network.width:g}, padded {network.padding}",
        "segmented_at": f"{size}to the label's size: Pillow {version('pillow')}, bilinear on 8 bits; labels untouched",
        "input": f"BGR less {MEAN_BGR}, float32",
        "labels": card.labels,
    }


def _write_classes(run: Run, compared: Mapping[str, Compared], table: LabelTable) -> None:
    """The scores of each class, and the file that the published script would have written."""
    matrices = {id_: one.counts for id_, one in compared.items()}
    for rules, scorer in zip(protocol.PROTOCOLS, SCORERS, strict=True):
        rows = class_rows(matrices, rules, table.classes)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CLASS_COLUMNS)
        for row in rows:
            numbers = row.accuracy, *row.accuracy_interval, row.iou, *row.iou_interval
            writer.writerow([row.name, *("" if math.isnan(number) else number for number in numbers), *row[-2:]])
        atomic.write(run.classes(scorer), text.getvalue().encode())
    summed = protocol.counted(np.stack(list(matrices.values())), "official").sum(axis=0)
    published = protocol.published_text(protocol.scores(summed, "official"), table.classes)
    atomic.write(run.published, published.encode())


def _suspicions(compared: Mapping[str, Compared], truth: Truth) -> list[str]:
    """What the labels look like, where that is not what they should be."""
    if truth.table is not CITYSCAPES:
        return []
    rows = sum(one.counts[:-1].sum(axis=1) for one in compared.values())
    values = [label.value for label in CITYSCAPES.labels if label.index != IGNORE and rows[label.index] > 0]
    if len(compared) < SUSPICIOUS_ITEMS or max(values, default=0) > len(CITYSCAPES.classes):
        return []
    return [
        f"no label above {max(values, default=0)} in {len(compared)} label files: they look like train ids, where "
        "label ids 0 to 33 are expected (*_gtFine_labelIds.png as published); the scores mean nothing then"
    ]
