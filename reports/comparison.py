"""Differences between two results folders, A and B: grids, cells, scorers.

Where both sides were scored by one protocol on the same items, their replicates share the draws of these items, so
that differences are paired by item (`reports.store.variance`). A page has many numbers: verdicts are decided for all
together, so that at most 5 % of the reported changes are false (Benjamini and Hochberg, Controlling the false discovery
rate, Journal of the Royal Statistical Society B 57, 1995).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reports import reproduce, tables
from reports.reproduce import NOT_THERE, Change, plain
from reports.run_states import Gap
from reports.store import arithmetic, variance
from reports.store.errors import ReportError
from reports.store.grids import GridDescription
from reports.store.layout import REAL, Grid
from reports.store.ledger import LedgerEntry
from reports.store.metrics import STUDY, ScorerInfo, describe_scorer
from reports.store.scores import Scores
from reports.store.variance import ScoreEstimate, ScoreSample
from reports.tables import Basis, Number
from reports.verdicts import Verdict


@dataclass(frozen=True, eq=False)
class ScoredGrid:
    """One grid of a results folder with its scores.

    Attributes:
        grid: Its folder.
        description: Contents of grid.json.
        entries: Its scores, including those of runs that grid.json does not name.
        gaps: Runs that are missing, unfinished or unscored.
        damages: Scores that cannot be read, one line each.
    """

    grid: Grid
    description: GridDescription
    entries: tuple[LedgerEntry, ...]
    gaps: tuple[Gap, ...]
    damages: tuple[str, ...]


class ResultsFolder(NamedTuple):
    """Grids of a results folder by name, and lines on unreadable ones."""

    place: Path
    grids: Mapping[str, ScoredGrid]
    unreadable: tuple[str, ...]

    @property
    def damages(self) -> list[str]:
        """Unreadable grids and scores, one line each."""
        return [*self.unreadable, *(line for scored in self.grids.values() for line in scored.damages)]


class PairedNames(NamedTuple):
    """Names on both sides, in the order of B, and on one."""

    both: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ScorePair:
    """A metric of a cell on both sides.

    Attributes:
        a: Number in A; None if missing.
        b: Number in B; None if missing.
        difference: B minus A; None if the two are not comparable.
        verdict: Verdict on the difference; None without a difference or its interval.
    """

    a: Number | None
    b: Number | None
    difference: ScoreEstimate | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Side:
    """Runs of a cell behind one side of a row.

    Attributes:
        seeds: Their seeds; empty for the ground truth.
        left_out: Seeds that were scored by another protocol or on other items.
        n: Number of scored items.
        fingerprint: Fingerprint of the protocol.
        scorer: Title of the scorer by that protocol.
        note: Known or possible defects of its runs' training; else empty.
        doubts: Reasons for missing numbers or intervals, one sentence each.
    """

    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    n: int
    fingerprint: str
    scorer: str
    note: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """A cell, or the ground truth, on both sides.

    Attributes:
        cell: Its name.
        a: Its runs in A.
        b: Its runs in B.
        pairs: Score pairs by metric.
        reasons: Reasons why the two are not comparable; empty if they are.
    """

    cell: str
    a: Side
    b: Side
    pairs: Mapping[str, ScorePair]
    reasons: tuple[Change, ...]


@dataclass(frozen=True, eq=False)
class ComparisonTable:
    """One scorer's scores of a grid on both sides.

    Attributes:
        scorer: Its name.
        metrics: The columns.
        rows: The compared cells, in the grid's order.
        real: The ground truth, if compared.
        apart: The rows that are not comparable.
        cells: Cells, and the ground truth, scored on both sides and on one.
        simulated: Whether the raters of a study were programs, on either side.
        shown: Description of the scorer, by its protocols if all agree.
        doubts: Reasons for missing numbers or doubtful intervals, sentences without a full stop.
    """

    scorer: str
    metrics: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    real: ComparisonRow | None
    apart: tuple[ComparisonRow, ...]
    cells: PairedNames
    simulated: bool
    shown: ScorerInfo
    doubts: tuple[str, ...]

    def all_rows(self) -> list[ComparisonRow]:
        """All rows from top to bottom."""
        return [*self.rows, *([self.real] if self.real else []), *self.apart]

    def pairs(self) -> list[ScorePair]:
        """Score pairs of the compared cells, without the ground truth."""
        return [pair for row in self.rows for pair in row.pairs.values()]

    def count(self, verdict: Verdict) -> int:
        """Number of score pairs with this verdict."""
        return sum(pair.verdict == verdict for pair in self.pairs())

    @property
    def over(self) -> str:
        """Scope of the intervals, such as "trainings and items"."""
        trainings = {pair.difference.trainings for pair in self.pairs() if pair.difference}
        things = self.shown.over
        counts = {(len(row.a.seeds), len(row.b.seeds)) for row in self.rows}
        uneven = any(1 in each for each in counts - {(1, 1)})
        once = "of one training on a side or both" if uneven else "of one training per cell"
        if trainings == {False}:
            return f"{things} only, {once}"
        return f"trainings and {things}" + (f", {once} over {things} only" if False in trainings else "")

    @property
    def unchanged(self) -> bool:
        """Whether all scores and their replicates are equal on both sides."""
        pairs = [pair for row in self.all_rows() for pair in row.pairs.values()]
        return all(pair.difference and pair.a and pair.b and _same(pair.a.sample, pair.b.sample) for pair in pairs)


@dataclass(frozen=True, eq=False)
class GridComparison:
    """One grid on both sides.

    Attributes:
        name: The grid's name.
        a: The grid in A.
        b: The grid in B.
        settings: Differences in grid.json.
        cells: Its cells on both sides.
        scorers: Its scorers on both sides.
        tables: One per scorer of both sides.
    """

    name: str
    a: ScoredGrid
    b: ScoredGrid
    settings: tuple[Change, ...]
    cells: PairedNames
    scorers: PairedNames
    tables: tuple[ComparisonTable, ...]

    @property
    def doubts(self) -> list[str]:
        """Doubts of all tables, without repetition."""
        return list(dict.fromkeys(doubt for table in self.tables for doubt in table.doubts))


def compare(a: ResultsFolder, b: ResultsFolder) -> tuple[list[GridComparison], PairedNames]:
    """Pair the grids of two folders, without verdicts yet.

    `reports.comparison_verdicts` adds these. The names of all grids are returned too.

    Raises:
        ReportError: They have no cell of any grid in common.
    """
    grids = pair(a.grids, b.grids)
    found = [compare_grids(a.grids[name], b.grids[name]) for name in grids.both]
    if not any(each.cells.both for each in found):
        cells = [
            ", ".join(f"{name}/{cell}" for name, grid in folder.grids.items() for cell in grid.description.cells)
            for folder in (a, b)
        ]
        raise ReportError(
            f"{b.place}: found the cells {cells[1]}, expected one of those of {a.place}: {cells[0]}; give two "
            "results folders that have a grid and a cell of the same name (they are the names of folders)"
        )
    return found, grids


def pair(a: Iterable[str], b: Iterable[str]) -> PairedNames:
    """Pair the names of both sides."""
    first, second = list(dict.fromkeys(a)), list(dict.fromkeys(b))
    return PairedNames(
        tuple(name for name in second if name in first),
        tuple(name for name in first if name not in second),
        tuple(name for name in second if name not in first),
    )


def compare_grids(a: ScoredGrid, b: ScoredGrid) -> GridComparison:
    """Compare one grid of two folders."""
    before, after = _by_scorer(a), _by_scorer(b)
    cells = pair(a.description.cells, b.description.cells)
    scorers = pair(before, after)
    return GridComparison(
        name=b.grid.name,
        a=a,
        b=b,
        settings=reproduce.of_settings(a.description, b.description),
        cells=cells,
        scorers=scorers,
        tables=tuple(compare_scorer(name, before[name], after[name], cells.both) for name in scorers.both),
    )


def compare_scorer(
    scorer: str, a: Sequence[LedgerEntry], b: Sequence[LedgerEntry], cells: Sequence[str]
) -> ComparisonTable:
    """Compare the scores of one scorer on both sides.

    Args:
        scorer: Its name.
        a: Its scores in A.
        b: Its scores in B.
        cells: Cells to compare, in the order of the rows; the ground truth comes last.
    """
    before, after = (
        {cell: [entry for entry in side if entry.run.cell == cell] for cell in [*cells, REAL]} for side in (a, b)
    )
    scored = pair(*([cell for cell, entries in side.items() if entries] for side in (before, after)))
    rows = [_row(cell, before[cell], after[cell]) for cell in scored.both]
    return ComparisonTable(
        scorer=scorer,
        metrics=tuple(dict.fromkeys(name for row in rows for name in row.pairs)),
        rows=tuple(row for row in rows if row.cell != REAL and not row.reasons),
        real=next((row for row in rows if row.cell == REAL and not row.reasons), None),
        apart=tuple(row for row in rows if row.reasons),
        cells=scored,
        simulated=any(entry.scores.protocol.get("simulated") for entry in [*a, *b]),
        shown=_shown(scorer, [*a, *b]),
        doubts=tuple(
            dict.fromkeys(
                [
                    *(doubt for side, own in (("A", a), ("B", b)) for entry in own for doubt in _doubts(side, entry)),
                    *(
                        f"{side}: {doubt}"
                        for row in rows
                        for side, of in (("A", row.a), ("B", row.b))
                        for doubt in of.doubts
                    ),
                ]
            )
        ),
    )


def _doubts(side: str, entry: LedgerEntry) -> Iterator[str]:
    clusters = entry.scores.clusters
    if clusters and clusters.doubt:
        yield clusters.doubt
    if earlier := tables.of_earlier_analysis(entry.scores.scorer, entry.scores.protocol):
        yield f"{side}: {earlier}"


def _shown(scorer: str, entries: Sequence[LedgerEntry]) -> ScorerInfo:
    infos = {describe_scorer(scorer, entry.scores.protocol) for entry in entries}
    return infos.pop() if len(infos) == 1 else describe_scorer(scorer)


def _by_scorer(scored: ScoredGrid) -> dict[str, list[LedgerEntry]]:
    """Scores of the runs named in grid.json by scorer, studies last."""
    known = scored.description
    entries: dict[str, list[LedgerEntry]] = {}
    for entry in sorted(scored.entries, key=lambda entry: (entry.scores.scorer.startswith(STUDY), entry.scores.scorer)):
        if entry.run.seed is None or (entry.run.cell in known.cells and entry.run.seed in known.seeds):
            entries.setdefault(entry.scores.scorer, []).append(entry)
    return entries


def _row(cell: str, a: Sequence[LedgerEntry], b: Sequence[LedgerEntry]) -> ComparisonRow:
    """Compare the runs on the basis that most of both sides share.

    If none is shared, the most of each side stand side by side, not compared.
    """
    before, after = _by_basis(a), _by_basis(b)
    shared = [basis for basis in after if basis in before]
    if shared:
        # Of several shared bases that of the most runs, as older runs may have been scored by an older protocol.
        basis = max(shared, key=lambda basis: len(before[basis]) + len(after[basis]))
        first, second = before[basis], after[basis]
    else:
        first, second = (max(groups.values(), key=len) for groups in (before, after))
    there, here = tables.numbers(first), tables.numbers(second)
    return ComparisonRow(
        cell=cell,
        a=_side(first, a),
        b=_side(second, b),
        pairs={name: _pair(there.get(name), here.get(name), bool(shared)) for name in dict.fromkeys([*here, *there])},
        reasons=() if shared else _reasons(first[0].scores, second[0].scores),
    )


def _by_basis(entries: Sequence[LedgerEntry]) -> dict[Basis, list[LedgerEntry]]:
    groups: dict[Basis, list[LedgerEntry]] = {}
    for entry in entries:
        groups.setdefault(tables.basis_of(entry.scores), []).append(entry)
    return groups


def _pair(a: Number | None, b: Number | None, comparable: bool) -> ScorePair:
    if a is None or b is None or not comparable:
        return ScorePair(a, b, None, None)
    return ScorePair(a, b, variance.difference(b.sample, a.sample), None)


def _side(group: Sequence[LedgerEntry], entries: Sequence[LedgerEntry]) -> Side:
    seeds, every = (tuple(each.run.seed for each in runs if each.run.seed is not None) for runs in (group, entries))
    left_out = tuple(seed for seed in every if seed not in seeds)
    runs = [entry.run for entry in group]
    note = tables.flaws_of(runs, arithmetic.flaws(runs))
    scores = group[0].scores
    title = describe_scorer(scores.scorer, scores.protocol).title
    return Side(seeds, left_out, scores.n, scores.fingerprint, title, note, tuple(tables.doubts_of(group)))


def _reasons(a: Scores, b: Scores) -> tuple[Change, ...]:
    return tuple(
        Change(
            each.field,
            plain(each.table) if each.field in a.protocol or each.table is not None else NOT_THERE,
            plain(each.here) if each.field in b.protocol or each.here is not None else NOT_THERE,
        )
        for each in tables.differences(b, a)
    )


def _same(a: ScoreSample, b: ScoreSample) -> bool:
    return a.value == b.value and np.array_equal(a.replicates, b.replicates, equal_nan=True)  # NaN: no interval
