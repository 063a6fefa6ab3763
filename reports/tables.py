"""One table a scorer for a grid: cells by metrics, ranked only where the comparison is fair."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports import bootstrap
from reports.bootstrap import Interval
from reports.layout import REAL, Run
from reports.ledger import Entry
from reports.metrics import STUDY, describe
from reports.scores import Scores


class Mark(StrEnum):
    """What a table says about a number among those it may be compared with."""

    NONE = ""
    BEST = "best"
    TIE = "tie"


@dataclass(frozen=True, eq=False)
class Number:
    """A metric of a cell: the mean over its seeds.

    Attributes:
        value: The mean of the runs' values.
        replicates: Its bootstrap replicates (replicates,), over items, and over seeds where there are several; NaN
            where one of the runs has no interval.
        mark: Whether it is the best, alone or in a tie.
    """

    value: float
    replicates: NDArray[np.floating]
    mark: Mark = Mark.NONE

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval, if there is one."""
        return bootstrap.interval(self.replicates)


@dataclass(frozen=True)
class Difference:
    """A field of the protocol in which a row departs from the table; None where one side does not have it."""

    field: str
    here: object
    table: object


@dataclass(frozen=True, eq=False)
class Row:
    """A cell, or the ground truth, under one protocol and on one set of items.

    Attributes:
        cell: The cell's name.
        seeds: The seeds that were scored; empty for the ground truth.
        n: How many items were scored, the same for each seed.
        n_expected: How many the split has.
        fingerprint: Of the protocol.
        protocol: By which they were scored.
        numbers: By metric; a metric that one of the seeds does not have, or for which nothing counts, is left out.
        differences: Why the row is set apart and not ranked; empty for a row of the table's own protocol and items.
        note: What is, or may be, wrong with the training of its runs; empty where nothing is known to be.
    """

    cell: str
    seeds: tuple[int, ...]
    n: int
    n_expected: int
    fingerprint: str
    protocol: Mapping[str, object]
    numbers: Mapping[str, Number]
    differences: tuple[Difference, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """What one scorer says about a grid.

    Attributes:
        scorer: Its name.
        metrics: The columns.
        rows: The cells that are compared, in the grid's order.
        real: The ground truth under the same protocol, never ranked.
        apart: The rows of another protocol or other items, never ranked.
        protocol: The protocol of most runs, which is the table's.
        fingerprint: Its fingerprint.
        remark: What readers must know of these numbers, a sentence without a full stop; may be empty.
    """

    scorer: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    real: Row | None
    apart: tuple[Row, ...]
    protocol: Mapping[str, object]
    fingerprint: str
    remark: str = ""

    @property
    def with_intervals(self) -> bool:
        """Whether any number has an interval; those of a single item, or a single rater, have none."""
        return any(number.interval.known for row in self.all_rows() for number in row.numbers.values())

    def all_rows(self) -> list[Row]:
        """The rows from top to bottom."""
        return [*self.rows, *([self.real] if self.real else []), *self.apart]


def build(cells: Sequence[str], entries: Sequence[Entry], flaws: Mapping[Run, str] | None = None) -> list[Table]:
    """The tables of one grid, by scorer, studies with raters last.

    Args:
        cells: The cells in the order of the rows; entries of other cells are left out, but for the ground truth.
        entries: The grid's scores.
        flaws: What is wrong with the training of runs, see `reports.arithmetic`.
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


def _table(scorer: str, entries: list[Entry], flaws: Mapping[Run, str]) -> Table:
    reference = _reference(entries)
    groups: dict[tuple[str, Basis], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.run.cell, basis_of(entry.scores)), []).append(entry)
    rows = [_row(group, reference, flaws) for group in groups.values()]
    fair = [row for row in rows if not row.differences]
    return Table(
        scorer=scorer,
        metrics=tuple(dict.fromkeys(name for group in groups.values() for name in shared_metrics(group))),
        rows=_ranked([row for row in fair if row.cell != REAL]),
        real=next((row for row in fair if row.cell == REAL), None),
        apart=tuple(row for row in rows if row.differences),
        protocol=reference.protocol,
        fingerprint=reference.fingerprint,
    )


class Basis(NamedTuple):
    """What two scores must share for their difference to mean something, and to be paired."""

    fingerprint: str
    items: frozenset[str]
    replicates: int


def basis_of(scores: Scores) -> Basis:
    """What these scores would share with those that they may be compared with."""
    replicates = next(iter(scores.metrics.values())).replicates
    return Basis(scores.fingerprint, frozenset(scores.item_ids), len(replicates))


def _reference(entries: list[Entry]) -> Scores:
    """Scores on the basis that most runs share; the ground truth counts only where nothing else is scored."""
    trained = [entry.scores for entry in entries if entry.run.cell != REAL]
    scores = trained or [entry.scores for entry in entries]
    basis, _ = Counter(map(basis_of, scores)).most_common(1)[0]  # the first in the grid's order where several have most
    return next(each for each in scores if basis_of(each) == basis)


def _row(group: list[Entry], reference: Scores, flaws: Mapping[Run, str]) -> Row:
    first = group[0].scores
    return Row(
        cell=group[0].run.cell,
        seeds=tuple(entry.run.seed for entry in group if entry.run.seed is not None),
        n=first.n,
        n_expected=max(entry.scores.n_expected for entry in group),
        fingerprint=first.fingerprint,
        protocol=first.protocol,
        numbers=numbers(group),
        differences=differences(first, reference),
        note=flaws_of([entry.run for entry in group], flaws),
    )


def shared_metrics(group: Sequence[Entry]) -> list[str]:
    """The metrics that all runs have."""
    return [name for name in group[0].scores.metrics if all(name in entry.scores.metrics for entry in group)]


def numbers(group: Sequence[Entry]) -> dict[str, Number]:
    """The metrics of a cell that have a value, from its runs, one a seed, that were all scored on the same basis."""
    found = {name: _mean_over_seeds(name, group) for name in shared_metrics(group)}
    return {name: number for name, number in found.items() if not math.isnan(number.value)}


def flaws_of(runs: Sequence[Run], flaws: Mapping[Run, str]) -> str:
    """The flaws of a cell's runs in one line, each with its seeds."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        if run in flaws:
            seeds.setdefault(flaws[run], []).append(str(run.seed))
    return "; ".join(f"seed{'s' if len(of) > 1 else ''} {', '.join(of)} {flaw}" for flaw, of in seeds.items())


def _mean_over_seeds(name: str, group: Sequence[Entry]) -> Number:
    metrics = [entry.scores.metrics[name] for entry in group]
    replicates = bootstrap.over_seeds(np.stack([metric.replicates for metric in metrics]))
    return Number(float(np.mean([metric.value for metric in metrics])), replicates)


def differences(scores: Scores, reference: Scores) -> tuple[Difference, ...]:
    """Why scores may not be compared with others; empty where they may."""
    here, there = scores.protocol, reference.protocol
    # As in the fingerprint: 1 is not True, and what is not set is not what is not there.
    written, other_written = (
        {field: json.dumps(each[field], sort_keys=True) for field in each} for each in (here, there)
    )
    fields = sorted(field for field in {*here, *there} if written.get(field) != other_written.get(field))
    found = [Difference(field, here.get(field), there.get(field)) for field in fields]
    mine, other = basis_of(scores), basis_of(reference)
    if mine.items != other.items:
        found.append(Difference("items", _count(scores, reference), _count(reference, scores)))
    if mine.replicates != other.replicates:
        found.append(Difference("bootstrap replicates", mine.replicates, other.replicates))
    return tuple(found)


def _count(scores: Scores, other: Scores) -> str:
    alone = len(set(scores.item_ids) - set(other.item_ids))
    return f"{scores.n} of {scores.n_expected}" + (f", {alone} scored only here" if alone else "")


def _ranked(rows: list[Row]) -> tuple[Row, ...]:
    """The rows with the best number of each metric marked, or all those that tie with it."""
    marks: dict[tuple[str, str], Mark] = {}
    for name in {name for row in rows for name in row.numbers}:
        numbers = {row.cell: row.numbers[name] for row in rows if name in row.numbers}
        marks |= {(cell, name): mark for cell, mark in rank(numbers, describe(name).higher_is_better).items()}
    return tuple(
        replace(
            row,
            numbers={
                name: replace(number, mark=marks.get((row.cell, name), Mark.NONE))
                for name, number in row.numbers.items()
            },
        )
        for row in rows
    )


def rank(numbers: Mapping[str, Number], higher_is_better: bool | None) -> dict[str, Mark]:
    """The mark of each cell for one metric.

    The best is marked best when its paired difference to every other excludes zero. Otherwise it and all those whose
    difference to it holds zero are marked as a tie. A cell alone, or a metric of unknown direction, is not ranked; nor
    is any cell where one has no interval, for nobody knows whether that one is as good.
    """
    if len(numbers) < 2 or higher_is_better is None or not all(each.interval.known for each in numbers.values()):
        return {}
    sign = 1 if higher_is_better else -1
    best = max(numbers, key=lambda cell: sign * numbers[cell].value)
    tied = [
        cell
        for cell, number in numbers.items()
        if cell != best and bootstrap.tie(numbers[best].replicates, number.replicates)
    ]
    return dict.fromkeys([best, *tied], Mark.TIE) if tied else {best: Mark.BEST}
