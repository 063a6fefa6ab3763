"""Which runs of a grid are missing, unfinished or unscored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.grids import Description
from reports.layout import Grid, Run
from reports.ledger import Damage, Entry


@dataclass(frozen=True)
class Gap:
    """Runs of one cell that a table cannot show, or shows before their time.

    Attributes:
        cell: The cell's name.
        seeds: Its seeds that are in this state.
        state: What is missing, in words.
    """

    cell: str
    seeds: tuple[int, ...]
    state: str


def gaps(grid: Grid, description: Description, entries: Sequence[Entry], damages: Sequence[Damage]) -> list[Gap]:
    """What is missing from a grid, by cell in its order; scores that are there but damaged are not missing."""
    seen = {(entry.run, entry.scores.scorer) for entry in entries}
    seen |= {(damage.run, damage.scorer) for damage in damages}
    scorers = sorted({scorer for _, scorer in seen})
    found: dict[tuple[str, str], list[int]] = {}
    for cell in description.cells:
        for seed in description.seeds:
            run = grid.run(cell, seed)
            missing = [scorer for scorer in scorers if (run, scorer) not in seen]
            state = _state(run, "not scored by " + ", ".join(missing) if missing else "" if scorers else "not scored")
            if state:
                found.setdefault((cell, state), []).append(seed)
    return [Gap(cell, tuple(seeds), state) for (cell, state), seeds in found.items()]


def _state(run: Run, unscored: str) -> str:
    if not run.folder.is_dir():
        return "not started"
    if run.config.is_file() and not run.generator.is_file():  # outputs of other tools have neither
        return "training not finished"
    if unscored and not run.pictures():
        return "no images"
    return unscored


def strays(grid: Grid, description: Description) -> list[Run]:
    """The runs on disk that grid.json does not name."""
    return [run for run in grid.runs() if run.cell not in description.cells or run.seed not in description.seeds]


@dataclass(frozen=True)
class Missing:
    """Cells that a scorer could not score, and why."""

    scorer: str
    cells: tuple[str, ...]
    why: str


def missing(runs: Sequence[Run]) -> list[Missing]:
    """What scorers have said about runs that they could not score, by scorer and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for scorer in run.unscored():
            if run.score(scorer).is_file():  # scored since
                continue
            why = " ".join(run.missing(scorer).read_text("utf-8", errors="replace").split())
            found.setdefault((scorer, why), []).append(run.cell)
    return [Missing(scorer, tuple(dict.fromkeys(cells)), why) for (scorer, why), cells in found.items()]
