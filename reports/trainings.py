"""Number of trainings per cell, and differences that more would detect."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, count, islice
from pathlib import Path
from typing import NamedTuple

from reports import reproduce, run_states, tables
from reports.store import grids, layout
from reports.store.errors import ReportError
from reports.store.grids import GridDescription
from reports.store.layout import Grid, Report
from reports.store.metrics import STUDY, describe, describe_scorer
from reports.store.names import counted, duration, typed
from reports.store.variance import planned
from reports.tables import ScoreTable

ENOUGH = 3
"""With fewer seeds, intervals over trainings are wide: Student's t with one degree of freedom is 12.7."""
SEED_COUNTS = (2, 3, 5, 10)
POWER = 0.8
DETECTABLE = "smallest difference between two cells detectable with 80 % power"
NO_SEEDS = "no two cells with several seeds each"
NO_INTERVALS = "several seeds per cell and no interval of two of them"
_TYPICAL = 3  # seeds, at which the pair with the median variance is chosen


class NextStep(NamedTuple):
    """Work that decides between cells, with its command."""

    todo: str
    command: str


class SingleTrainings(NamedTuple):
    """A grid whose cells have one training each.

    Attributes:
        by: Scorers with one training per cell, as text behind "one training per cell"; empty where all.
        over: Scope of the intervals.
        todo: Work that decides between the cells, with its duration if known.
        command: Command that does it.
    """

    by: str
    over: str
    todo: str
    command: str

    @property
    def meaning(self) -> str:
        """Consequence of single trainings, for page and terminal."""
        return f"intervals are over {self.over} only, and other trainings of the same cells may differ"


class DetectableDifferences(NamedTuple):
    """Smallest detectable differences of one metric.

    Attributes:
        metric: Its name.
        pairs: Number of pairs of cells with an estimate.
        smallest: Difference detected with 80 % power by the number of seeds per cell, for the pair with the median
            variance at three seeds.
    """

    metric: str
    pairs: int
    smallest: dict[int, float]

    def shown(self, seeds: int, beyond: str = "-") -> str:
        """The difference as text; `beyond` if it exceeds the metric's scale."""
        about, size = describe(self.metric), self.smallest[seeds]
        if size > about.most - about.least:
            return beyond
        text = f"{size:.{about.digits}f}"
        return text if float(text) else f"<{10.0**-about.digits:.{about.digits}f}"


def single_trainings(
    grid: Grid,
    description: GridDescription,
    of_grid: Sequence[ScoreTable],
    file: str,
    results: str = "results",
    root: str = "DATASET",
) -> SingleTrainings | None:
    """Advice for a grid with one training per cell; else None.

    Args:
        grid: Folder of the runs.
        description: Contents of grid.json.
        of_grid: Its tables.
        file: Grid file that trains it.
        results: The results folder, as typed in the command.
        root: The dataset's folder, as typed in the command.
    """
    ranked = [table for table in of_grid if len(table.rows) > 1 and not table.scorer.startswith(STUDY)]
    alone = [table for table in ranked if table.once]
    if not alone:
        return None
    shown = [describe_scorer(each.scorer, each.protocol) for each in alone]
    over = _test(" or ".join(dict.fromkeys(each.over for each in shown)))
    by = "" if len(alone) == len(ranked) else f" scored by {' and '.join(each.title for each in shown)}"
    if any(table.scorer.startswith(STUDY) for table in of_grid):
        over += " (of fooling rates over raters too)"
    decide = more_seeds(grid, description, file, results, root)
    if decide is None:
        # All seeds are trained: of training, scoring and the report, only scoring is left.
        scoring = reproduce.commands(description, alone, file)[1:-1]
        command = " && ".join(line.replace(" results", f" {results}", 1) for line in scoring)
        decide = NextStep("score the other seeds", command)
    return SingleTrainings(by, over, *decide)


def more_seeds(grid: Grid, description: GridDescription, file: str, results: str, root: str) -> NextStep | None:
    """Advice on training three seeds per cell; None if all exist.

    Args:
        grid: Folder of the runs.
        description: Contents of grid.json.
        file: Grid file that trains it.
        results: The results folder, as typed in the command.
        root: The dataset's folder, as typed in the command.
    """
    # Existing seeds are kept: their runs need not be trained again.
    others = (seed for seed in count() if seed not in description.seeds)  # the lowest unused seeds
    seeds = [*description.seeds, *islice(others, max(0, ENOUGH - len(description.seeds)))]
    left = [run for cell in description.cells for seed in seeds if not (run := grid.run(cell, seed)).pictures()]
    if not left:
        return None
    todo = f"train {counted(len(left), 'more run')}"
    times = [
        run_states.training_seconds(grid.run(cell, seed), _batch_size(description, cell))
        for cell in description.cells
        for seed in description.seeds
    ]
    known = [seconds for seconds in times if seconds is not None]
    if known:
        todo += f", about {duration(len(left) * sum(known) / len(known))} at the speed of the first"
    train = reproduce.train_command(description, file, results, root)
    return NextStep(todo, f"{train} --seeds {','.join(map(str, seeds))}")


def advice(grid: Grid, description: GridDescription) -> NextStep | None:
    """Advice on more seeds with paths as typed in a shell.

    The report that writes the grid's file comes first if it is missing.
    """
    file, results, root, first = _places(grid, description, layout.report(grid.folder.parent))
    step = more_seeds(grid, description, file, results, root)
    return step and step._replace(command=first + step.command)


def line(
    grid: Grid, description: GridDescription, of_grid: Sequence[ScoreTable], report: Report, *, single_runs: bool
) -> str:
    """Terminal line on a grid's number of trainings; empty if unneeded.

    Args:
        grid: Folder of the runs.
        description: Contents of grid.json.
        of_grid: Its tables.
        report: Report with its file; if missing, the command writes it first.
        single_runs: Whether scores of single runs were printed, not those of cells.
    """
    file, results, root, first = _places(grid, description, report)
    found = single_trainings(grid, description, of_grid, file, results, root)
    if found is not None:
        command = first + found.command if file in found.command else found.command
        decide = f"To decide between cells, {found.todo}: {command}"
        return f"{grid.name}: one training per cell{found.by}: {found.meaning}. {decide}"
    remarks = []
    alone = dict.fromkeys(cell for table in of_grid if not table.once for cell in table.trained_once)
    if alone:
        ranked = "not ranked" if any(table.left_out for table in of_grid) else "marks hold for these items only"
        remarks.append(f"one training of {', '.join(alone)}, and several of others: {ranked}")
    if single_runs and any(len(row.seeds) > 1 for table in of_grid for row in table.rows):
        remarks.append(
            "intervals above are for single trainings; those over trainings and items are in the report: "
            f"p2pbench report {results}"
        )
    return f"{grid.name}: {'; '.join(remarks)}" if remarks else ""


def lines(results: Path) -> Iterator[str]:
    """Terminal lines on the trainings of a results folder's grids.

    Grids that cannot be read are skipped: scoring and the report name them.
    """
    for grid in layout.grids(results):
        try:
            description = grids.read(grid)
        except ReportError:
            continue
        of_grid = tables.read(grid, description)
        if text := line(grid, description, of_grid, layout.report(results), single_runs=True):
            yield text


def _places(grid: Grid, description: GridDescription, report: Report) -> tuple[str, str, str, str]:
    """Grid file, results folder and dataset as typed in a shell.

    The fourth is a command that writes the file first, or empty.
    """
    results = grid.folder.parent
    known = report if report.grid_file(grid.name).is_file() else layout.report(results)
    path = known.grid_file(grid.name)
    place, root = typed(results), shlex.quote(str(description.dataset.get("root")))
    return typed(path), place, root, "" if path.is_file() else f"p2pbench report {place} && "


def _test(over: str) -> str:
    """Replace "items" by "test items", for readers without a protocol."""
    return over.replace("items", "test items")


def _batch_size(about: GridDescription, cell: str) -> int:
    size = about.cells[cell].get("batch_size", about.settings.get("batch_size", 1))
    return size if isinstance(size, int) else 1


def detectable_lines(table: ScoreTable, seeds: Sequence[int] = SEED_COUNTS) -> list[str]:
    """Terminal lines on detectable differences: title, then one per metric."""
    rows = detectable(table, seeds)
    if not rows:
        return []
    lines = [
        describe_scorer(table.scorer, table.protocol).title,
        f"  {'seeds per cell':<20}" + "".join(f"{count:>9}" for count in seeds),
    ]
    texts = [[row.shown(count) for count in seeds] for row in rows]
    for row, values in zip(rows, texts, strict=True):
        lines.append(f"  {describe(row.metric).label:<20}" + "".join(f"{text:>9}" for text in values))
    if any("-" in values for values in texts):
        lines.append("  -: more than the metric's range")
    return lines


def why_none_detectable(tables: Iterable[ScoreTable]) -> str:
    """Reason why `detectable` returns nothing for these tables."""
    counts = [sum(len(row.seeds) > 1 for row in table.rows) for table in tables if not table.scorer.startswith(STUDY)]
    return NO_SEEDS if max(counts, default=0) < 2 else NO_INTERVALS


def detectable(table: ScoreTable, seeds: Sequence[int] = SEED_COUNTS) -> list[DetectableDifferences]:
    """Detectable differences of a table's metrics, none for studies.

    Args:
        table: Table of one scorer.
        seeds: Numbers of seeds per cell, at least 2.
    """
    if table.scorer.startswith(STUDY):
        return []
    metrics = []
    for name in table.metrics:
        samples = [row.numbers[name].sample for row in table.rows if name in row.numbers]
        known = [
            (plan.variance, pair) for pair in combinations(samples, 2) if (plan := planned(*pair, _TYPICAL)) is not None
        ]
        if known:  # of one pair only: the simulation for every pair of many cells would take minutes
            _, median = sorted(known, key=lambda each: each[0])[(len(known) - 1) // 2]
            plans = {count: plan for count in seeds if (plan := planned(*median, count)) is not None}
            metrics.append(
                DetectableDifferences(name, len(known), {count: of.detectable(POWER) for count, of in plans.items()})
            )
    return metrics
