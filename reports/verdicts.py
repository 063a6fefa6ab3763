"""Decisions between cells, adjusted for all pairs and used everywhere.

For each metric all pairs of cells are tested and their p-values adjusted together, so that at most 5 % of tables
contain any false decision. Page, CSV, LaTeX, terminal and ranks all come from these decisions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from itertools import combinations, product

from reports.store.variance import LEVEL, ScoreEstimate, ScoreSample, difference


class Mark(StrEnum):
    """Mark of a number among the comparable ones."""

    NONE = ""
    BEST = "best"
    TIE = "tie"
    AHEAD = "ahead on these items"
    LEVEL = "level on these items"
    AHEAD_JUDGED = "ahead with this training"
    LEVEL_JUDGED = "level with this training"


class Verdict(StrEnum):
    """Outcome of a change between two results folders.

    Anything but a tie differs at the page's level. With one training per side, others may differ: such verdicts are "on
    these items" or, for fooling rates, which generalise to other raters and items, "with this training".
    """

    BETTER = "better"
    WORSE = "worse"
    HIGHER = "higher"  # of a metric without a direction
    LOWER = "lower"
    TIE = "tie"
    AHEAD = "ahead on these items"
    BEHIND = "behind on these items"
    HIGHER_HERE = "higher on these items"
    LOWER_HERE = "lower on these items"
    LEVEL = "level on these items"
    AHEAD_JUDGED = "ahead with this training"
    BEHIND_JUDGED = "behind with this training"
    LEVEL_JUDGED = "level with this training"


MEANING = {
    Mark.BEST: "Bold: better than every other cell.",
    Mark.TIE: "Tie: not distinguishable from the best.",
    Mark.AHEAD: "Ahead on these items: better than every other cell with the trainings at hand; other trainings of the "
    "same cells may differ.",
    Mark.LEVEL: "Level on these items: not distinguishable from the best with the trainings at hand.",
    Mark.AHEAD_JUDGED: "Ahead with this training: better than every other cell, for other raters and items too; other "
    "trainings of the same cells may differ.",
    Mark.LEVEL_JUDGED: "Level with this training: not distinguishable from the best with one training of each.",
}
"""Meaning of each mark in a sentence."""


@dataclass(frozen=True)
class CellPair:
    """Two cells under one metric.

    Attributes:
        first: A cell.
        second: Another, later in the grid's order.
        estimate: First minus second, with its own 95 % interval.
        adjusted: The p-value, adjusted for all pairs of the metric.
    """

    first: str
    second: str
    estimate: ScoreEstimate
    adjusted: float

    @property
    def decided(self) -> bool:
        """Whether the two differ at 5 % for all pairs together."""
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Decisions:
    """Decisions between the cells of a table by one metric.

    Attributes:
        cells: The compared cells in the grid's order; empty where nothing can be compared.
        pairs: All pairs of them.
        trainings: Whether decisions also hold for other trainings.
        left_out: Cells with a single training among others with several, which are not compared.
        judged: Whether these are fooling rates, whose decisions are over raters and items.
    """

    cells: tuple[str, ...]
    pairs: tuple[CellPair, ...]
    trainings: bool
    left_out: tuple[str, ...]
    _sign: int
    judged: bool = False

    def mark(self, cell: str) -> Mark:
        """Mark of a cell: alone or together ahead of all others."""
        first = [candidate for candidate in self.cells if not any(self.ahead(other, candidate) for other in self.cells)]
        if cell not in first:
            return Mark.NONE
        if len(first) == 1:
            return Mark.BEST if self.trainings else Mark.AHEAD_JUDGED if self.judged else Mark.AHEAD
        return Mark.TIE if self.trainings else Mark.LEVEL_JUDGED if self.judged else Mark.LEVEL

    def ahead(self, cell: str, other: str) -> bool:
        """Whether a cell is better than another, directly or by transitivity."""
        return (cell, other) in self._ahead

    @cached_property
    def _ahead(self) -> set[tuple[str, str]]:
        ahead = set()
        for pair in self.pairs:
            gain = self._sign * pair.estimate.value
            if pair.decided and gain:
                ahead.add((pair.first, pair.second) if gain > 0 else (pair.second, pair.first))
        # If A is better than B and B than C, then A is better than C: all decisions hold together at 95 %.
        for between, first, last in product(self.cells, repeat=3):
            if (first, between) in ahead and (between, last) in ahead:
                ahead.add((first, last))
        return ahead

    def ranks(self) -> dict[str, tuple[int, int]]:
        """Possible ranks of each cell, 1 the best.

        All sets of a metric contain the true ranks in 95 % of tables.
        """
        return {
            cell: (
                1 + sum(self.ahead(other, cell) for other in self.cells),
                len(self.cells) - sum(self.ahead(cell, other) for other in self.cells),
            )
            for cell in self.cells
        }


def decide(samples: Mapping[str, ScoreSample], higher_is_better: bool | None, *, judged: bool = False) -> Decisions:
    """Compare all pairs of cells under one metric.

    If two or more cells have several trainings, these are compared over trainings and the others left out; otherwise
    all are compared over items only. Nothing is compared where a metric has no direction.

    Args:
        samples: Samples by cell, with replicates of the same draws of the same items.
        higher_is_better: The metric's direction.
        judged: Whether these are fooling rates.
    """
    several = [cell for cell, sample in samples.items() if sample.seeds != 1]
    trainings = len(several) > 1
    cells = tuple(several if trainings else samples)
    left_out = tuple(cell for cell in samples if cell not in cells)
    if higher_is_better is None or len(cells) < 2:
        return Decisions((), (), trainings, left_out, 1)
    differences = {(a, b): difference(samples[a], samples[b]) for a, b in combinations(cells, 2)}
    if any(math.isnan(estimate.p) for estimate in differences.values()):  # that cell might be the best
        return Decisions((), (), trainings, left_out, 1)
    adjusted = shaffer({pair: estimate.p for pair, estimate in differences.items()})
    pairs = tuple(CellPair(a, b, estimate, adjusted[a, b]) for (a, b), estimate in differences.items())
    sign = 1 if higher_is_better else -1
    return Decisions(cells, pairs, trainings, left_out, sign, judged)


def of_analysis(cells: Collection[str], pairs: Sequence[CellPair]) -> Decisions:
    """Decisions of an analysis that adjusts its own pairs.

    Such as those of a study's fooling rates; higher is better.

    Args:
        cells: Cells with one training each.
        pairs: All pairs of these cells; nothing is decided if one of them has no p-value.
    """
    if len(cells) < 2 or any(math.isnan(pair.adjusted) for pair in pairs):
        return Decisions((), (), False, (), 1)
    return Decisions(tuple(cells), tuple(pairs), False, (), 1, judged=True)


def shaffer(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Adjust the p-values of all pairs of cells (Shaffer's procedure).

    Proceeds from the smallest p-value, like Holm's procedure, but adjusts each step only for as many pairs as can be
    equal at once: of three cells, for example, not exactly two. So it decides all that Holm's does, and more (Shaffer,
    Modified sequentially rejective multiple test procedures, Journal of the American Statistical Association 81, 1986).
    """
    possible = sorted(_possible(len({cell for pair in p for cell in pair})))
    adjusted, largest = {}, 0.0  # adjusted p-values must not decrease
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        left = len(p) - step
        largest = max(largest, min(1.0, max(n for n in possible if n <= left) * p[pair]))
        adjusted[pair] = largest
    return adjusted


def verdict(
    difference: ScoreEstimate, higher_is_better: bool | None, level: float, *, judged: bool = False
) -> Verdict | None:
    """Verdict on a difference by the metric's direction; None if unknown.

    Args:
        difference: B minus A.
        higher_is_better: The metric's direction; None without one.
        level: Largest p-value of a difference that counts, see `discoveries`.
        judged: Whether it is one of fooling rates.
    """
    here = not difference.trainings
    if math.isnan(difference.p):
        return None
    if difference.p > level:
        return Verdict.TIE if not here else Verdict.LEVEL_JUDGED if judged else Verdict.LEVEL
    risen = difference.value > 0
    if higher_is_better is None:
        words = (Verdict.HIGHER_HERE, Verdict.LOWER_HERE) if here else (Verdict.HIGHER, Verdict.LOWER)
    else:
        once = (Verdict.AHEAD_JUDGED, Verdict.BEHIND_JUDGED) if judged else (Verdict.AHEAD, Verdict.BEHIND)
        words = once if here else (Verdict.BETTER, Verdict.WORSE)
        risen = risen == higher_is_better
    return words[0] if risen else words[1]


def discoveries(p: Sequence[float]) -> float:
    """Largest p-value that counts, at a false discovery rate of 5 %.

    0 if none does.

    Benjamini and Hochberg, Controlling the false discovery rate, Journal of the Royal Statistical Society B 57 (1995).

    Args:
        p: P-values; NaN does not count as a test.
    """
    # Step-up: the largest p-value below its own bound decides, and all smaller ones count with it.
    tested = sorted(each for each in p if not math.isnan(each))
    return max((each for rank, each in enumerate(tested, 1) if each <= LEVEL * rank / len(tested)), default=0.0)


@cache
def _possible(cells: int) -> frozenset[int]:
    """Possible numbers of equal pairs among some cells."""
    # Cells fall into groups of equal ones: a first group of g cells has g (g - 1) / 2 equal pairs, the rest its own.
    if cells < 2:
        return frozenset({0})
    return frozenset(
        group * (group - 1) // 2 + rest for group in range(1, cells + 1) for rest in _possible(cells - group)
    )
