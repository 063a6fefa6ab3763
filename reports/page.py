"""What the page shows of each grid, gathered before any of it is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from reports import (
    arithmetic,
    classes,
    colours,
    filled,
    grids,
    layout,
    ledger,
    losses,
    placement,
    status,
    studies,
    tables,
)
from reports.classes import Classes
from reports.colours import Colours
from reports.errors import ReportError
from reports.grids import Description
from reports.layout import REAL, Grid, Run
from reports.ledger import Damage, Entry
from reports.metrics import Scorer, describe_scorer
from reports.names import counted, typed
from reports.status import Gap, Missing
from reports.studies import Study
from reports.tables import Table


@dataclass(frozen=True, eq=False)
class Section:
    """All that is known of one grid.

    Attributes:
        grid: Its folder.
        description: What grid.json says.
        entries: Its scores, those of runs that grid.json does not name included.
        tables: One a scorer; empty where nothing is scored.
        losses: The loss tables of each cell that has any, one a seed.
        gaps: Runs that are missing, unfinished or unscored.
        strays: Runs on disk that grid.json does not name; no table shows them.
        missing: Cells that a scorer could not score, and why.
        studies: Studies with raters of its outputs.
        classes: What scorers of label maps say of each class.
        colours: Distributions of colours, where there are any.
        unread: Scores that cannot be read.
        damages: Files that cannot be read, these and others, one line each.
        threads: How many threads trained each cell, where it is recorded.
        clipped: Declared ranges that clip some values of the grid's pictures, one line each.
    """

    grid: Grid
    description: Description
    entries: tuple[Entry, ...]
    tables: tuple[Table, ...]
    losses: Mapping[str, Sequence[pd.DataFrame]]
    gaps: tuple[Gap, ...]
    strays: tuple[Run, ...]
    missing: tuple[Missing, ...]
    studies: tuple[Study, ...]
    classes: tuple[Classes, ...]
    colours: Colours | None
    unread: tuple[Damage, ...]
    damages: tuple[str, ...]
    threads: Mapping[str, str]
    clipped: tuple[str, ...]

    def scorer(self, name: str) -> Scorer:
        """How a scorer is shown, by the protocol of its table where it has one."""
        return describe_scorer(name, next((table.protocol for table in self.tables if table.scorer == name), None))

    def scorer_titles(self, name: str) -> Mapping[str, Mapping[int | None, str]]:
        """What a scorer is called by cell and seed; runs need not have the same network."""
        titles: dict[str, dict[int | None, str]] = {}
        for entry in self.entries:
            if entry.scores.scorer == name:
                title = describe_scorer(name, entry.scores.protocol).title
                titles.setdefault(entry.run.cell, {})[entry.run.seed] = title
        return titles


class Page(NamedTuple):
    """The grids of a results folder, and what is wrong with those that cannot be shown, one line each."""

    sections: list[Section]
    unreadable: list[str]

    @property
    def damages(self) -> list[str]:
        """What cannot be read or shown, of the grids and in them."""
        return [*self.unreadable, *(line for section in self.sections for line in section.damages)]


def read(results: Path) -> Page:
    """The grids of a results folder.

    Raises:
        ReportError: There is no such folder, no grid in it, or nothing in it is scored.
    """
    found = layout.grids(results)
    if not found:
        what = "found no grid" if results.is_dir() else layout.found_at(results)
        if layout.analyses(results):
            raise ReportError(
                f"{results}: found studies and no grid that they belong to, expected GRID/grid.json; their numbers are "
                f"in {layout.STUDIES}/NAME/analysis.txt, made by `p2pbench amt analyse {typed(results)}`"
            )
        raise ReportError(
            f"{results}: {what}, expected GRID/grid.json in it; run `p2pbench train-ablation GRID "
            f"--out {typed(results)}`, then `p2pbench image-score {typed(results)}`"
        )
    sections, unreadable = [], []
    for grid in found:
        try:
            sections.append(_section(grid))
        except ReportError as error:
            unreadable.append(str(error))
    if not any(section.tables for section in sections):
        damages = Page(sections, unreadable).damages
        if damages:
            what = f"{counted(len(damages), 'file')} cannot be read"
            then = f"mend that, then run `p2pbench image-score {typed(results)}`"
            raise ReportError(f"{results}: found no scores; {what}, such as {damages[0]}; {then}")
        raise ReportError(f"{results}: found no scores; run `p2pbench image-score {typed(results)}`")
    found_studies = studies.collect(results)
    placed = placement.place(
        found_studies.studies,
        [entry for section in sections for entry in section.entries],
        [damage for section in sections for damage in section.unread],
    )
    unreadable += [*found_studies.damages, *found_studies.waiting, *placed.strangers]
    return Page([_with_studies(section, placed.by_grid.get(section.grid.name, ())) for section in sections], unreadable)


def plain_fields(fields: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Settings as text by dotted name: mappings in mappings are flattened, lists are written as JSON."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            flat |= plain_fields(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = plain(value)
    return flat


def plain(value: object) -> str:
    """A setting as text."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def dataset_line(dataset: Mapping[str, object]) -> str:
    """A dataset in one line, from what grid.json says of it: name, direction, test split, counts of items, note."""
    words = [plain(dataset[key]) for key in ("name", "direction", "test_split") if dataset.get(key)]
    for split in ("train", "test"):
        items = dataset.get(split)
        if isinstance(items, Mapping) and "n" in items:
            words.append(f"{items['n']} {split} item{'s' * (items['n'] != 1)}")
    return " · ".join([*words, *([plain(dataset["note"])] if dataset.get("note") else [])])


def _with_studies(section: Section, found: tuple[Study, ...]) -> Section:
    return replace(section, studies=found, tables=tuple(placement.settled(table, found) for table in section.tables))


def _section(grid: Grid) -> Section:
    clipped: list[str] = []
    filled.ranges(grid, clipped.append)
    description = grids.read(grid)
    entries, damages = ledger.collect(grid)
    named = [entry for entry in entries if _is_named(entry.run, description)]
    logged, unread = _losses(grid, description)
    runs = [grid.run(cell, seed) for cell in description.cells for seed in description.seeds]
    by_class = classes.read(grid, [*runs, grid.real])
    lab = colours.read(runs, REAL)
    return Section(
        grid=grid,
        description=description,
        entries=tuple(entries),
        tables=tuple(
            replace(table, remark=classes.remark(table, by_class) or table.remark)
            for table in tables.build(list(description.cells), named, arithmetic.flaws(runs))
        ),
        losses=logged,
        gaps=tuple(status.gaps(grid, description, entries, damages)),
        strays=tuple(status.strays(grid, description)),
        missing=tuple(status.missing(runs)),
        studies=(),
        classes=tuple(by_class),
        colours=lab if lab and len(lab.shares) else None,
        unread=tuple(damages),
        damages=(
            *(damage.message for damage in damages),
            *unread,
            *(line for each in by_class for line in each.damages),
            *(lab.damages if lab else ()),
        ),
        threads=arithmetic.threads(runs),
        clipped=tuple(clipped),
    )


def _is_named(run: Run, description: Description) -> bool:
    return run.seed is None or (run.cell in description.cells and run.seed in description.seeds)


def _losses(grid: Grid, description: Description) -> tuple[dict[str, list[pd.DataFrame]], list[str]]:
    logged: dict[str, list[pd.DataFrame]] = {}
    damages = []
    for cell in description.cells:
        for seed in description.seeds:
            try:
                table = losses.read(grid.run(cell, seed))
            except ReportError as error:
                damages.append(str(error))
                continue
            if table is not None:
                logged.setdefault(cell, []).append(table)
    return logged, damages
