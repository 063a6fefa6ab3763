"""Comparisons: two algorithms with each other, all pairs corrected together, and each algorithm with chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from amt.statistics.bootstrap import Estimate, Replicates, estimate

Chance = Literal["below", "not distinguishable", "above", "no interval"]


class Pair(NamedTuple):
    """How the fooling rate of one algorithm differs from another's.

    Attributes:
        first: An algorithm.
        second: Another.
        difference: Rate of the first minus rate of the second (-1 to 1), with its interval.
        probability: Share of replicates in which the first rate is the larger, ties counting half.
        p: Two-sided p-value of no difference.
        holm: The same, corrected for all pairs of the study that have one.
        degenerate: Whether one of the two rates is exactly 0 or 1 in every replicate. The interval and p then know
            nothing of that rate's uncertainty; the bounds of the rates themselves do.

    Where one of the two has no interval, neither has the difference, and probability and p-values are NaN.
    """

    first: str
    second: str
    difference: Estimate
    probability: float
    p: float
    holm: float
    degenerate: bool


def pairs(replicates: Replicates) -> tuple[Pair, ...]:
    """All pairs of algorithms, each in the order of `replicates.algorithms`.

    The p-value is 2 (k + 1) / (B + 1), at most 1, where k of B replicates (ties half) lie on the rarer side of zero:
    B draws can never show a p of 0 (Davison and Hinkley, Bootstrap Methods and their Application, section 4.2).
    """
    found = []
    for i, j in combinations(range(len(replicates.algorithms)), 2):
        change = replicates.values[:, i] - replicates.values[:, j]
        defined = change[np.isfinite(change)]
        larger = float((defined > 0).sum() + (defined == 0).sum() / 2)
        p = share = math.nan
        if defined.size:
            p = min(1.0, 2 * (min(larger, defined.size - larger) + 1) / (defined.size + 1))
            share = larger / defined.size
        one, two = replicates.algorithms[i], replicates.algorithms[j]
        difference = estimate(float(replicates.observed[i] - replicates.observed[j]), change)
        degenerate = any(replicates.estimate(name).degenerate for name in (one, two))
        found.append(Pair(one, two, difference, share, p, p, degenerate))
    tested = [place for place, pair in enumerate(found) if pair.difference.known]
    for place, p in zip(tested, holm([found[place].p for place in tested]), strict=True):
        found[place] = found[place]._replace(holm=p)
    return tuple(found)


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, step by step down from the smallest.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = largest
    return corrected


def against_chance(rate: Estimate) -> Chance:
    """Whether the interval of a fooling rate holds 50 %, where fakes cannot be told from real images."""
    if not rate.known:
        return "no interval"
    if rate.low <= 0.5 <= rate.high:
        return "not distinguishable"
    return "below" if rate.high < 0.5 else "above"
