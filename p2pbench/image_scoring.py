"""The image scores of the runs of a results folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import open_dataset, run_items
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.pictures import Picture
from p2pbench.errors import UserError
from p2pbench.metrics.image_score import score_images
from p2pbench.origin import origin
from p2pbench.results import read_run
from reports import ledger
from reports.layout import Grid, Run, grids
from reports.scores import Scores


def score_run(grid: Grid, run: Run, n_expected: int) -> Scores:
    """Score a run's pictures against `real/`, under the same resizing, and write the scores.

    Raises:
        UserError: pictures are missing, or do not fit their targets.
    """
    targets = grid.real.pictures()
    scores = score_images(
        _outputs(run, targets.keys()), lambda id_: pictures.read(targets[id_]), n_expected, origin=origin(run)
    )
    ledger.write(run, scores)
    return scores


def score_run_native(run: Run) -> Scores:
    """Score a run's pictures against the dataset's own targets, at their own size and aspect, and write the scores.

    Raises:
        UserError: pictures are missing, or the dataset is no longer where the run found it.
    """
    config = read_run(run).settings
    dataset = open_dataset(config)
    items = {item.id: item for item in run_items(dataset, config).test}

    def target(id_: str) -> Picture:
        sample = dataset.load(items[id_], None)
        return dataset.to_picture(sample.input, sample.target)

    scores = score_images(_outputs(run, items.keys()), target, len(items), native=True, origin=origin(run))
    ledger.write(run, scores)
    return scores


def score_results(results: Path, *, native: bool) -> Iterator[tuple[Grid, Run, Scores]]:
    """Score every run in a results folder, one after the other.

    Raises:
        UserError: there is no run, or one cannot be scored.
    """
    runs = [(grid, run) for grid in grids(results) for run in grid.runs()]
    if not runs:
        raise UserError(f"{results}: no run found; expected a results folder as `p2pbench train-ablation` writes it")
    for grid, run in runs:
        yield grid, run, score_run_native(run) if native else score_run(grid, run, len(grid.real.pictures()))


def _outputs(run: Run, expected: Collection[str]) -> dict[str, Path]:
    outputs = run.pictures()
    missing = sorted(set(expected) - outputs.keys())
    if not expected:
        raise UserError(f"{run.folder}: there are no targets to score against; run `p2pbench train-ablation` again")
    if missing:
        raise UserError(
            f"{run.images}: {len(outputs)} of {len(expected)} pictures are there; missing "
            f"{', '.join(missing[:MOST_NAMED])}; run `p2pbench train-ablation` again to make the rest"
        )
    return {id_: outputs[id_] for id_ in expected}
