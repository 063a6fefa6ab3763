"""Options and results of a segmentation scoring job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fcn.protocol import dropped
from p2pbench.datasets.clusters import ItemClusters
from p2pbench.datasets.dataset import item_hash
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.confusion_scores import confusion_scores
from p2pbench.scoring.outputs import Outputs
from p2pbench.scoring.score_table import ScoreRow
from p2pbench.scoring.truth import Truth

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster


class Compared(NamedTuple):
    """One output against its labels.

    Attributes:
        counts: The confusion matrix (classes + 1, channels).
        size: Of the output, width by height.
        changed: What had to be done to make it RGB of 8 bits; "" for nothing.
    """

    counts: NDArray[np.int64]
    size: str
    changed: str


@dataclass(frozen=True, eq=False)
class Scored:
    """One folder of outputs with its scores.

    Attributes:
        row: Its scores by both protocols, as they are printed.
        place: Where it is: grid, cell and seed, and a note on a flawed training; or folder.
        classes: The names of the scored classes, by index.
        compared: Its outputs, by item id.
        clusters: Which of them were drawn together, if any.
        notes: What a user should know of these outputs, a line each.
    """

    row: ScoreRow
    place: dict[str, str | int | None]
    classes: tuple[str, ...]
    compared: Mapping[str, Compared]
    clusters: ItemClusters | None
    notes: list[str]


@dataclass(frozen=True)
class Outcome:
    """What was scored and what was not.

    Attributes:
        scored: The runs, each grid's ground truth after them; or the one plain folder.
        skipped: Which grids were passed over and why, a line each.
        unfinished: Which runs cannot be scored yet and why, a line each.
        flawed: Which runs were trained with wrong gradients, a line each.
        clipped: Of which grids the declared range clips values, a line each.
        clusters: How clusters of items were found, a line each.
    """

    scored: list[Scored] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    flawed: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Everything to say beside the scores, a line each."""
        notes = [f"{one.row.name}: {note}" for one in self.scored for note in one.notes]
        unfinished = [f"unfinished: {line}" for line in self.unfinished]
        known = (scores.clusters for one in self.scored for scores in one.row.scores)
        few = dict.fromkeys(clusters.doubt for clusters in known if clusters and clusters.doubt)
        return [*notes, *self.clusters, *few, *self.clipped, *self.flawed, *self.skipped, *unfinished]


class Scorers(NamedTuple):
    """The names of a scorer by each protocol."""

    official: str
    strict: str


def score_row(
    name: str,
    scorers: Scorers,
    compared: Mapping[str, Compared],
    n_expected: int,
    protocol: Mapping[str, object],
    clusters: ItemClusters | None = None,
) -> ScoreRow:
    """The scores of some outputs by both protocols."""
    matrices = {id_: one.counts for id_, one in compared.items()}
    stack = np.stack(list(matrices.values()))
    lost = np.asarray(dropped(stack))
    occurs = np.asarray((stack[~lost, :-1] > 0).any(axis=(0, 2)))  # in an image that counts by official rules
    whole = {**protocol, "output_conversion": sorted({one.changed for one in compared.values()} - {""})}
    return ScoreRow(
        name,
        official=confusion_scores(scorers.official, matrices, "official", n_expected, whole, clusters),
        strict=confusion_scores(scorers.strict, matrices, "strict", n_expected, whole, clusters),
        dropped=int(lost.sum()),
        absent=int((~occurs).sum()),
        classes=len(occurs),
    )


def folder_origin(outputs: Outputs, truth: Truth) -> dict[str, object]:
    """Origin of a plain folder's outputs, as far as it is known; see `training.records.origin` for those of runs."""
    return {
        "data": f"{truth.dataset.name}, {len(truth.items)} test items ({item_hash(list(truth.items.values()))})",
        "data_note": truth.dataset.note,
        "truth": truth.content,
        "names": outputs.scheme,
        "file_format": "JPEG or lossy WebP" if outputs.lossy else "lossless",
    }


def folder_notes(outputs: Outputs, truth: Truth) -> list[str]:
    """What a user should know of a folder's files."""
    notes = [*truth.dataset.remarks, *truth.notices, *filter(None, [outputs.passed_over])]
    if outputs.lossy:
        first = outputs.lossy[0].name
        notes.append(f"{_outputs(outputs.lossy)} JPEG or lossy WebP, such as {first}: colours changed; save PNG")
    if extra := outputs.extra(truth.items):
        notes.append(f"{_outputs(extra)} of no test item and left out, such as {extra[0].name}")
    return notes


def notes(compared: Mapping[str, Compared], beyond: str) -> list[str]:
    """What a user should know of the outputs; `beyond` says what a prediction outside the classes is."""
    found = [
        f"{_outputs(ids)} not RGB of 8 bits ({changed}), such as that of {ids[0]}"
        for changed, ids in _by_frequency((one.changed, id_) for id_, one in compared.items())
        if changed
    ]
    (usual, _), *others = _by_frequency((one.size, id_) for id_, one in compared.items())
    found += [f"{_outputs(ids)} {size}, most are {usual}, such as that of {ids[0]}" for size, ids in others]
    unlabelled = [id_ for id_, one in compared.items() if not one.counts[:-1].any()]
    if unlabelled:
        found.append(f"{_outputs(unlabelled)} left out, since all pixels are ignored, such as that of {unlabelled[0]}")
    lost = [id_ for id_, one in compared.items() if dropped(one.counts)]
    if lost:
        found.append(f"{_outputs(lost)} dropped whole by the official protocol: {beyond} predicted on the last class")
    return found


def _outputs(some: Sequence[object]) -> str:
    return "1 output is" if len(some) == 1 else f"{len(some)} outputs are"


def _by_frequency(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The ids of each value, the most frequent value first."""
    groups: dict[str, list[str]] = {}
    for value, id_ in pairs:
        groups.setdefault(value, []).append(id_)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


@dataclass(frozen=True)
class Work:
    """How outputs are scored, and who is told.

    Attributes:
        weights: The scorer's file; None for datasets that bring their own.
        device: What the network computes on, here or on the cluster.
        allow_partial: Whether to score what is there where outputs are missing.
        reporter: receives progress.
        stop: Whether somebody asked to stop.
        cluster: Where to segment instead of here.
    """

    weights: Path | None
    device: torch.device
    allow_partial: bool
    reporter: ProgressReporter
    stop: Stop
    cluster: Cluster | None = None

    def advance(self, name: str) -> Callable[[int, int], None]:
        """Tells how far the images of that name are; raises Stopped once somebody asked to stop."""

        def advance(done: int, total: int) -> None:
            self.reporter.count(f"{name}: segmented", done, total)
            if self.stop and done < total:
                raise Stopped(f"{name}: stopped after {done} of {total} images; the same command goes on from here")

        return advance


def work_device(name: str, cluster: Cluster | None) -> torch.device:
    """The device of that name, here or on the cluster's machines.

    Raises:
        UserError: No such device there.
    """
    if cluster is None:
        return pick_device(name)
    return torch.device("cuda" if cluster.needs(name, None).gpus else "cpu")
