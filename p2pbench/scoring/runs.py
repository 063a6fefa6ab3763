"""Which runs of a results folder can be scored by their label maps, and against which labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from p2pbench.config import RunConfig
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.errors import UserError
from p2pbench.scoring.outcome import Outcome
from p2pbench.scoring.outputs import Outputs, match_outputs
from p2pbench.scoring.truth import Truth, run_truth
from p2pbench.training.records import check_test_items, found_now, origin, read_runs
from reports.paper import PaperRow, paper_row
from reports.store.arithmetic import flaw, mark, unusable
from reports.store.grids import check_ranges, read
from reports.store.layout import Grid, Run, found_at, grids
from reports.store.names import counted


@dataclass(frozen=True)
class Ready:
    """A grid whose outputs can be scored.

    Attributes:
        grid: The grid.
        truth: What its outputs are compared with.
        trained: Its finished runs, at least one.
        outputs: The outputs of those and of the ground truth, by item id.
    """

    grid: Grid
    truth: Truth
    trained: list[Run]
    outputs: dict[Run, dict[str, Path]]

    def name(self, run: Run) -> str:
        """A run's name in tables and messages."""
        return _name(self.grid, run)

    def place(self, run: Run) -> dict[str, str | int | None]:
        """A run's place, for machines, and what is, or may be, wrong with its training."""
        return {"grid": self.grid.name, "cell": run.cell, "seed": run.seed, "note": mark(run)}

    def origin(self, run: Run) -> dict[str, object]:
        """Where a run's outputs come from; the ground truth stands beside the runs, under their protocol."""
        return {**origin(run if run in self.trained else self.trained[0]), "truth": self.truth.content}

    def paper(self, run: Run, scorer: str) -> PaperRow | None:
        """The paper's row of the same name, where the images are the paper's."""
        return paper_row(scorer, read(self.grid).source, run.cell) if self.truth.is_papers else None


def ready_grids(
    results: Path,
    direction: str,
    root: str | None,
    *,
    allow_partial: bool,
    outcome: Outcome,
    clusters: str | None = None,
) -> Iterator[Ready]:
    """The grids below a results folder that have something to score; the others are told to the outcome.

    Args:
        results: The results folder.
        direction: The direction of the runs that are wanted.
        root: Where the dataset is now; None looks where the runs found it.
        allow_partial: Whether to take runs that lack some of their pictures, too.
        outcome: Told what is left out.
        clusters: Which test items vary together; None takes what each grid has.

    Raises:
        UserError: There is no grid, or a dataset is no longer where its runs found it.
    """
    found = grids(results)
    if not found:
        what = "no run found" if results.is_dir() else found_at(results)
        raise UserError(
            f"{results}: {what}; expected a results folder as `p2pbench train-ablation` writes it, or a folder "
            "of outputs and --labels DATASET:ROOT[:SPLIT]"
        )
    if root is not None and not any(record.settings.root for grid in found for _, record in read_runs(grid)):
        raise UserError(f"--root {root}: no run of {results} has a root, since its dataset is drawn; leave it out")
    for grid in found:
        ready = ready_grid(grid, direction, root, allow_partial=allow_partial, outcome=outcome, clusters=clusters)
        if ready is not None:
            yield ready


def ready_grid(
    grid: Grid,
    direction: str,
    root: str | None,
    *,
    allow_partial: bool,
    outcome: Outcome,
    clusters: str | None = None,
) -> Ready | None:
    """A grid that has something to score; None where it has not, which is told to the outcome. See `ready_grids`.

    Raises:
        UserError: The dataset is no longer where the runs found it, or clusters do not fit its test items.
        ReportError: The grid's range is not that of its pictures.
    """
    records = dict(read_runs(grid))
    settings = {run: record.settings for run, record in records.items()}
    reason = unfit(next(iter(settings.values())), direction) if settings else None  # the same for all runs of a grid
    if reason:
        outcome.skipped.append(f"{grid.name}: skipped, {reason}")
        return None
    cells = list(read(grid).cells)  # in the order in which the paper or the user has them
    trained = [run for run in grid.runs() if run in settings and run.generator.exists()]
    trained.sort(key=lambda run: cells.index(run.cell) if run.cell in cells else len(cells))
    outcome.unfinished.extend(
        f"{_name(grid, run)}: its training is not finished" for run in grid.runs() if run not in trained
    )
    if not trained:
        return None
    check_ranges(grid, outcome.clipped.append)
    outcome.flawed.extend(f"{_name(grid, run)}: {wrong}" for run in [*trained, grid.real] if (wrong := flaw(run)))
    truth = run_truth(found_now(settings[trained[0]], grid, root, clusters))
    outcome.clusters.extend(f"{grid.name}: {line}" for line in truth.notices)
    for run in {records[run].data["test"].get("content"): run for run in trained}.values():
        check_test_items(run, records[run], truth.dataset, list(truth.items.values()))
    outputs: dict[Run, dict[str, Path]] = {}
    for run in [*trained, grid.real]:
        if why := unusable(run):
            outcome.unfinished.append(f"{_name(grid, run)}: {why}")
            continue
        found = Outputs(run.pictures(), "", [])
        matched = match_outputs(found, truth.items, run.images, allow_partial=True) if found.files else {}
        if len(matched) == len(truth.items) or (matched and allow_partial):
            outputs[run] = matched
        else:
            first = next(id_ for id_ in truth.items if id_ not in matched)
            there = f"{len(matched)} of {counted(len(truth.items), 'picture')} there, missing {first}"
            outcome.unfinished.append(f"{_name(grid, run)}: {there}")
    return None if outputs.keys() <= {grid.real} else Ready(grid, truth, trained, outputs)


def check_something(results: Path, outcome: Outcome) -> None:
    """Refuse an outcome without scores.

    Raises:
        UserError: Nothing was scored; it says why.
    """
    if not outcome.scored:
        reasons = [*outcome.skipped, *outcome.unfinished] or ["its grids hold no runs"]
        raise UserError(f"{results}: nothing can be scored: {'; '.join(reasons[:MOST_NAMED])}")


def unfit(config: RunConfig, wanted: str) -> str | None:
    """Why a run's outputs cannot be scored this way; None where they can."""
    kind = DATASETS[config.dataset]
    direction = config.direction or kind.directions[0]
    if kind.table is None:
        return f"its dataset {kind.name} has no label table"
    if direction != wanted:
        return f"its direction is {direction}, expected {wanted}"
    return None


def _name(grid: Grid, run: Run) -> str:
    return f"{grid.name}/{run.cell}" + (f" seed {run.seed}" if run.seed is not None else "")
