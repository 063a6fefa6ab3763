"""The scores by label maps that a grid gets as soon as it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from p2pbench.datasets.dataset import LABELS_TO_PHOTO, PHOTO_TO_LABELS
from p2pbench.datasets.labelled import Streets
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring import labels, segmentation
from p2pbench.scoring.networks import no_weights
from p2pbench.scoring.outcome import Outcome, Work, work_device
from p2pbench.scoring.runs import ready_grid
from reports.store.layout import Grid

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster


def score_trained(
    grid: Grid, weights: Path | None, device: str, reporter: ProgressReporter, cluster: Cluster | None = None
) -> None:
    """Score a grid's outputs by their label maps, where it has labels; whatever cannot be done is said, not raised.

    Args:
        grid: The grid.
        weights: A scorer's file for the FCN-score; street scenes need none.
        device: What the scorer computes on.
        reporter: Receives progress, and which scores are missing and why.
        cluster: Where to segment instead of here.

    Raises:
        UserError: The file of weights, or one of the dataset's, cannot be used.
        Stopped: The user asked to stop; the same command goes on from there.
    """
    outcome = Outcome()
    with stop_request() as stop:
        work = Work(weights, work_device(device, cluster), False, reporter, stop, cluster)
        for direction in (LABELS_TO_PHOTO, PHOTO_TO_LABELS):
            ready = ready_grid(grid, direction, None, allow_partial=False, outcome=outcome)
            if ready is None:
                continue
            if direction == PHOTO_TO_LABELS:
                labels.score_ready(ready, "output", lambda name, done, total: None, outcome)
            elif weights is None and not isinstance(ready.truth.dataset, Streets):
                reporter.say(
                    f"no FCN-score: {no_weights(ready.truth.dataset.name)}. Then: "
                    "p2pbench fcn-score RESULTS --weights FILE"
                )
            else:
                segmentation.score_ready(ready, work, outcome)
    for one in outcome.scored:
        for note in one.notes:
            reporter.say(f"{one.row.name}: {note}")
