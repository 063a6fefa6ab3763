"""Scores of a grid that has just been trained, by all scorers that need no further choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2pbench.datasets.clusters import of_clusters
from p2pbench.datasets.dataset import LABELS_TO_PHOTO, PHOTO_TO_LABELS
from p2pbench.datasets.labelled import Streets
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.distribution_scores import FID, KID
from p2pbench.scoring.images import IMAGE, ImageScorer, compared
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.labels import LabelScorer
from p2pbench.scoring.networks import no_weights
from p2pbench.scoring.perceptual import LPIPS, LpipsScorer
from p2pbench.scoring.runs import LabelRequest, clusters_of, grid_label_outputs, picture_outputs
from p2pbench.scoring.score import segmentation_scorer
from p2pbench.scoring.scorer import Scorer
from p2pbench.scoring.segmentation import SegmentationOptions, SegmentationScorer, segmentation_device
from p2pbench.training.records import found_now, read_run, read_runs
from reports.store import ledger
from reports.store.bootstrap import FIELD
from reports.store.errors import ReportError
from reports.store.grids import check_ranges, ranges
from reports.store.layout import Grid, Run
from reports.store.names import typed
from reports.store.scores import Scores

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.ablation.runner import Trained
    from p2pbench.cluster.jobs import Cluster


def score_trained(
    trained: Trained, weights: Path | None, reporter: ProgressReporter, cluster: Cluster | None = None
) -> None:
    """Score a grid by all that needs no weights, and by its label maps; what cannot be done is said, not raised.

    Args:
        trained: The grid and the runs that were asked for.
        weights: A network's file for the FCN-score; street scenes need none.
        reporter: Told how far it is, and which scores are missing, with the reason.
        cluster: Where to segment instead of here.

    Raises:
        UserError: Pictures are missing, or do not fit their targets; the file of weights, or one of the dataset's,
            cannot be used.
        ReportError: The grid's range is not that of its pictures.
        Stopped: The user asked to stop; rerun the same command to resume from there.
    """
    score_new_pictures(trained, reporter, trained.device if cluster is None else "auto")
    _score_labels(trained, weights, reporter, cluster)


def score_new_pictures(trained: Trained, reporter: ProgressReporter, device: str = "auto") -> None:
    """Score runs by what has not scored them yet of image scores and LPIPS.

    Scores of any of the grid's runs that are over other clusters than the grid has now are made again, as all of a
    table must be over the same. FID and KID are only named, for they may take minutes a run.

    Args:
        trained: The grid and the runs that were asked for.
        reporter: Told how far it is.
        device: What networks compute on.

    Raises:
        UserError: Pictures are missing, or do not fit their targets.
        ReportError: The grid's range is not that of its pictures.
    """
    grid = trained.grid
    check_ranges(grid)
    scorers: dict[str, Scorer] = {
        IMAGE: ImageScorer(),
        LPIPS: LpipsScorer(grid.folder.parent, pick_device(device), reporter),
    }
    lines: list[str] = []
    items = dict(trained.items)
    other = {run: scores for run, _ in read_runs(grid) if (scores := _over_other_clusters(grid, run))}
    for run, scores in other.items():
        if run not in items and run.pictures().keys() >= set(scores[0].item_ids):
            items[run] = scores[0].n_expected
    for run, n_expected in items.items():
        again = {scores.scorer for scores in other.get(run, [])}
        done = {scorer for scorer in run.scorers() if scorer not in again and not _lacks_range(grid, run, scorer)}
        native = any(scores.protocol.get("pictures") == compared(native=True) for scores in other.get(run, []))
        left = [scorer for name, scorer in scorers.items() if name not in done]
        if not left:
            continue
        expected = None if native else n_expected
        outputs = picture_outputs(grid, run, native=native, say=lines.append, n_expected=expected)
        for scorer in left:
            for scored in scorer.score([outputs]):
                lines += [scores.clusters.doubt for scores in scored.scores if scores.clusters]
    still = {run: scores for run in other if (scores := _over_other_clusters(grid, run))}
    for line in [*_again_lines(grid, other, still), *filter(None, dict.fromkeys(lines))]:
        reporter.say(line)


def _score_labels(trained: Trained, weights: Path | None, reporter: ProgressReporter, cluster: Cluster | None) -> None:
    """Score a grid's outputs by their label maps, where its dataset has labels."""
    outcome = Outcome()
    with stop_request() as stop:
        options = SegmentationOptions(weights, segmentation_device(trained.device, cluster), reporter, stop, cluster)
        for direction in (LABELS_TO_PHOTO, PHOTO_TO_LABELS):
            runs = grid_label_outputs(trained.grid, LabelRequest(direction), outcome)
            if not runs:
                continue
            dataset = runs[0].against_labels().dataset
            scorer: SegmentationScorer | LabelScorer = segmentation_scorer(options)
            if direction == PHOTO_TO_LABELS:
                scorer = LabelScorer("output", lambda name, done, total: None)
            elif weights is None and not isinstance(dataset, Streets):
                reporter.say(
                    f"no FCN-score: {no_weights(dataset.name)}. Then: p2pbench fcn-score RESULTS --weights FILE"
                )
                continue
            for outputs in runs:
                scorer.check_free(outputs.run)
            outcome.scored.extend(scorer.score(runs))
    for scored in outcome.scored:
        for note in scored.notes:
            reporter.say(f"{scored.outputs.name}: {note}")


def _over_other_clusters(grid: Grid, run: Run) -> list[Scores]:
    """The scores of a trained run, of those that are made here, that are over other clusters than the grid has now."""
    config, found = found_now(read_run(run).settings, grid), []
    for scorer in {IMAGE, LPIPS, FID, KID}.intersection(run.scorers()):
        try:
            scores = ledger.read_scorer(run, scorer)
        except ReportError:  # which the report says
            continue
        now = of_clusters(clusters_of(config, scores.item_ids), scores.item_ids)
        if scores.protocol.get(FIELD) != now.get(FIELD):
            found.append(scores)
    return found


def _again_lines(
    grid: Grid, other: Mapping[Run, Sequence[Scores]], left: Mapping[Run, Sequence[Scores]]
) -> Iterator[str]:
    """Which runs had scores over other clusters, those that are made again and those that still have them."""

    def named(runs: Iterable[Run]) -> str:
        return ", ".join(f"{run.cell} seed {run.seed}" for run in runs)

    if made_again := [run for run, scores in other.items() if len(left.get(run, [])) < len(scores)]:
        yield f"{named(made_again)}: scored again, as scores were over other clusters than the grid has now"
    if left:
        scorers = sorted({scores.scorer for of_run in left.values() for scores in of_run})
        fid = " --fid" if {FID, KID}.intersection(scorers) else ""
        yield (
            f"{named(left)}: {', '.join(scorers)} over other clusters than the grid has now; to score again: "
            f"p2pbench image-score {typed(grid.folder.parent)}{fid}"
        )


def _lacks_range(grid: Grid, run: Run, scorer: str) -> bool:
    """Whether a score is of a version that took all of the depth although the grid declares a range."""
    if scorer not in {IMAGE, LPIPS} or ranges(grid).output is None:
        return False
    return "output_range" not in ledger.read_scorer(run, scorer).protocol
