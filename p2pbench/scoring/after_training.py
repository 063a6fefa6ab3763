"""Scores of a freshly trained grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2pbench.datasets.clusters import of_clusters
from p2pbench.datasets.dataset import LABELS_TO_PHOTO, PHOTO_TO_LABELS
from p2pbench.datasets.labelled import Streets
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import StopSource, never_stopped
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.distribution_scores import FID, KID
from p2pbench.scoring.image_scores import IMAGE, ImageScorer, compared
from p2pbench.scoring.label_scorer import LabelScorer
from p2pbench.scoring.label_scores import Outcome
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
    trained: Trained,
    weights: Path | None,
    reporter: ProgressReporter,
    cluster: Cluster | None = None,
    stopping: StopSource = never_stopped,
) -> None:
    """Score a grid by image metrics and label maps.

    Scores that are impossible are reported, not raised.

    Args:
        trained: The grid and the requested runs.
        weights: A network's file for the FCN-score; street scenes need none.
        reporter: Receives progress, and missing scores with the reason.
        cluster: Segments on this cluster instead of here.
        stopping: Opens the stop flag while label maps are scored.

    Raises:
        UserError: Pictures are missing, or do not fit their targets; the file of weights, or one of the dataset's,
            cannot be used.
        ReportError: The grid's range is not that of its pictures.
        Stopped: A stop was requested; the same call resumes.
    """
    score_new_pictures(trained, reporter, trained.device if cluster is None else "auto")
    _score_labels(trained, weights, reporter, cluster, stopping)


def score_new_pictures(trained: Trained, reporter: ProgressReporter, device: str = "auto") -> None:
    """Compute image scores and LPIPS of runs that lack them.

    Scores over clusters other than the grid's present ones are computed again, as all rows of a table must be over the
    same. FID and KID are only named, as they may take minutes per run.

    Args:
        trained: The grid and the requested runs.
        reporter: Receives progress.
        device: The device of networks.

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
    # Runs of earlier commands are included: this command may have changed the clusters of the whole grid.
    other = {run: scores for run, _ in read_runs(grid) if (scores := _over_other_clusters(grid, run))}
    for run, scores in other.items():
        if run not in items and run.pictures().keys() >= set(scores[0].item_ids):
            items[run] = scores[0].n_expected
    for run, n_expected in items.items():
        again = {scores.scorer for scores in other.get(run, [])}
        done = {scorer for scorer in run.scorers() if scorer not in again and not _lacks_range(grid, run, scorer)}
        # Scores that are replaced keep their protocol: native ones are replaced by native ones.
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


def _score_labels(
    trained: Trained, weights: Path | None, reporter: ProgressReporter, cluster: Cluster | None, stopping: StopSource
) -> None:
    """Score a grid's outputs by label maps, if its dataset has labels."""
    outcome = Outcome()
    with stopping() as stop:
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
            for outputs in runs:  # of all runs before the first is scored, so that a refusal comes before any work
                scorer.check_free(outputs.run)
            outcome.scored.extend(scorer.score(runs))
    for scored in outcome.scored:
        for note in scored.notes:
            reporter.say(f"{scored.outputs.name}: {note}")


def _over_other_clusters(grid: Grid, run: Run) -> list[Scores]:
    """Scores of a run over clusters other than the grid's present ones."""
    config, outdated = found_now(read_run(run).settings, grid), []
    for scorer in {IMAGE, LPIPS, FID, KID}.intersection(run.scorers()):
        try:
            scores = ledger.read_scorer(run, scorer)
        except ReportError:  # an unreadable file: the report names it
            continue
        now = of_clusters(clusters_of(config, scores.item_ids), scores.item_ids)
        if scores.protocol.get(FIELD) != now.get(FIELD):
            outdated.append(scores)
    return outdated


def _again_lines(
    grid: Grid, other: Mapping[Run, Sequence[Scores]], left: Mapping[Run, Sequence[Scores]]
) -> Iterator[str]:
    """Lines on scores over outdated clusters: those computed again, and those left."""

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
    """Whether a score ignores the grid's declared range, as older versions did."""
    if scorer not in {IMAGE, LPIPS} or ranges(grid).output is None:
        return False
    return "output_range" not in ledger.read_scorer(run, scorer).protocol
