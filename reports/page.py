"""Content of the report, collected before any file is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from reports import classes, histograms, run_states, tables, verdicts
from reports.classes import Classes
from reports.histograms import LabHistograms
from reports.reproduce import plain
from reports.run_states import Gap, Unscored
from reports.store import analyses, arithmetic, grids, layout, ledger
from reports.store.analyses import RATE, StudyRecord
from reports.store.errors import ReportError
from reports.store.grids import GridDescription
from reports.store.layout import REAL, Grid, Run
from reports.store.ledger import Damage, LedgerEntry
from reports.store.metrics import ScorerInfo, describe_scorer
from reports.store.names import counted, printable, typed
from reports.store.variance import ScoreEstimate
from reports.tables import ScoreTable
from reports.verdicts import CellPair

_SEVERAL = (
    "Several trainings of a cell were judged: values, intervals and marks are those of their mean, over trainings, "
    "raters and items; the study's analysis compares each training by itself"
)


@dataclass(frozen=True, eq=False)
class Section:
    """Everything known about one grid.

    Attributes:
        grid: Its folder.
        description: Contents of grid.json.
        entries: Its scores, including those of runs that grid.json does not name.
        tables: One per scorer; empty without scores.
        losses: Loss tables of each cell that has any, one per seed.
        gaps: Runs that are missing, unfinished or unscored.
        strays: Runs on disk that grid.json does not name; no table shows them.
        missing: Cells that a scorer could not score, with reasons.
        studies: Studies with raters of its outputs.
        classes: Scores of each class by scorers of label maps.
        colours: Lab histograms, if any.
        unread: Scores that cannot be read.
        damages: All files that cannot be read, one line each.
        threads: Recorded number of CPU threads by cell.
        clipped: Declared ranges that clip values of pictures, one line each.
    """

    grid: Grid
    description: GridDescription
    entries: tuple[LedgerEntry, ...]
    tables: tuple[ScoreTable, ...]
    losses: Mapping[str, Sequence[pd.DataFrame]]
    gaps: tuple[Gap, ...]
    strays: tuple[Run, ...]
    missing: tuple[Unscored, ...]
    studies: tuple[StudyRecord, ...]
    classes: tuple[Classes, ...]
    colours: LabHistograms | None
    unread: tuple[Damage, ...]
    damages: tuple[str, ...]
    threads: Mapping[str, str]
    clipped: tuple[str, ...]

    def scorer(self, name: str) -> ScorerInfo:
        """Title and meaning of a scorer, by its table's protocol if any."""
        return describe_scorer(name, next((table.protocol for table in self.tables if table.scorer == name), None))

    def scorer_titles(self, name: str) -> Mapping[str, Mapping[int | None, str]]:
        """Titles of a scorer by cell and seed, as networks may differ."""
        titles: dict[str, dict[int | None, str]] = {}
        for entry in self.entries:
            if entry.scores.scorer == name:
                title = describe_scorer(name, entry.scores.protocol).title
                titles.setdefault(entry.run.cell, {})[entry.run.seed] = title
        return titles


class Page(NamedTuple):
    """Grids of a results folder, and lines on those not shown."""

    sections: list[Section]
    unreadable: list[str]

    @property
    def damages(self) -> list[str]:
        """Grids and files that cannot be read or shown, one line each."""
        return [*self.unreadable, *(line for section in self.sections for line in section.damages)]


class Placed(NamedTuple):
    """Studies by the grid they rate, and sentences on those without one."""

    by_grid: Mapping[str, tuple[StudyRecord, ...]]
    strangers: tuple[str, ...]


def read(results: Path) -> Page:
    """Read the grids of a results folder.

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
    # A grid that is damaged must not hide the others.
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
    studies = analyses.collect(results)
    placed = place(
        studies.studies,
        [entry for section in sections for entry in section.entries],
        [damage for section in sections for damage in section.unread],
    )
    unreadable += [*studies.damages, *studies.waiting, *placed.strangers]
    return Page([_with_studies(section, placed.by_grid.get(section.grid.name, ())) for section in sections], unreadable)


def dataset_line(dataset: Mapping[str, object]) -> str:
    """One-line summary of a dataset as grid.json describes it."""
    words = [plain(dataset[key]) for key in ("name", "direction", "test_split") if dataset.get(key)]
    for split in ("train", "test"):
        items = dataset.get(split)
        if isinstance(items, Mapping) and "n" in items:
            words.append(f"{items['n']} {split} item{'s' * (items['n'] != 1)}")
    return " · ".join([*words, *([plain(dataset["note"])] if dataset.get("note") else [])])


def _with_studies(section: Section, studies: tuple[StudyRecord, ...]) -> Section:
    return replace(section, studies=studies, tables=tuple(settled(table, studies) for table in section.tables))


def _section(grid: Grid) -> Section:
    clipped: list[str] = []
    grids.check_ranges(grid, clipped.append)
    description = grids.read(grid)
    entries, damages = ledger.collect(grid)
    # Of cells or seeds that grid.json does not name: listed as strays, never ranked.
    named = [entry for entry in entries if _is_named(entry.run, description)]
    logged, unread = _losses(grid, description)
    runs = [grid.run(cell, seed) for cell in description.cells for seed in description.seeds]
    by_class = classes.read(grid, [*runs, grid.real])
    lab = histograms.read(runs, REAL)
    return Section(
        grid=grid,
        description=description,
        entries=tuple(entries),
        tables=tuple(
            replace(table, remark=classes.remark(table, by_class) or table.remark)
            for table in tables.build(list(description.cells), named, arithmetic.flaws(runs))
        ),
        losses=logged,
        gaps=tuple(run_states.gaps(grid, description, entries, damages)),
        strays=tuple(run_states.strays(grid, description)),
        missing=tuple(run_states.unscored(runs)),
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


def _is_named(run: Run, description: GridDescription) -> bool:
    return run.seed is None or (run.cell in description.cells and run.seed in description.seeds)


def _losses(grid: Grid, description: GridDescription) -> tuple[dict[str, list[pd.DataFrame]], list[str]]:
    logged: dict[str, list[pd.DataFrame]] = {}
    damages = []
    for cell in description.cells:
        for seed in description.seeds:
            try:
                table = run_states.read_losses(grid.run(cell, seed))
            except ReportError as error:
                damages.append(str(error))
                continue
            if table is not None:
                logged.setdefault(cell, []).append(table)
    return logged, damages


def place(studies: Iterable[StudyRecord], entries: Sequence[LedgerEntry], damages: Sequence[Damage] = ()) -> Placed:
    """Find the grid of each study by its rates in the ledger.

    A study belongs to a grid if the ledger holds its rates under the same protocol for the run of each of its cells,
    over items that include all that it judged.

    Args:
        studies: As `collect` gives them.
        entries: The scores of all grids.
        damages: Scores that cannot be read, reported elsewhere.
    """
    by_grid: dict[str, list[StudyRecord]] = {}
    strangers = []
    for study in studies:
        rates = {_origin(entry.run): entry for entry in entries if entry.scores.scorer == study.scorer}
        unread = [_origin(each.run) for each in damages if each.scorer == study.scorer]
        if unread:
            strangers.append(printable(f"Study {study.name} is not shown: its scores of {unread[0]} cannot be read."))
            continue
        problem = _problem(study, rates)
        if problem:
            strangers.append(printable(f"The raters of study {study.name} are not shown: {problem}."))
            continue
        runs = [rates[cell.origin].run for cell in study.cells]
        judged = Counter(run.cell for run in runs)
        # A cell's name tells its run, unless raters saw several trainings of it.
        labels = [f"{run.cell} seed {run.seed}" if judged[run.cell] > 1 else run.cell for run in runs]
        cells = [
            replace(cell, cell=run.cell, label=label, seed=run.seed)
            for cell, run, label in zip(study.cells, runs, labels, strict=True)
        ]
        names = {cell.cell: run.cell for cell, run in zip(study.cells, runs, strict=True)}
        pairs = tuple(pair._replace(first=names[pair.first], second=names[pair.second]) for pair in study.pairs)
        ours = replace(study, cells=tuple(cells), pairs=pairs)
        by_grid.setdefault(rates[study.cells[0].origin].grid, []).append(ours)
    return Placed({grid: tuple(its) for grid, its in by_grid.items()}, tuple(strangers))


def settled(table: ScoreTable, studies: Iterable[StudyRecord]) -> ScoreTable:
    """Table of a study's rates with the decisions of its analysis.

    These are adjusted for all of its pairs.

    If several runs of a cell were judged, the analysis has several rates and the table their mean: such a table keeps
    its own decisions, with a remark.

    Args:
        table: Table of any scorer; only those of studies are changed.
        studies: Studies of the table's grid, as `place` gives them.
    """
    study = next((study for study in studies if study.scorer == table.scorer), None)
    if study is None:
        return table
    seeds = {cell.cell: (cell.seed,) for cell in study.cells}
    judged = {row.cell: row.numbers[RATE].value for row in table.rows if row.cell in seeds and RATE in row.numbers}
    # Fewer names than judged runs: several runs of one cell. Or the table's mean is over other seeds than those judged.
    if len(seeds) < len(study.cells) or any(seeds.get(row.cell, row.seeds) != row.seeds for row in table.rows):
        return replace(table, remark=". ".join(filter(None, (table.remark, _SEVERAL))))
    pairs = [
        CellPair(each.first, each.second, ScoreEstimate(each.difference, each.interval, each.p, False), each.adjusted)
        for each in study.pairs
        if {each.first, each.second} <= judged.keys()
    ]
    return tables.decided(table, RATE, verdicts.of_analysis(judged, pairs))


def _problem(study: StudyRecord, rates: Mapping[str, LedgerEntry]) -> str:
    """Reason why a study does not belong to these runs; else empty."""
    if not study.cells:
        return "no session of it counts"
    for cell in study.cells:
        entry = rates.get(cell.origin)
        if entry is None:
            return f"it judged {cell.cell} from {cell.origin or 'an unknown place'}, which has no scores of it here"
        if entry.scores.protocol.get("study_fingerprint") != study.fingerprint:
            found = entry.scores.protocol.get("study_fingerprint")
            return f"its protocol is {study.fingerprint}, and the scores of {cell.origin} are of {found}"
        foreign = sorted(cell.items.keys() - set(entry.scores.item_ids))
        if foreign:
            return (
                f"it judged {counted(len(foreign), 'item')} of {cell.cell} not among those scored, such as {foreign[0]}"
            )
    grids = sorted({rates[cell.origin].grid for cell in study.cells})
    return f"its cells are of {len(grids)} grids, {', '.join(grids)}" if len(grids) > 1 else ""


def _origin(run: Run) -> str:
    """Name of a run in studies: GRID/CELL/seed-N."""
    return "/".join(run.folder.parts[-3:])
