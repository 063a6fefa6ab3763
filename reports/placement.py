"""The grids that studies belong to, and what their analyses decide in the tables of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from reports import tables, verdicts
from reports.layout import Run
from reports.ledger import Damage, Entry
from reports.names import counted, printable
from reports.studies import RATE, Study
from reports.tables import Table
from reports.variance import Estimate
from reports.verdicts import Pair

_SEVERAL = (
    "Several trainings of a cell were judged: values, intervals and marks are those of their mean, over trainings, "
    "raters and items; the study's analysis compares each training by itself"
)


class Placed(NamedTuple):
    """Studies by the grid whose outputs they judged, and a sentence on each study that judged none of them."""

    by_grid: Mapping[str, tuple[Study, ...]]
    strangers: tuple[str, ...]


def place(studies: Iterable[Study], entries: Sequence[Entry], damages: Sequence[Damage] = ()) -> Placed:
    """Find the grid of each study by its rates in the ledger.

    A study is a grid's when the ledger holds its rates under the same protocol for the run of each of its cells, over
    items among which are all that it judged.

    Args:
        studies: As `collect` gives them.
        entries: The scores of all grids.
        damages: Scores that cannot be read, which are named elsewhere.
    """
    by_grid: dict[str, list[Study]] = {}
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


def settled(table: Table, studies: Iterable[Study]) -> Table:
    """The table of a study's rates with the decisions of its analysis, which are adjusted for all of its pairs.

    Of a cell of which several runs were judged the analysis has several rates and the table their mean: such a table
    keeps its own decisions, and says so.

    Args:
        table: Of any scorer; another's than a study's stays as it is.
        studies: Those of the table's grid, as `place` gives them.
    """
    study = next((study for study in studies if study.scorer == table.scorer), None)
    if study is None:
        return table
    seeds = {cell.cell: (cell.seed,) for cell in study.cells}
    judged = {row.cell: row.numbers[RATE].value for row in table.rows if row.cell in seeds and RATE in row.numbers}
    if len(seeds) < len(study.cells) or any(seeds.get(row.cell, row.seeds) != row.seeds for row in table.rows):
        return replace(table, remark=". ".join(filter(None, (table.remark, _SEVERAL))))
    pairs = [
        Pair(each.first, each.second, Estimate(each.difference, each.interval, each.p, False), each.adjusted)
        for each in study.pairs
        if {each.first, each.second} <= judged.keys()
    ]
    return tables.decided(table, RATE, verdicts.of_analysis(judged, pairs))


def _problem(study: Study, rates: Mapping[str, Entry]) -> str:
    """Why a study is none of these runs', or nothing."""
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
    """A run as studies name it: GRID/CELL/seed-N."""
    return "/".join(run.folder.parts[-3:])
