"""Scores results folders and plain folders: gathers outputs, runs scorers, collects what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from p2pbench.datasets.dataset import LABELS_TO_PHOTO, MOST_NAMED, PHOTO_TO_LABELS
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import At
from p2pbench.scoring.label_files import Reading
from p2pbench.scoring.label_reading import decide_reading
from p2pbench.scoring.label_scorer import Advance, LabelScorer
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.outputs import PlainFolder, folder_outputs
from p2pbench.scoring.runs import LabelRequest, label_outputs, picture_outputs
from p2pbench.scoring.scorer import Scored, Scorer
from p2pbench.scoring.segmentation import SegmentationOptions, SegmentationScorer
from reports.store import layout
from reports.store.arithmetic import check_pictures
from reports.store.grids import check_ranges

OTHER_OUT = "move it away, or give --out DIR"


def score_pictures(
    results: Path,
    scorers: Sequence[Scorer],
    *,
    native: bool,
    say: Callable[[str], None] = lambda line: None,
    clusters: str | None = None,
) -> Iterator[Scored]:
    """Score every run in a results folder by comparing pictures, one run after the other.

    Args:
        results: The results folder.
        scorers: What scores each run, in this order.
        native: Compare with the dataset's own targets instead of `real/`.
        say: Called with a line where a grid's range clips some values, or items are in clusters of an odd kind or few.
        clusters: Which items vary together, as the setting of this name; None takes what each grid has.

    Raises:
        UserError: There is no run, or one cannot be scored.
        ReportError: A grid's range is not that of its pictures; or a picture is not as its run made it; or a user's
            file, or one that was changed by hand, is where scores go.
    """
    runs = [(grid, run) for grid in layout.grids(results) for run in grid.runs()]
    if not runs:
        what = "no run found" if results.is_dir() else layout.found_at(results)
        raise UserError(f"{results}: {what}; expected a results folder as training writes it")
    for grid in {grid: None for grid, _ in runs}:
        check_ranges(grid, say)
    for row in {row: None for grid, run in runs for row in (grid.real, run)}:
        check_pictures(row)
    for _, run in runs:
        for scorer in scorers:
            scorer.check_free(run)
    for grid, run in runs:
        outputs = picture_outputs(grid, run, native=native, say=say, clusters=clusters)
        for scorer in scorers:
            for scored in scorer.score([outputs]):
                for scores in scored.scores:
                    if scores.clusters is not None and scores.clusters.doubt:
                        say(f"{grid.name}: {scores.clusters.doubt}")
                yield scored


def segmentation_scorer(options: SegmentationOptions) -> SegmentationScorer:
    """The scorer by segmentation, on the cluster if there is one."""
    if options.cluster is None:
        return SegmentationScorer(options)
    from p2pbench.scoring.segmentation_jobs import ClusterSegmentationScorer  # imports Ray, which is an extra

    return ClusterSegmentationScorer(options, options.cluster)


def fcn_score(results: Path, request: LabelRequest, options: SegmentationOptions) -> Outcome:
    """Score every finished run from labels to photos, and the ground truth beside them. Raises as `_score_labels`."""
    assert request.direction == LABELS_TO_PHOTO, request
    return _score_labels(results, request, segmentation_scorer(options))


def label_score(results: Path, request: LabelRequest, at: At, advance: Advance) -> Outcome:
    """Score every finished run from photos to labels, and the ground truth beside them. Raises as `_score_labels`."""
    assert request.direction == PHOTO_TO_LABELS, request
    return _score_labels(results, request, LabelScorer(at, advance))


def _score_labels(results: Path, request: LabelRequest, scorer: SegmentationScorer | LabelScorer) -> Outcome:
    """Score the runs of every grid that can be scored by its label maps.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
        FcnError: The network's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outcome = Outcome()
    for runs in label_outputs(results, request, outcome):
        for outputs in runs:
            scorer.check_free(outputs.run)
        outcome.scored.extend(scorer.score(runs))
    if not outcome.scored:
        reasons = [*outcome.skipped, *outcome.unfinished] or ["its grids hold no runs"]
        raise UserError(f"{results}: nothing can be scored: {'; '.join(reasons[:MOST_NAMED])}")
    return outcome


def fcn_score_folder(plain: PlainFolder, options: SegmentationOptions) -> Outcome:
    """Score a plain folder of any model's outputs. Raises as `folder_outputs` and `SegmentationScorer`."""
    outputs, scorer = folder_outputs(plain), segmentation_scorer(options)
    scorer.check_free(outputs.run, OTHER_OUT)
    return Outcome(list(scorer.score([outputs])))


def label_score_folder(plain: PlainFolder, at: At, reading: Reading | None, advance: Advance) -> Outcome:
    """Score a plain folder of any model's label maps.

    Args:
        plain: The folder.
        at: The size at which outputs and labels are compared.
        reading: How the label maps are kept; None decides it by what they hold.
        advance: Told how far it is.

    Raises:
        UserError: As `folder_outputs`; also where the files may be of several kinds.
        ReportError: As `folder_outputs`; also where a user's file is in the way.
    """
    outputs = folder_outputs(plain)
    LabelScorer(at, advance).check_free(outputs.run, OTHER_OUT)
    decided = decide_reading(plain.folder, outputs.files, plain.truth, reading)
    outputs = replace(outputs, notes=[*([decided.seen] if decided.seen else []), *outputs.notes])
    return Outcome(list(LabelScorer(at, advance, decided.reading).score([outputs])))
