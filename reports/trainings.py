"""What a grid's trainings allow to be said of its cells: of one training each, nothing about other trainings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from reports import grids, layout, losses, reproduce, tables
from reports.errors import ReportError
from reports.grids import Description
from reports.layout import Grid, Report
from reports.metrics import STUDY, describe_scorer
from reports.names import counted, duration, typed
from reports.tables import Table

ENOUGH = 3
"""With fewer seeds, intervals over trainings are wide: Student's t of one degree of freedom is 12.7."""


class More(NamedTuple):
    """What decides between cells, with its time where that is known, and the command that does it."""

    todo: str
    command: str


class Once(NamedTuple):
    """A grid whose cells were trained once each.

    Attributes:
        by: Which scorers know one training alone, behind "one training per cell"; empty where all do.
        over: What intervals are over.
        todo: What decides between its cells, and how long that takes where it is known.
        command: That does it.
    """

    by: str
    over: str
    todo: str
    command: str

    @property
    def meaning(self) -> str:
        """What that means, for page and terminal alike, behind "one training per cell:"."""
        return f"intervals are over {self.over} only, and other trainings of the same cells may come out otherwise"


def once(
    grid: Grid,
    description: Description,
    of_grid: Sequence[Table],
    file: str,
    results: str = "results",
    root: str = "DATASET",
) -> Once | None:
    """What to say of a grid where each of its cells has one training; None where one has several, or is alone.

    Args:
        grid: Where its runs are.
        description: What it was asked to be.
        of_grid: Its tables.
        file: The grid as a file that trains it.
        results: The results folder, as the command names it.
        root: The dataset's folder, likewise.
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
    decide = more(grid, description, file, results, root)
    if decide is None:
        scoring = reproduce.commands(description, alone, file)[1:-1]
        command = " && ".join(line.replace(" results", f" {results}", 1) for line in scoring)
        decide = More("score the other seeds", command)
    return Once(by, over, *decide)


def more(grid: Grid, description: Description, file: str, results: str, root: str) -> More | None:
    """How to come to three seeds of each cell, or to those that the grid asks for; None where all are there.

    Args:
        grid: Where its runs are.
        description: What it was asked to be.
        file: The grid as a file that trains it.
        results: The results folder, as the command names it.
        root: The dataset's folder, likewise.
    """
    others = (seed for seed in count() if seed not in description.seeds)
    seeds = [*description.seeds, *islice(others, max(0, ENOUGH - len(description.seeds)))]
    left = [run for cell in description.cells for seed in seeds if not (run := grid.run(cell, seed)).pictures()]
    if not left:
        return None
    todo = f"train {counted(len(left), 'more run')}"
    times = [
        losses.seconds(grid.run(cell, seed), _batch_size(description, cell))
        for cell in description.cells
        for seed in description.seeds
    ]
    known = [seconds for seconds in times if seconds is not None]
    if known:
        todo += f", about {duration(len(left) * sum(known) / len(known))} at the speed of the first"
    train = reproduce.train_command(description, file, results, root)
    return More(todo, f"{train} --seeds {','.join(map(str, seeds))}")


def advice(grid: Grid, description: Description) -> More | None:
    """The same as it is typed where the results folder is named as now, with the report first that writes the file."""
    file, results, root, first = _places(grid, description, layout.report(grid.folder.parent))
    found = more(grid, description, file, results, root)
    return found and found._replace(command=first + found.command)


def line(grid: Grid, description: Description, of_grid: Sequence[Table], report: Report, *, single_runs: bool) -> str:
    """What a terminal says of a grid's trainings, in one line; empty where intervals need no word.

    Args:
        grid: Where its runs are.
        description: What it was asked to be.
        of_grid: Its tables.
        report: Where its file is; where it is not, the command writes it first.
        single_runs: Whether the scores of each run were printed, not those of cells.
    """
    file, results, root, first = _places(grid, description, report)
    found = once(grid, description, of_grid, file, results, root)
    if found is not None:
        command = first + found.command if file in found.command else found.command
        decide = f"To decide between cells, {found.todo}: {command}"
        return f"{grid.name}: one training per cell{found.by}: {found.meaning}. {decide}"
    said = []
    alone = dict.fromkeys(cell for table in of_grid if not table.once for cell in table.trained_once)
    if alone:
        ranked = "not ranked" if any(table.left_out for table in of_grid) else "marks are about these items"
        said.append(f"one training of {', '.join(alone)}, and several of others: {ranked}")
    if single_runs and any(len(row.seeds) > 1 for table in of_grid for row in table.rows):
        said.append(
            "each interval above is of one training alone; those over trainings and items are in the report: "
            f"p2pbench report {results}"
        )
    return f"{grid.name}: {'; '.join(said)}" if said else ""


def lines(results: Path) -> Iterator[str]:
    """What a terminal says of the grids of a results folder under scores of their runs, a line each where there is one.

    Grids that cannot be read are passed over: scoring and the report name them.
    """
    for grid in layout.grids(results):
        try:
            description = grids.read(grid)
        except ReportError:
            continue
        of_grid = tables.read(grid, description)
        if said := line(grid, description, of_grid, layout.report(results), single_runs=True):
            yield said


def _places(grid: Grid, description: Description, report: Report) -> tuple[str, str, str, str]:
    """The grid's file, results folder and dataset as they are typed, and what writes the file first where it is not."""
    results = grid.folder.parent
    known = report if report.grid_file(grid.name).is_file() else layout.report(results)
    path = known.grid_file(grid.name)
    place, root = typed(results), shlex.quote(str(description.dataset.get("root")))
    return typed(path), place, root, "" if path.is_file() else f"p2pbench report {place} && "


def _test(over: str) -> str:
    """Items as readers who see no protocol know them."""
    return over.replace("items", "test items")


def _batch_size(about: Description, cell: str) -> int:
    size = about.cells[cell].get("batch_size", about.settings.get("batch_size", 1))
    return size if isinstance(size, int) else 1
