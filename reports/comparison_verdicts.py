"""Verdicts of a comparison, decided for all its numbers together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from reports.comparison import ComparisonRow, ComparisonTable, GridComparison
from reports.store.metrics import STUDY, describe
from reports.store.names import counted
from reports.store.variance import LEVEL
from reports.verdicts import Verdict, discoveries, verdict


class Summary(NamedTuple):
    """Counts of a comparison's verdicts.

    Attributes:
        compared: Number of cells' numbers with a verdict.
        changed: Number of these that are no tie.
        expected_false: Upper bound of the expected number of false changes.
        once: Units drawn within a training, "items" or "raters and items", if some verdicts are for one training per
            side; else empty.
    """

    compared: int
    changed: int
    expected_false: float
    once: str

    @property
    def text(self) -> str:
        """The counts in a sentence."""
        chance = f"chance, of {self.once} only where a side has one training" if self.once else "chance"
        return (
            f"{counted(self.compared, 'number')} compared, {self.changed} changed. Decided together: at most 5 % of "
            f"the changes, here {self.expected_false:.1f}, are expected to be {chance} (Benjamini and Hochberg)."
        )

    @property
    def caution(self) -> str:
        """Caution about cells trained once, without a full stop; else empty."""
        if not self.once:
            return ""
        return (
            'Some cells have one training on a side: verdicts "on these items" or "with this training" may differ in '
            "other trainings; train, or rate, more seeds"
        )


def judged(grids: Sequence[GridComparison]) -> list[GridComparison]:
    """Comparisons with verdicts, decided for all cells' numbers together."""
    tables = [table for grid in grids for table in grid.tables]
    level = discoveries([pair.difference.p for table in tables for pair in table.pairs() if pair.difference])
    return [replace(grid, tables=tuple(_judged(table, level) for table in grid.tables)) for grid in grids]


def _judged(table: ComparisonTable, level: float) -> ComparisonTable:
    judged = table.scorer.startswith(STUDY)

    def row(row: ComparisonRow) -> ComparisonRow:
        pairs = {
            name: replace(pair, verdict=verdict(pair.difference, describe(name).higher_is_better, level, judged=judged))
            for name, pair in row.pairs.items()
            if pair.difference
        }
        return replace(row, pairs={**row.pairs, **pairs})

    return replace(table, rows=tuple(map(row, table.rows)), real=table.real and row(table.real))


def summary(grids: Sequence[GridComparison]) -> Summary:
    """Count the verdicts of a page."""
    pairs = [pair for grid in grids for table in grid.tables for pair in table.pairs() if pair.verdict]
    changed = [pair for pair in pairs if pair.verdict not in (Verdict.TIE, Verdict.LEVEL, Verdict.LEVEL_JUDGED)]
    once = {
        "raters and items" if table.scorer.startswith(STUDY) else "items"
        for grid in grids
        for table in grid.tables
        for pair in table.pairs()
        if pair.verdict and pair.difference and not pair.difference.trainings
    }
    return Summary(len(pairs), len(changed), LEVEL * len(changed), max(once, default=""))


def lines(grids: Sequence[GridComparison]) -> Iterator[str]:
    """Terminal lines of a comparison: summary, caution, and numbers not compared."""
    found = summary(grids)
    yield from filter(None, (found.text if found.compared else "", found.caution))
    for grid in grids:
        if not grid.tables:
            yield f"{grid.name}: no number compared: nothing is scored by the same scorer on both sides"
        for table in grid.tables:
            if why := _not_compared(table):
                yield f"{grid.name}, {table.shown.title}: {why}"


def _not_compared(table: ComparisonTable) -> str:
    """Cells of a table that are not compared, with reasons; else empty."""
    fields = {row.cell: ", ".join(reason.field for reason in row.reasons) for row in table.apart}
    if table.rows:
        if not any(pair.verdict for pair in table.pairs()):
            return "no difference has an interval"
        return f"not compared: {'; '.join(f'{cell} ({of})' for cell, of in fields.items())}" if fields else ""
    if not fields:
        return "no number compared: no cell is scored on both sides"
    each = dict.fromkeys(reason.field for row in table.apart for reason in row.reasons)
    return f"no number compared: A and B differ in {', '.join(each)}"
