"""Score tables of a grid, one per scorer, with fair rankings."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from reports.store import ledger, variance
from reports.store.bootstrap import Interval, clusters_of
from reports.store.grids import GridDescription
from reports.store.layout import REAL, Grid, Run
from reports.store.ledger import LedgerEntry
from reports.store.metrics import STUDY, describe
from reports.store.scores import Scores, cell_sample
from reports.store.variance import ScoreSample
from reports.verdicts import MEANING, Decisions, Mark, decide


@dataclass(frozen=True, eq=False)
class Number:
    """A metric of a cell: the mean over its seeds.

    Attributes:
        sample: The mean, and what it rests on.
        mark: Its mark, such as "best" or "tie".
        ranks: Possible ranks of the cell by this metric, 1 the best; None if it is not compared.
        given: Interval by the analysis of a study; None if it follows from the sample.
    """

    sample: ScoreSample
    mark: Mark = Mark.NONE
    ranks: tuple[int, int] | None = None
    given: Interval | None = None

    @property
    def value(self) -> float:
        """Mean of the runs' values."""
        return self.sample.value

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval: over trainings and items, or items only."""
        return self.given or variance.estimate(self.sample).interval


@dataclass(frozen=True)
class ProtocolDifference:
    """A protocol field that differs from the table's; None where absent."""

    field: str
    here: object
    table: object


@dataclass(frozen=True, eq=False)
class CellRow:
    """A cell, or the ground truth, under one protocol and item set.

    Attributes:
        cell: The cell's name.
        seeds: The scored seeds; empty for the ground truth.
        n: Number of scored items, the same for each seed.
        n_expected: Number of items in the split.
        fingerprint: Of the protocol.
        protocol: Protocol of the scores.
        numbers: Numbers by metric, without metrics that some seed lacks or for which no item counts.
        differences: Reasons for setting the row apart; empty for the table's own protocol and items.
        note: Known or possible defects of its runs' training; else empty.
        doubts: Reasons for missing numbers or intervals, sentences without a full stop.
    """

    cell: str
    seeds: tuple[int, ...]
    n: int
    n_expected: int
    fingerprint: str
    protocol: Mapping[str, object]
    numbers: Mapping[str, Number]
    differences: tuple[ProtocolDifference, ...]
    note: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of a grid by one scorer.

    Attributes:
        scorer: Its name.
        metrics: The columns.
        rows: The compared cells, in the grid's order.
        real: The ground truth under the same protocol, never ranked.
        apart: Rows of another protocol or other items, never ranked.
        protocol: Protocol of most runs, which is the table's.
        fingerprint: Fingerprint of that protocol.
        decisions: Decisions between the rows by metric.
        remark: Remark on all numbers, a sentence without a full stop; may be empty.
    """

    scorer: str
    metrics: tuple[str, ...]
    rows: tuple[CellRow, ...]
    real: CellRow | None
    apart: tuple[CellRow, ...]
    protocol: Mapping[str, object]
    fingerprint: str
    decisions: Mapping[str, Decisions]
    remark: str = ""

    @property
    def with_intervals(self) -> bool:
        """Whether any number has an interval."""
        return any(number.interval.known for row in self.all_rows() for number in row.numbers.values())

    @property
    def trained_once(self) -> tuple[str, ...]:
        """Ranked cells with one training, whose intervals exclude other trainings."""
        return tuple(row.cell for row in self.rows if len(row.seeds) == 1)

    @property
    def once(self) -> bool:
        """Whether all ranked cells have one training."""
        return bool(self.rows) and len(self.trained_once) == len(self.rows)

    @property
    def here(self) -> bool:
        """Whether decisions hold for these trainings only."""
        return any(not decided.trainings for decided in self.decisions.values() if decided.cells)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Cells with one training, not ranked among others with several."""
        return tuple(sorted({cell for decided in self.decisions.values() for cell in decided.left_out}))

    def over(self, things: str) -> str:
        """Scope of the intervals, such as "trainings and items".

        Args:
            things: Units drawn within a training: items, or raters and items.
        """
        several = any(len(row.seeds) > 1 for row in (*self.rows, *self.apart))
        if self.rows and not several:
            return f"{things} only, of one training per cell"
        alone = [*self.trained_once, *(f"{row.cell} set apart" for row in self.apart if len(row.seeds) == 1)]
        once = f", of {', '.join(alone)} over {things} only (one training)" if alone else ""
        return f"trainings and {things}{once}" if several else things

    def ranked_metrics(self) -> list[str]:
        """Metrics by which cells are compared."""
        return [name for name in self.metrics if name in self.decisions and self.decisions[name].cells]

    def wins(self, cell: str, other: str) -> list[str]:
        """Metrics by which a cell is ahead of another."""
        return [name for name in self.ranked_metrics() if self.decisions[name].ahead(cell, other)]

    def standings(self) -> dict[str, str]:
        """Marks by metric, such as "best: L1" or "tie: L1, L1+cGAN"."""
        texts: dict[str, str] = {}
        for name in self.ranked_metrics():
            marks = {row.cell: row.numbers[name].mark for row in self.rows if name in row.numbers}
            marked = [cell for cell, mark in marks.items() if mark]
            if marked:
                texts[name] = f"{marks[marked[0]]}: {', '.join(marked)}"
        texts |= self.undecided()
        return {name: texts[name] for name in self.metrics if name in texts}

    def undecided(self) -> dict[str, str]:
        """Metrics without decisions as some cells have no interval, with reasons."""
        reasons = {}
        for name in self.metrics:
            known = {row.cell: row.numbers[name].interval.known for row in self.rows if name in row.numbers}
            without = [cell for cell, interval in known.items() if not interval]
            ranked = name in self.decisions and self.decisions[name].cells
            if describe(name).higher_is_better is not None and not ranked and 0 < len(without) < len(known):
                reasons[name] = f"undecided, as {', '.join(without)} has no interval"
        return reasons

    def legend(self) -> list[tuple[Mark, str]]:
        """Sentences on each mark, and on the table as a whole."""
        marks = {number.mark for row in self.rows for number in row.numbers.values()}
        sentences = [(mark, MEANING[mark]) for mark in MEANING if mark in marks]
        if sentences:
            behind = "behind another cell, or not ranked" if self.left_out else "behind another cell"
            all_pairs = "Decided at 5 % for all pairs of cells of a column together."
            sentences.append((Mark.NONE, f"Unmarked in a column with marks: {behind}. {all_pairs}"))
        sentences += [(Mark.NONE, f"{describe(name).label}: {why}.") for name, why in self.undecided().items()]
        sentences += [(Mark.NONE, f"{doubt}.") for row in self.all_rows() for doubt in row.doubts]
        clusters = clusters_of(self.protocol)
        if clusters is not None and clusters.doubt:
            sentences.append((Mark.NONE, f"{clusters.doubt}."))
        if self.left_out:
            sentences.append((Mark.NONE, f"Not ranked, as trained once: {', '.join(self.left_out)}."))
        return sentences

    def all_rows(self) -> list[CellRow]:
        """All rows from top to bottom."""
        return [*self.rows, *([self.real] if self.real else []), *self.apart]


class Basis(NamedTuple):
    """Conditions that comparable and paired scores share."""

    fingerprint: str
    items: frozenset[str]
    replicates: int


def build(
    cells: Sequence[str], entries: Sequence[LedgerEntry], flaws: Mapping[Run, str] | None = None
) -> list[ScoreTable]:
    """Build the tables of one grid by scorer, studies last.

    Args:
        cells: The cells in the order of the rows; entries of other cells are ignored, except for the ground truth.
        entries: The grid's scores.
        flaws: Defects of trainings by run, see `reports.store.arithmetic`.
    """
    order = [*cells, REAL]
    known = sorted(
        (entry for entry in entries if entry.run.cell in order),
        key=lambda entry: (order.index(entry.run.cell), entry.run.seed or 0),
    )
    scorers = sorted({entry.scores.scorer for entry in known}, key=lambda scorer: (scorer.startswith(STUDY), scorer))
    return [
        _table(scorer, [entry for entry in known if entry.scores.scorer == scorer], flaws or {}) for scorer in scorers
    ]


def read(grid: Grid, description: GridDescription) -> list[ScoreTable]:
    """Build the tables of a grid from its readable scores."""
    entries = [entry for entry in ledger.collect(grid)[0] if entry.run.seed in (None, *description.seeds)]
    return build(list(description.cells), entries)


def _table(scorer: str, entries: list[LedgerEntry], flaws: Mapping[Run, str]) -> ScoreTable:
    reference = _reference(entries)
    groups: dict[tuple[str, Basis], list[LedgerEntry]] = {}  # a cell has a row per basis
    for entry in entries:
        groups.setdefault((entry.run.cell, basis_of(entry.scores)), []).append(entry)
    rows = [_row(group, reference, flaws) for group in groups.values()]
    # Rows of another protocol or other items are shown, but never ranked among these.
    fair = [row for row in rows if not row.differences]
    cells = [row for row in fair if row.cell != REAL]
    decisions = _decided(cells, judged=scorer.startswith(STUDY))
    return ScoreTable(
        scorer=scorer,
        metrics=tuple(dict.fromkeys(name for group in groups.values() for name in shared_metrics(group))),
        rows=tuple(_marked(row, decisions) for row in cells),
        real=next((row for row in fair if row.cell == REAL), None),
        apart=tuple(row for row in rows if row.differences),
        protocol=reference.protocol,
        fingerprint=reference.fingerprint,
        decisions=decisions,
        remark=of_earlier_analysis(scorer, reference.protocol),
    )


def of_earlier_analysis(scorer: str, protocol: Mapping[str, object]) -> str:
    """Remark on fooling rates analysed by an earlier version; else empty.

    Their protocol does not name the method of the interval, a bootstrap of raters and items.
    """
    if not scorer.startswith(STUDY) or "interval" in protocol:
        return ""
    name = scorer.removeprefix(STUDY)
    return (
        f"Analysed by an earlier version, with intervals by a bootstrap of raters and items: run `p2pbench amt analyse "
        f"RESULTS --name {name}` again"
    )


def decided(table: ScoreTable, metric: str, decisions: Decisions) -> ScoreTable:
    """The table with other decisions about a metric, such as a study's."""
    every = {**table.decisions, metric: decisions}
    return replace(table, rows=tuple(_marked(row, every) for row in table.rows), decisions=every)


def basis_of(scores: Scores) -> Basis:
    """Basis on which scores may be compared."""
    replicates = next(iter(scores.metrics.values())).replicates
    return Basis(scores.fingerprint, frozenset(scores.item_ids), len(replicates))


def _reference(entries: list[LedgerEntry]) -> Scores:
    """Scores on the most frequent basis, of cells if any."""
    # The ground truth alone must not decide the table's protocol.
    trained = [entry.scores for entry in entries if entry.run.cell != REAL]
    scores = trained or [entry.scores for entry in entries]
    basis, _ = Counter(map(basis_of, scores)).most_common(1)[0]  # of equals the first in the grid's order
    return next(each for each in scores if basis_of(each) == basis)


def _row(group: list[LedgerEntry], reference: Scores, flaws: Mapping[Run, str]) -> CellRow:
    first = group[0].scores
    return CellRow(
        cell=group[0].run.cell,
        seeds=tuple(entry.run.seed for entry in group if entry.run.seed is not None),
        n=first.n,
        n_expected=max(entry.scores.n_expected for entry in group),
        fingerprint=first.fingerprint,
        protocol=first.protocol,
        numbers=numbers(group),
        differences=differences(first, reference),
        note=flaws_of([entry.run for entry in group], flaws),
        doubts=tuple(doubts_of(group)),
    )


def doubts_of(group: Sequence[LedgerEntry]) -> Iterator[str]:
    """Reasons for missing numbers or intervals of a cell."""
    for name in dict.fromkeys(name for entry in group for name in entry.scores.metrics):
        values = {entry.run.seed: entry.scores.metrics.get(name) for entry in group}
        without = [str(seed) for seed, metric in values.items() if metric is None or math.isnan(metric.value)]
        why = ""
        if not without:
            why = next(filter(None, (entry.scores.doubt(name) for entry in group)), "")
        elif len(without) < len(group):
            seeds, have = ("seed", "has") if len(without) == 1 else ("seeds", "have")
            why = f"{seeds} {', '.join(without)} {have} no value"
        if why:
            yield f"{describe(name).label} of {group[0].run.cell}: {why}"


def shared_metrics(group: Sequence[LedgerEntry]) -> list[str]:
    """Metrics that all runs have."""
    return [name for name in group[0].scores.metrics if all(name in entry.scores.metrics for entry in group)]


def numbers(group: Sequence[LedgerEntry]) -> dict[str, Number]:
    """Numbers of a cell from its runs, one per seed.

    All were scored on the same basis; metrics without a value are left out.
    """
    runs, trained = [entry.scores for entry in group], group[0].run.seed is not None
    by_metric = {
        name: Number(
            cell_sample(runs, name, trained=trained), given=runs[0].metrics[name].ends if len(runs) == 1 else None
        )
        for name in shared_metrics(group)
    }
    return {name: number for name, number in by_metric.items() if not math.isnan(number.value)}


def flaws_of(runs: Sequence[Run], flaws: Mapping[Run, str]) -> str:
    """Notes of a cell's runs in one line, with their seeds."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        if run in flaws:
            seeds.setdefault(flaws[run], []).append(str(run.seed))
    return "; ".join(f"seed{'s' if len(of) > 1 else ''} {', '.join(of)} {flaw}" for flaw, of in seeds.items())


def differences(scores: Scores, reference: Scores) -> tuple[ProtocolDifference, ...]:
    """Reasons why scores are not comparable; empty where they are."""
    here, there = scores.protocol, reference.protocol
    # As in the fingerprint: 1 differs from True, and null from a missing field.
    written, other_written = (
        {field: json.dumps(each[field], sort_keys=True) for field in each} for each in (here, there)
    )
    fields = sorted(field for field in {*here, *there} if written.get(field) != other_written.get(field))
    found = [ProtocolDifference(field, here.get(field), there.get(field)) for field in fields]
    mine, other = basis_of(scores), basis_of(reference)
    if mine.items != other.items:
        found.append(ProtocolDifference("items", _count(scores, reference), _count(reference, scores)))
    if mine.replicates != other.replicates:
        found.append(ProtocolDifference("bootstrap replicates", mine.replicates, other.replicates))
    return tuple(found)


def _count(scores: Scores, other: Scores) -> str:
    alone = len(set(scores.item_ids) - set(other.item_ids))
    return f"{scores.n} of {scores.n_expected}" + (f" with {alone} of its own" if alone else "")


def _decided(rows: Sequence[CellRow], *, judged: bool) -> dict[str, Decisions]:
    """Decisions between the rows by metric."""
    return {
        name: decide(
            {row.cell: row.numbers[name].sample for row in rows if name in row.numbers},
            describe(name).higher_is_better,
            judged=judged,
        )
        for name in dict.fromkeys(name for row in rows for name in row.numbers)
    }


def _marked(row: CellRow, decisions: Mapping[str, Decisions]) -> CellRow:
    """The row with the marks and ranks of its numbers."""
    return replace(
        row,
        numbers={
            name: replace(number, mark=decisions[name].mark(row.cell), ranks=decisions[name].ranks().get(row.cell))
            for name, number in row.numbers.items()
        },
    )
