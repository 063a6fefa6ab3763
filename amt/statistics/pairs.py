"""Comparisons: two algorithms with each other, all pairs adjusted together, and each algorithm with chance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import combinations
from typing import Literal, NamedTuple

from amt.statistics.bootstrap import Estimate
from amt.statistics.components import Rates

Chance = Literal["below", "not distinguishable", "above", "no interval"]


class Pair(NamedTuple):
    """How the fooling rate of one algorithm differs from another's, over raters and items.

    Attributes:
        first: An algorithm.
        second: Another.
        difference: Rate of the first minus rate of the second (-1 to 1), with its interval.
        probability: That the first rate is the larger, 0 to 1.
        p: Two-sided p-value of no difference.
        adjusted: The same, adjusted for all pairs of the study that have one: below 0.05 the two differ.
        items_icc: Intra-class correlation of items, of what the two do not share, for planning; NaN where unknown.

    Where one of the two has no interval, neither has the difference, and probability and p-values are NaN.
    """

    first: str
    second: str
    difference: Estimate
    probability: float
    p: float
    adjusted: float
    items_icc: float


def pairs(rates: Rates) -> tuple[Pair, ...]:
    """All pairs of algorithms, each in the order of `rates.algorithms`."""
    found = {(one, two): rates.difference(one, two) for one, two in combinations(rates.algorithms, 2)}
    adjusted = shaffer({pair: each.p for pair, each in found.items() if each.estimate.known})
    return tuple(
        Pair(
            *pair,
            each.estimate,
            each.probability,
            each.p,
            adjusted.get(pair, each.p),
            rates.items_intraclass(*pair),
        )
        for pair, each in found.items()
    )


def shaffer(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """P-values of all pairs of algorithms, adjusted for their number, step by step down from the smallest.

    Where some pairs differ, not all numbers of the others can be equal: of three algorithms not exactly two pairs. Each
    step is adjusted for as many as can (Shaffer, Modified sequentially rejective multiple test procedures, Journal of
    the American Statistical Association 81, 1986).
    """
    possible = sorted(_possible(len({name for pair in p for name in pair})))
    adjusted, largest = {}, 0.0
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        left = len(p) - step
        largest = max(largest, min(1.0, max(n for n in possible if n <= left) * p[pair]))
        adjusted[pair] = largest
    return adjusted


def against_chance(rate: Estimate) -> Chance:
    """Whether the interval of a fooling rate holds 50 %, where fakes cannot be told from real images."""
    if not rate.known:
        return "no interval"
    if rate.low <= 0.5 <= rate.high:
        return "not distinguishable"
    return "below" if rate.high < 0.5 else "above"


@cache
def _possible(algorithms: int) -> frozenset[int]:
    """How many pairs of so many algorithms can be equal: they fall into groups of equal ones."""
    if algorithms < 2:
        return frozenset({0})
    return frozenset(
        group * (group - 1) // 2 + rest for group in range(1, algorithms + 1) for rest in _possible(algorithms - group)
    )
