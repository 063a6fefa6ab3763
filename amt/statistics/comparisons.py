"""Comparisons of algorithms: adjusted pairwise differences, and tests against chance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import combinations
from typing import Literal, NamedTuple

from amt.statistics.components import FoolingRates
from amt.statistics.resampling import Estimate

Chance = Literal["below", "not distinguishable", "above", "no interval"]


class Pair(NamedTuple):
    """Comparison of two algorithms' fooling rates over raters and items.

    Attributes:
        first: Name of one algorithm.
        second: Name of the other.
        difference: Rate of the first minus rate of the second (-1 to 1), with its interval.
        probability: One-sided confidence that the first rate is larger, 0 to 1.
        p: Two-sided p-value of no difference.
        adjusted: The p-value adjusted for all pairs of the study that have one: below 0.05 the two differ.
        items_icc: Intra-class correlation of items that the two do not share, for planning; NaN where unknown.

    Where either rate has no interval, neither has the difference, and probability and p-values are NaN.
    """

    first: str
    second: str
    difference: Estimate
    probability: float
    p: float
    adjusted: float
    items_icc: float


def pairs(rates: FoolingRates) -> tuple[Pair, ...]:
    """Compare all pairs of algorithms, each in the order of `rates.algorithms`."""
    differences = {pair: rates.difference(*pair) for pair in combinations(rates.algorithms, 2)}
    adjusted = shaffer({pair: difference.p for pair, difference in differences.items() if difference.estimate.known})
    return tuple(
        Pair(
            *pair,
            difference.estimate,
            difference.probability,
            difference.p,
            adjusted.get(pair, difference.p),
            rates.items_intraclass(*pair),
        )
        for pair, difference in differences.items()
    )


def shaffer(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Adjust the p-values of all pairs with Shaffer's step-down procedure.

    Once some pairs differ, only certain numbers of the others can be equal: of three algorithms never exactly two
    pairs. Each step is adjusted for the largest possible number (Shaffer, Modified sequentially rejective multiple test
    procedures, Journal of the American Statistical Association 81, 1986).
    """
    # Of four algorithms, for instance, 0, 1, 2, 3 or 6 pairs can be equal, never 4 or 5.
    possible = sorted(_possible(len({name for pair in p for name in pair})))
    adjusted, largest = {}, 0.0
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        left = len(p) - step
        # Never below the previous step: adjusted p-values keep the order of the raw ones.
        largest = max(largest, min(1.0, max(n for n in possible if n <= left) * p[pair]))
        adjusted[pair] = largest
    return adjusted


def against_chance(rate: Estimate) -> Chance:
    """Compare the interval of a fooling rate with 50 %, chance."""
    if not rate.known:
        return "no interval"
    if rate.low <= 0.5 <= rate.high:
        return "not distinguishable"
    return "below" if rate.high < 0.5 else "above"


@cache
def _possible(algorithms: int) -> frozenset[int]:
    """Possible numbers of equal pairs: algorithms fall into groups of equal ones."""
    # The first group takes some algorithms; the rest form groups of their own.
    if algorithms < 2:
        return frozenset({0})
    return frozenset(
        group * (group - 1) // 2 + rest for group in range(1, algorithms + 1) for rest in _possible(algorithms - group)
    )
