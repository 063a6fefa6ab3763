"""Selection of runs that can be scored, with their truth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import DATASETS, open_dataset, run_items
from p2pbench.datasets.clusters import ItemClusters, find_clusters
from p2pbench.datasets.dataset import MOST_NAMED, Dataset, Item
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from p2pbench.scoring.outputs import OutputFiles, match_outputs
from p2pbench.scoring.scorer import Outputs, Targets
from p2pbench.scoring.truth import run_truth
from p2pbench.training.records import check_test_items, found_now, origin, read_references, read_run, read_runs
from reports.store import grids, layout
from reports.store.arithmetic import flaw, unusable
from reports.store.grids import check_ranges
from reports.store.layout import Grid, Run
from reports.store.names import counted

if TYPE_CHECKING:
    from p2pbench.scoring.label_scores import Outcome


Say = Callable[[str], None]


def picture_outputs(
    grid: Grid, run: Run, *, native: bool, say: Say, clusters: str | None = None, n_expected: int | None = None
) -> Outputs:
    """Gather a run's outputs for comparison with target pictures.

    Args:
        grid: The grid.
        run: One of its runs.
        native: Compare with the dataset's own targets, at their own size and aspect, instead of those of `real/`.
        say: Receives a line if clusters of items are unusual.
        clusters: Items that vary together, as the setting of this name; None takes the grid's.
        n_expected: The number of items in the split; None takes those that have targets.

    Raises:
        UserError: Pictures of the run or of `real/` are missing, the dataset is no longer where the run found it, or
            clusters do not fit the items.
    """
    record = read_run(run)
    config = found_now(record.settings, grid, clusters=clusters)
    if native:
        dataset = open_dataset(config)
        items = {item.id: item for item in run_items(dataset, config).test}
        check_test_items(run, record, dataset, list(items.values()))
        files, expected = _complete(run, items.keys()), len(items)
        targets = Targets(partial(_native_target, dataset, items), native=True)
    else:
        real = _real_pictures(grid)
        files, expected = _complete(run, real.keys()), len(real)
        targets = Targets(lambda id_: pictures.read(real[id_]))
    return Outputs(
        run,
        run_name(grid, run),
        files,
        expected if n_expected is None else n_expected,
        origin(run),
        grids.ranges(grid).output,
        clusters_of(config, files, say),
        grid,
        targets=targets,
    )


def _native_target(dataset: Dataset, items: dict[str, Item], id_: str) -> Picture:
    sample = dataset.load(items[id_], None)
    return dataset.to_picture(sample.input, sample.target)


def _real_pictures(grid: Grid) -> dict[str, Path]:
    targets = grid.real.pictures()
    if gone := sorted(read_references(grid.references).keys() - targets.keys()):
        raise UserError(
            f"{grid.real.images}: found no picture of {', '.join(gone[:MOST_NAMED])}, which runs of {grid.name} were "
            "tested on; give the command that trained one of them again, which makes it"
        )
    return targets


def _complete(run: Run, expected: Collection[str]) -> dict[str, Path]:
    outputs = run.pictures()
    missing = sorted(set(expected) - outputs.keys())
    if not expected:
        raise UserError(f"{run.folder}: there are no targets to score against; give the command that trained it again")
    if missing:
        raise UserError(
            f"{run.images}: {len(expected) - len(missing)} of {counted(len(expected), 'picture')} there; missing "
            f"{', '.join(missing[:MOST_NAMED])}; give the command that trained it again, to make the rest"
        )
    return {id_: outputs[id_] for id_ in expected}


def clusters_of(config: RunConfig, item_ids: Iterable[str], say: Say = lambda line: None) -> ItemClusters | None:
    """Clusters of items by a run's settings; None if items are independent.

    Raises:
        UserError: Clusters do not fit the items.
    """
    clustering = find_clusters(config.clusters, DATASETS[config.dataset].naming, sorted(item_ids))
    for line in clustering.notices:
        say(line)
    return clustering.clusters


@dataclass(frozen=True)
class LabelRequest:
    """Selection of runs to score by label maps.

    Attributes:
        direction: The direction of their translation.
        root: The dataset's present root; None takes that of the runs.
        clusters: Test items that vary together, as the setting of this name; None takes each grid's.
        allow_partial: Include runs that lack some of their pictures.
    """

    direction: str
    root: str | None = None
    clusters: str | None = None
    allow_partial: bool = False


def label_outputs(results: Path, request: LabelRequest, outcome: Outcome) -> Iterator[list[Outputs]]:
    """Gather the runs that can be scored by label maps.

    One list per grid of the results folder.

    Everything left out is noted in the outcome.

    Raises:
        UserError: There is no grid, or a dataset is no longer where its runs found it.
    """
    grids_there = layout.grids(results)
    if not grids_there:
        what = "no run found" if results.is_dir() else layout.found_at(results)
        raise UserError(
            f"{results}: {what}; expected a results folder as `p2pbench train-ablation` writes it, or a folder "
            "of outputs with its labels, DATASET:ROOT[:SPLIT]"
        )
    root = request.root
    if root is not None and not any(record.settings.root for grid in grids_there for _, record in read_runs(grid)):
        raise UserError(f"--root {root}: no run of {results} has a root, since its dataset is drawn; leave it out")
    for grid in grids_there:
        if runs := grid_label_outputs(grid, request, outcome):
            yield runs


def grid_label_outputs(grid: Grid, request: LabelRequest, outcome: Outcome) -> list[Outputs]:
    """Gather the finished runs of a grid, then its ground truth.

    Empty if no run can be scored.

    Raises:
        UserError: The dataset is no longer where the runs found it, or clusters do not fit its test items.
        ReportError: The grid's range is not that of its pictures.
    """
    records = dict(read_runs(grid))
    settings = {run: record.settings for run, record in records.items()}
    # The settings that decide this are the same for all runs of a grid.
    reason = unfit(next(iter(settings.values())), request.direction) if settings else None
    if reason:
        outcome.skipped.append(f"{grid.name}: skipped, {reason}")
        return []
    description = grids.read(grid)
    cells = list(description.cells)  # in the order in which the paper or the user has them
    trained = [run for run in grid.runs() if run in settings and run.generator.exists()]
    trained.sort(key=lambda run: cells.index(run.cell) if run.cell in cells else len(cells))
    outcome.unfinished.extend(
        f"{run_name(grid, run)}: its training is not finished" for run in grid.runs() if run not in trained
    )
    if not trained:
        return []
    check_ranges(grid, outcome.clipped.append)
    outcome.flawed.extend(f"{run_name(grid, run)}: {wrong}" for run in [*trained, grid.real] if (wrong := flaw(run)))
    truth = run_truth(found_now(settings[trained[0]], grid, request.root, request.clusters))
    outcome.clusters.extend(f"{grid.name}: {line}" for line in truth.notices)
    # Runs of the same data share the hash of its contents: each data set is checked once, by one of its runs.
    for run in {records[run].data["test"].get("content"): run for run in trained}.values():
        check_test_items(run, records[run], truth.dataset, list(truth.items.values()))
    outputs = []
    for run in [*trained, grid.real]:
        files, lack = _labelled_pictures(run, truth.items, allow_partial=request.allow_partial)
        if lack:
            outcome.unfinished.append(f"{run_name(grid, run)}: {lack}")
            continue
        outputs.append(
            Outputs(
                run,
                run_name(grid, run),
                files,
                len(truth.items),
                # The ground truth stands beside the runs, under their protocol.
                {**origin(run if run in trained else trained[0]), "truth": truth.content},
                description.ranges.output,
                truth.clusters,
                grid,
                truth=truth,
                source=description.source,
            )
        )
    return outputs if any(of.run != grid.real for of in outputs) else []


def _labelled_pictures(run: Run, items: Collection[str], *, allow_partial: bool) -> tuple[dict[str, Path], str]:
    """A run's pictures by item id, and the reason why it cannot be scored, "" if it can."""
    if why := unusable(run):
        return {}, why
    outputs = OutputFiles(run.pictures(), "", [])
    matched = match_outputs(outputs, items, run.images, allow_partial=True) if outputs.files else {}
    if len(matched) == len(items) or (matched and allow_partial):
        return matched, ""
    first = next(id_ for id_ in items if id_ not in matched)
    return {}, f"{len(matched)} of {counted(len(items), 'picture')} there, missing {first}"


def unfit(config: RunConfig, wanted: str) -> str | None:
    """Reason why a run's outputs cannot be scored by label maps.

    None if they can.
    """
    kind = DATASETS[config.dataset]
    direction = config.direction or kind.directions[0]
    if kind.table is None:
        return f"its dataset {kind.name} has no label table"
    if direction != wanted:
        return f"its direction is {direction}, expected {wanted}"
    return None


def run_name(grid: Grid, run: Run) -> str:
    """A run's name in tables and messages."""
    return f"{grid.name}/{run.cell}" + (f" seed {run.seed}" if run.seed is not None else "")
