"""Scores of label maps by both protocols, with class tables and notes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.confusion import ImageMatrix
from fcn.score_protocols import PROTOCOLS, Protocol, dropped
from p2pbench.datasets.clusters import ItemClusters
from p2pbench.scoring.confusion_scores import ClassRow, class_rows, confusion_scores
from p2pbench.scoring.label_reading import check_labelled, doubts
from p2pbench.scoring.outputs import outputs_are
from p2pbench.scoring.score_table import ScoreRow
from p2pbench.scoring.scorer import Outputs, Scored
from reports.paper import is_published, paper_row
from reports.store import ledger, made
from reports.store.atomic import csv_text
from reports.store.layout import Run

CLASS_COLUMNS = ("class", "accuracy", "accuracy_low", "accuracy_high", "iou", "iou_low", "iou_high", "pixels", "images")
TRUTH, IGNORED, BEYOND = "truth", "ignored", "beyond the classes"
# First bytes of the tables. A file without recorded hash that begins so was written by an older version, not a user.
_CLASSES, _CONFUSION = f"{','.join(CLASS_COLUMNS)}\n".encode(), f"{TRUTH},".encode()


class ScorerNames(NamedTuple):
    """The names of a scorer by each protocol."""

    official: str
    strict: str


@dataclass(frozen=True, eq=False)
class LabelsScored(Scored):
    """Outputs with their scores by label maps.

    Attributes:
        row: The scores by both protocols, for printing.
        compared: The outputs, by item id.
    """

    row: ScoreRow = field(kw_only=True)
    compared: Mapping[str, ImageMatrix] = field(kw_only=True)

    def class_rows(self, protocol: Protocol) -> list[ClassRow]:
        """The scores of each class by a protocol."""
        matrices = {id_: output.counts for id_, output in self.compared.items()}
        return class_rows(matrices, protocol, self.outputs.against_labels().table.classes, self.outputs.clusters)


@dataclass(frozen=True)
class Outcome:
    """Scores of a command, and lines on everything left out.

    Attributes:
        scored: The runs, each grid's ground truth after them; or the one plain folder.
        skipped: Skipped grids, with the reason, one line each.
        unfinished: Runs that cannot be scored yet, with the reason, one line each.
        flawed: Runs that were trained with wrong gradients, one line each.
        clipped: Grids whose declared range clips values, one line each.
        clusters: Lines on the detection of clusters of items.
    """

    scored: list[LabelsScored] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    flawed: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """All remarks on the scores, one line each."""
        notes = [f"{scored.outputs.name}: {note}" for scored in self.scored for note in scored.notes]
        unfinished = [f"unfinished: {line}" for line in self.unfinished]
        known = (scores.clusters for scored in self.scored for scores in scored.scores)
        few = dict.fromkeys(clusters.doubt for clusters in known if clusters and clusters.doubt)
        return [*notes, *self.clusters, *few, *self.clipped, *self.flawed, *self.skipped, *unfinished]


def write_scores(
    outputs: Outputs,
    scorers: ScorerNames,
    compared: Mapping[str, ImageMatrix],
    protocol: Mapping[str, object],
    beyond: str,
) -> LabelsScored:
    """Compute and write scores, class tables and confusion table.

    Args:
        outputs: The run.
        scorers: The names of its scores.
        compared: Its outputs, by item id.
        protocol: Every choice that changes a score, beside those of the outputs' origin.
        beyond: The words for a prediction outside the classes, for notes.

    Raises:
        UserError: No item has a labelled pixel.
        ReportError: A file cannot be written.
    """
    run, truth = outputs.run, outputs.against_labels()
    check_labelled(truth, compared)
    whole = {**outputs.origin, **protocol}
    row = score_row(outputs.name, scorers, compared, outputs.n_expected, whole, outputs.clusters)
    if truth.is_papers and ("network" not in whole or is_published(whole)):
        row = row._replace(paper=paper_row(scorers.official, outputs.source, run.cell))
    for scores in row.scores:
        ledger.write(run, scores)
    matrices = {id_: output.counts for id_, output in compared.items()}
    classes = truth.table.classes
    for rules, scorer in zip(PROTOCOLS, scorers, strict=True):
        rows = class_rows(matrices, rules, classes, outputs.clusters)
        _write_csv(run.classes(scorer), _class_lines(rows), _CLASSES)
    summed = np.sum(list(matrices.values()), axis=0)
    _write_csv(run.confusion_table(scorers.strict), _confusion_lines(summed, classes), _CONFUSION)
    of_outputs = [*outputs.notes, *notes(compared, beyond), *doubts(truth, row, compared, run)]
    return LabelsScored(outputs, row.scores, of_outputs, row=row, compared=compared)


def check_free(run: Run, scorers: ScorerNames, mend: str = "move it away") -> None:
    """Refuse foreign or edited files where `write_scores` writes.

    Args:
        run: The run.
        scorers: The names of the scorer by each protocol.
        mend: The remedy for the message.

    Raises:
        ReportError: There is such a file; it is named.
    """
    for scorer in scorers:
        ledger.check_free(run, scorer)
        made.check_free(run.classes(scorer), _CLASSES, mend)
    made.check_free(run.confusion_table(scorers.strict), _CONFUSION, mend)


def score_row(
    name: str,
    scorers: ScorerNames,
    compared: Mapping[str, ImageMatrix],
    n_expected: int,
    protocol: Mapping[str, object],
    clusters: ItemClusters | None = None,
) -> ScoreRow:
    """Compute the scores of outputs by both protocols."""
    matrices = {id_: output.counts for id_, output in compared.items()}
    stack = np.stack(list(matrices.values()))
    lost = np.asarray(dropped(stack))
    occurs = np.asarray((stack[~lost, :-1] > 0).any(axis=(0, 2)))  # in an image that counts by official rules
    whole = {**protocol, "output_conversion": sorted({output.changed for output in compared.values()} - {""})}
    return ScoreRow(
        name,
        official=confusion_scores(scorers.official, matrices, "official", n_expected, whole, clusters),
        strict=confusion_scores(scorers.strict, matrices, "strict", n_expected, whole, clusters),
        dropped=int(lost.sum()),
        absent=int((~occurs).sum()),
        classes=len(occurs),
    )


def notes(compared: Mapping[str, ImageMatrix], beyond: str) -> list[str]:
    """Lines for the user on the outputs.

    `beyond` names predictions outside the classes.
    """
    lines = [
        f"{outputs_are(ids)} not RGB of 8 bits ({changed}), such as that of {ids[0]}"
        for changed, ids in _by_frequency((output.changed, id_) for id_, output in compared.items())
        if changed
    ]
    (usual, _), *others = _by_frequency((output.size, id_) for id_, output in compared.items())
    lines += [f"{outputs_are(ids)} {size}, most are {usual}, such as that of {ids[0]}" for size, ids in others]
    unlabelled = [id_ for id_, output in compared.items() if not output.counts[:-1].any()]
    if unlabelled:
        lines.append(
            f"{outputs_are(unlabelled)} left out, since all pixels are ignored, such as that of {unlabelled[0]}"
        )
    lost = [id_ for id_, output in compared.items() if dropped(output.counts)]
    if lost:
        lines.append(
            f"{outputs_are(lost)} dropped whole by the official protocol: {beyond} predicted on the last class"
        )
    return lines


def _by_frequency(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Ids of each value, the most frequent value first."""
    groups: dict[str, list[str]] = {}
    for value, id_ in pairs:
        groups.setdefault(value, []).append(id_)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _class_lines(rows: Iterable[ClassRow]) -> list[list[object]]:
    """Header and lines; undefined scores are empty."""
    lines: list[list[object]] = [list(CLASS_COLUMNS)]
    for row in rows:
        values = row.accuracy, *row.accuracy_interval, row.iou, *row.iou_interval
        lines.append([row.name, *("" if math.isnan(value) else value for value in values), row.pixels, row.images])
    return lines


def _confusion_lines(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[list[object]]:
    """Header, one line per true class and one for ignored pixels.

    All channels beyond the classes are one column.
    """
    scored = len(classes)
    counts = np.column_stack([matrix[:, :scored], matrix[:, scored:].sum(axis=1)])
    named = zip([*classes, IGNORED], counts.tolist(), strict=True)
    return [[TRUTH, *classes, BEYOND], *([name, *line] for name, line in named)]


def _write_csv(path: Path, lines: Iterable[Iterable[object]], start: bytes) -> None:
    made.put(path, csv_text(lines).encode(), start)
