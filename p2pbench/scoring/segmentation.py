"""FCN-score of runs and of folders of outputs, here or on a cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fcn import protocol, scoring
from fcn.scoring import Example, Loaded, Scorer
from fcn.segmenting import settled
from p2pbench.cluster.jobs import Cluster, Job
from p2pbench.cluster.worker import Line, given_device
from p2pbench.config import RunConfig
from p2pbench.datasets import label_images
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.datasets.transforms import Range
from p2pbench.runtime.device import device_errors
from p2pbench.runtime.interrupt import Stopped
from p2pbench.scoring import score_files
from p2pbench.scoring.networks import open_scorer, scorer_protocol
from p2pbench.scoring.outcome import (
    Compared,
    Outcome,
    Scored,
    Scorers,
    Work,
    folder_notes,
    folder_origin,
    notes,
    score_row,
)
from p2pbench.scoring.outputs import find_outputs, match_outputs, read_output
from p2pbench.scoring.runs import Ready, check_something, ready_grids
from p2pbench.scoring.truth import Truth, read_bytes, run_truth
from p2pbench.scoring.truth_doubts import check_labelled, doubts
from reports.paper import PaperRow, is_published, paper_row
from reports.store import grids, made
from reports.store.layout import Grid, Run
from reports.store.ranges import shown

SCORERS = Scorers(official="fcn-official", strict="fcn-strict")


PUBLISHED_START = b"Mean pixel accuracy: "


BEYOND = "a channel outside the classes"


def score_results(results: Path, root: str | None, work: Work, clusters: str | None = None) -> Outcome:
    """Score every finished run from labels to photos, and the ground truth beside them, and write the scores.

    Args:
        results: A results folder.
        root: Where the dataset is now; None looks where the runs found it.
        work: How.
        clusters: Which test items vary together; None takes what each grid has.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
        FcnError: The scorer's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outcome = Outcome()
    partial = work.allow_partial
    for ready in ready_grids(results, LABELS_TO_PHOTO, root, allow_partial=partial, outcome=outcome, clusters=clusters):
        score_ready(ready, work, outcome)
    check_something(results, outcome)
    return outcome


def score_folder(folder: Path, truth: Truth, out: Path, work: Work) -> Outcome:
    """Score a plain folder of any model's outputs.

    Args:
        folder: The outputs.
        truth: What they were made from.
        out: Where `scores/` and `segmentations/` are written.
        work: How.

    Raises:
        UserError: No output is of a test item, some are missing and may not be, a file cannot be read, or another's
            pictures are where segmentations go.
        ReportError: What is written would lie in the dataset's folder.
        FcnError: The scorer's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outputs = find_outputs(folder, truth.items)
    files = match_outputs(outputs, truth.items, folder, allow_partial=work.allow_partial)
    run = score_files.folder_run(out, folder, files, truth, SCORERS)
    made.check_free(run.published, _published_start(run), "move it away, or give --out DIR")
    paper = paper_row(SCORERS.official, "", run.cell) if truth.is_papers else None
    place: dict[str, str | int | None] = {"folder": str(folder)}
    of_folder = _Outputs(run, str(folder), place, files, folder_origin(outputs, truth), paper, None)
    (scored,) = _score_each([of_folder], truth, out, work)
    scored.notes[:0] = folder_notes(outputs, truth)
    return Outcome([scored])


@dataclass(frozen=True)
class _Outputs:
    """A folder of outputs: where its scores go, what it is called, its files by item id, and where they come from.

    `grid` is the one that the true labels are shown in; None shows none. `ends` are the values of the outputs that are
    black and white; None is all of their depth.
    """

    run: Run
    name: str
    place: dict[str, str | int | None]
    files: Mapping[str, Path]
    origin: Mapping[str, object]
    paper: PaperRow | None
    grid: Grid | None
    ends: Range | None = None

    def segmentation(self, id_: str) -> Path:
        """What the scorer saw in an output."""
        return self.run.segmentations / f"{id_}.png"

    def anywhere(self) -> _Outputs:
        """The same outputs for a process with another working directory."""
        return replace(
            self,
            run=replace(self.run, folder=self.run.folder.absolute()),
            files={id_: path.absolute() for id_, path in self.files.items()},
            grid=self.grid and Grid(self.grid.folder.absolute()),
        )


def score_ready(ready: Ready, work: Work, outcome: Outcome) -> None:
    """Score one grid. Raises what `score_results` does."""
    folders = []
    for run in ready.outputs:
        score_files.check_free(run, SCORERS)
        made.check_free(run.published, _published_start(run))
    ends = grids.ranges(ready.grid).output
    for run, files in ready.outputs.items():
        paper = ready.paper(run, SCORERS.official)
        name, place = ready.name(run), ready.place(run)
        folders.append(_Outputs(run, name, place, files, ready.origin(run), paper, ready.grid, ends))
    outcome.scored.extend(_score_each(folders, ready.truth, ready.grid.folder, work))
    shown = set().union(*ready.outputs.values())
    label_images.remove_other_label_images(ready.grid.labels, shown)
    for id_ in sorted(shown):  # most were when their outputs were read
        _show_labels(ready.grid, ready.truth, id_)


def _score_each(folders: Sequence[_Outputs], truth: Truth, results: Path, work: Work) -> list[Scored]:
    """Score folders of outputs, here or each where the cluster has room."""
    if work.cluster is None:
        scorer = open_scorer(truth, work.weights, work.device, work.reporter)
        return [_score(outputs, truth, scorer, work) for outputs in folders]
    from p2pbench.scoring.segmentation import Folder, score_on

    # One scorer for all machines: where each trained its own for street scenes, they might differ in their last bits.
    scorer = open_scorer(truth, work.weights, torch.device("cpu"), work.reporter)
    absolute = [Folder(one.name, one.run.confusion.absolute(), one.anywhere()) for one in folders]
    return score_on(work.cluster, _score, absolute, truth, scorer, results, work)


def _score(outputs: _Outputs, truth: Truth, scorer: Scorer, work: Work) -> Scored:
    """Segment what is new or has lost its picture, and write the scores of all."""
    run, files = outputs.run, outputs.files
    with ThreadPoolExecutor() as pool:
        keys = dict(zip(files, pool.map(lambda id_: _key(id_, files[id_], truth, outputs.ends), files), strict=True))
    sources = {id_: f"{scorer.digest} {key}" for id_, key in keys.items()}

    def show(id_: str, prediction: NDArray[np.uint8]) -> None:
        label_images.write_label_image(outputs.segmentation(id_), prediction, truth.table, sources[id_])

    label_images.remove_other_label_images(run.segmentations, files.keys())
    lost = {
        id_
        for id_, source in sources.items()
        if label_images.source_of_label_image(outputs.segmentation(id_)) != source
    }
    examples = [_example(id_, path, keys[id_], truth, outputs) for id_, path in files.items()]
    with device_errors(work.device):
        advance = work.advance(outputs.name)
        matrices = scoring.score(scorer, examples, run.confusion, advance, predicted=show, again=lost)
    compared = {id_: Compared(kept.counts, kept.size, kept.changed) for id_, kept in matrices.images.items()}
    check_labelled(truth, compared)
    whole = {**outputs.origin, **scorer_protocol(scorer)}
    paper = outputs.paper if is_published(whole) else None
    row = score_row(outputs.name, SCORERS, compared, len(truth.items), whole, truth.clusters)._replace(paper=paper)
    start = _published_start(run)  # before there are scores of this call
    score_files.write(run, SCORERS, row, compared, truth)
    _write_published(run, compared, truth.table.classes, start)
    lines = [*notes(compared, BEYOND), *doubts(truth, row, compared, run)]
    return Scored(row, outputs.place, truth.table.classes, compared, truth.clusters, lines)


def _key(id_: str, path: Path, truth: Truth, ends: Range | None) -> str:
    scaled = "" if ends is None else f" {shown(ends)}"
    return hashlib.sha256(read_bytes(path) + f"{truth.key(id_)}{scaled}".encode()).hexdigest()


def _example(id_: str, path: Path, key: str, truth: Truth, outputs: _Outputs) -> Example:
    def load() -> Loaded:
        photo, labels = read_output(path, outputs.ends), truth.labels(id_)
        if outputs.grid is not None:
            _show_labels(outputs.grid, truth, id_, labels)
        return Loaded(photo, labels)

    return Example(id_, lambda: key, load)


def _show_labels(grid: Grid, truth: Truth, id_: str, labels: NDArray[np.uint8] | None = None) -> None:
    """Write the picture of an item's true labels where it is missing or out of date; `labels` if they are at hand."""
    path, source = grid.labels / f"{id_}.png", truth.key(id_)
    if label_images.source_of_label_image(path) != source:
        label_images.write_label_image(path, truth.labels(id_) if labels is None else labels, truth.table, source)


def _published_start(run: Run) -> bytes | tuple[bytes, ...]:
    """How the file of the published script's scores begins, if it is ours: that script writes the same."""
    return PUBLISHED_START if run.score(SCORERS.official).exists() else ()


def _write_published(
    run: Run, compared: Mapping[str, Compared], classes: Sequence[str], start: bytes | tuple[bytes, ...]
) -> None:
    """The file that the published script would have written."""
    summed = protocol.counted(np.stack([one.counts for one in compared.values()]), "official").sum(axis=0)
    published = protocol.published_text(protocol.scores(summed, "official"), classes)
    made.put(run.published, published.encode(), start)


Score = Callable[[Any, Truth, Scorer, Work], Scored]


"""Scores one folder of outputs; a function of a module."""


class Folder(NamedTuple):
    """A folder of outputs: its name, the file of its matrices, and what the function that scores it takes."""

    name: str
    kept: Path
    outputs: object


def score_on(
    cluster: Cluster, score: Score, folders: Sequence[Folder], truth: Truth, scorer: Scorer, results: Path, work: Work
) -> list[Scored]:
    """Score folders of outputs on a cluster, and write their scores there.

    Args:
        cluster: Where.
        score: What scores one.
        folders: All of them, with absolute paths.
        truth: What they are compared with.
        scorer: What segments, on the CPU; it is sent to the machines, which need not see its file.
        results: A folder that they all see.
        work: How.

    Raises:
        UserError: A machine has another version, does not see the results, or could not score its folder.
        FcnError: As `fcn.scoring.score`.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    needs = cluster.needs(str(work.device), None)
    jobs = [Job(one.name, _score_one, (score, one.outputs), needs, one.kept) for one in folders]
    shared = (scorer, truth.config.with_absolute_root())
    scored: dict[int, Scored] = {}
    errors: list[Exception] = []
    for number, answer in cluster.carry_out(jobs, results, work.reporter, work.stop, shared):
        if answer.error is not None:
            errors.append(answer.error)
        else:
            scored[number] = answer.result
    for error in sorted(errors, key=lambda error: not isinstance(error, Stopped)):
        raise error
    return [scored[number] for number in range(len(jobs))]


def _score_one(line: Line, scorer: Scorer, config: RunConfig, score: Score, outputs: object) -> Scored:
    """One folder in a worker."""
    device = given_device(line.attempt.gpus, None)
    settled(scorer.network, device)
    return score(outputs, run_truth(config), scorer, Work(None, device, True, line.progress, line))
