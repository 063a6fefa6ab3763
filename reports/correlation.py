"""Spearman's rank correlation of fooling rates with automatic scores, over items.

The cells of a study are combined in three ways, which answer different questions:

- each cell alone: do the outputs of one generator that score well fool raters more often?
- all cells pooled: a large correlation may only reflect differences between cells, such as a blurry one with low scores
  and a low rate; it shows little about single outputs;
- within cells: the mean of the cells' own correlations, weighted by their numbers of items. Differences between cells
  do not count, so this is the relevant one.

As few raters see each item, its rate is mostly chance and its correlation too small. The reliability of rates is the
share of their variance that is not chance, estimated from the variance of answers on the same item. A correlation
divided by its root is that expected with very many raters (Spearman, The proof and measurement of association between
two things, American Journal of Psychology 15, 1904).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from reports.store import bootstrap
from reports.store.analyses import StudyRecord
from reports.store.bootstrap import Interval
from reports.store.ledger import LedgerEntry
from reports.store.metrics import STUDY

REPLICATES = 1000
ALL_CELLS, WITHIN_CELLS = "all cells", "within cells"
COLUMNS = ("grid", "study", "cell", "metric", "scorer", "rho", "low", "high", "reliability", "corrected", "n")
LEAST_RELIABILITY = 0.1
"""With less, a corrected correlation would exceed three times the observed one, and be mostly chance."""
_LEAST_ITEMS = 3
_LEAST_DEFINED = 0.95  # share of the draws with a correlation that an interval requires
_BLOCK = 400_000  # numbers in memory at a time, per array: as many as fit in the cache
_Array = NDArray[np.float32]


@dataclass(frozen=True)
class Points:
    """Fooling rate and automatic score of the items of one cell.

    Attributes:
        cell: Its name.
        label: The name, with the seed where several runs of the cell were judged.
        items: The n sorted ids of the items that have both.
        trials: Number of trials of each (n,).
        rates: Fooling rates (n,) in percent.
        values: Scores (n,) in the metric's unit.
    """

    cell: str
    label: str
    items: tuple[str, ...]
    trials: NDArray[np.int64]
    rates: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class RatesAndScores:
    """Fooling rates and one automatic score by item, for each cell.

    In the study's order; cells without items that have both are left out.
    """

    scorer: str
    metric: str
    points: tuple[Points, ...]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho between fooling rate and an automatic score, with interval.

    Attributes:
        grid: The grid's name.
        study: The study's name.
        cell: A cell, with its seed where several of its runs were judged, or ALL_CELLS, or WITHIN_CELLS.
        metric: The score's name.
        scorer: The score's scorer.
        rho: Correlation, -1 to 1; None if undefined: fewer than three points, or all rates or all scores equal.
        interval: Bootstrap interval over items, each with its points in all cells; None for a single item, or if more
            than one draw in twenty has no correlation.
        reliability: Share of the variance of items' rates that is not chance, at most 1, possibly below 0; within cells
            the mean weighted by items. None if no item was judged twice, or rates are equal.
        corrected: Rho divided by the root of the reliability, -1 to 1; None if that is below LEAST_RELIABILITY.
        n: Number of points: items, times cells if there are several.
    """

    grid: str
    study: str
    cell: str
    metric: str
    scorer: str
    rho: float | None
    interval: Interval | None
    reliability: float | None
    corrected: float | None
    n: int


def compare(study: StudyRecord, entries: Sequence[LedgerEntry]) -> list[RatesAndScores]:
    """Pair items' rates with each automatic score that has item values.

    Args:
        study: A study of the grid, as `page.place` gives it.
        entries: The grid's scores; only those of the runs that the study judged count.
    """
    runs = {(cell.cell, cell.seed): cell for cell in study.cells}
    points_by_score: dict[tuple[str, str], dict[str, Points]] = {}
    for entry in entries:
        cell = runs.get((entry.run.cell, entry.run.seed))
        # A study's rates are what is predicted, not an automatic score.
        if cell is None or entry.scores.scorer.startswith(STUDY):
            continue
        for name in entry.scores.metrics:
            values = entry.scores.by_item(name)
            items = tuple(sorted(values.keys() & cell.items.keys()))
            if items:
                points_by_score.setdefault((entry.scores.scorer, name), {})[cell.label] = Points(
                    cell=cell.cell,
                    label=cell.label,
                    items=items,
                    trials=np.array([cell.items[item].trials for item in items], np.int64),
                    rates=np.array([cell.items[item].rate for item in items], np.float64),
                    values=np.array([values[item] for item in items], np.float64),
                )
    order = [cell.label for cell in study.cells]
    return [
        RatesAndScores(scorer, metric, tuple(points[label] for label in order if label in points))
        for (scorer, metric), points in sorted(points_by_score.items())
    ]


def correlate(
    grid: str, study: str, comparisons: Sequence[RatesAndScores], replicates: int = REPLICATES
) -> list[Correlation]:
    """Correlate each pairing: within cells, all cells pooled, then each cell.

    The draws of items depend on their ids only, so that the same numbers give the same intervals.

    Args:
        grid: Name of the grid.
        study: Name of the study.
        comparisons: As `compare` gives them.
        replicates: Number of bootstrap draws.
    """
    correlations: list[Correlation] = []
    weights: dict[tuple[str, ...], _Array] = {}
    for comparison in comparisons:
        items = tuple(sorted({item for points in comparison.points for item in points.items}))
        if items not in weights:
            weights[items] = np.ascontiguousarray(bootstrap.item_weights(items, replicates).T)  # shared by all metrics
        reliable = reliabilities(comparison.points)
        for cell, rho, n in _rhos(comparison.points, items, weights[items]):
            value = float(rho[0]) if n >= _LEAST_ITEMS and math.isfinite(rho[0]) else None
            ends = None if value is None or len(items) < 2 else _interval(rho[1:])
            share = reliable[cell] if math.isfinite(reliable[cell]) else None
            corrected = None
            if value is not None and share is not None and share >= LEAST_RELIABILITY:
                corrected = min(1.0, max(-1.0, value / math.sqrt(share)))
            names = (grid, study, cell, comparison.metric, comparison.scorer)
            correlations.append(Correlation(*names, value, ends, share, corrected, n))
    return correlations


def tidy(correlations: Sequence[Correlation]) -> pd.DataFrame:
    """Correlations as a table with the columns of `COLUMNS`."""
    rows = [
        (
            *(each.grid, each.study, each.cell, each.metric, each.scorer, each.rho, *(each.interval or (None, None))),
            *(each.reliability, each.corrected, each.n),
        )
        for each in correlations
    ]
    numbers = ("rho", "low", "high", "reliability", "corrected")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(numbers, "float64"))


def reliabilities(points: Sequence[Points]) -> dict[str, float]:
    """Reliability of items' rates by cell, within cells and pooled.

    NaN where it is unknown.

    Args:
        points: By cell.
    """
    chance = [_chance(each) for each in points]
    alone = np.array([_reliability(each.rates, own) for each, own in zip(points, chance, strict=True)])
    # Weighted by items, as the correlation itself is within cells; cells without a reliability have weight 0.
    weights = np.array([len(each.items) for each in points]) * np.isfinite(alone)
    within = float(np.nansum(alone * weights) / weights.sum()) if weights.any() else math.nan
    pooled = _reliability(np.concatenate([each.rates for each in points]), np.concatenate(chance))
    named = {each.label: float(own) for each, own in zip(points, alone, strict=True)}
    return {WITHIN_CELLS: within, ALL_CELLS: pooled} | named


def _chance(points: Points) -> NDArray[np.float64]:
    """Variance of each item's rate due to chance of answers (n,).

    It is that of answers on the same item, divided by their number.

    Answers on one item vary by all but the item, so also by what tells raters apart.
    """
    more = points.trials.sum() - len(points.trials)  # degrees of freedom within items
    if not more:
        return np.full(len(points.trials), math.nan)
    of_answers = (points.trials * points.rates * (100 - points.rates)).sum() / more
    return np.asarray(of_answers / points.trials, np.float64)


def _reliability(rates: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
    variance = float(rates.var(ddof=1)) if len(rates) > 1 else 0.0
    return 1 - float(chance.mean()) / variance if variance > 0 else math.nan


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, ties sharing their mean rank.

    NaN where a vector is constant or empty.
    """
    return float(_rho(a, b, np.ones((len(a), 1)))[0])


def _rhos(
    points: Sequence[Points], items: tuple[str, ...], weights: _Array
) -> Iterator[tuple[str, NDArray[np.float64], int]]:
    """Correlations (1 + replicates,) of one pairing, with their numbers of points.

    The first is of the points as they are.

    Args:
        points: Points by cell.
        items: All ids, as the rows of `weights`.
        weights: Count of each item in each draw (items, replicates).
    """
    index = {item: i for i, item in enumerate(items)}
    rows = [np.array([index[item] for item in each.items]) for each in points]
    alone = [_with_draws(each.rates, each.values, weights[of]) for each, of in zip(points, rows, strict=True)]
    counts = np.array([len(each.items) for each in points])
    defined = np.isfinite(alone)
    shares = defined * counts[:, None]
    sums = (np.where(defined, alone, 0) * shares).sum(axis=0)
    mean = np.divide(sums, shares.sum(axis=0), out=np.full(len(sums), np.nan), where=defined.any(axis=0))
    yield WITHIN_CELLS, mean, int(shares[:, 0].sum())
    rates, values = (np.concatenate([getattr(each, name) for each in points]) for name in ("rates", "values"))
    yield ALL_CELLS, _with_draws(rates, values, weights[np.concatenate(rows)]), int(counts.sum())
    for each, rho in zip(points, alone, strict=True):
        yield each.label, rho, len(each.items)


def _with_draws(a: NDArray[np.float64], b: NDArray[np.float64], weights: _Array) -> NDArray[np.float64]:
    """Spearman's rho of the n points, then of each draw.

    Weights are (n, replicates).
    """
    return np.concatenate([[spearman(a, b)], _rho(a, b, weights)])


def _rho(a: NDArray[np.floating], b: NDArray[np.floating], weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's rho (replicates,) of weighted values, ranked anew in each draw.

    Values are (n,), weights (n, replicates).

    Equal values are counted together first: with few raters per item, fooling rates have few distinct values.
    """
    rho = np.full(weights.shape[1], np.nan)
    (same_a, _), (same_b, group) = _groups(a, weights.dtype), _groups(b, weights.dtype)
    # Blocks of draws, so that the working arrays stay in the cache.
    step = max(1, _BLOCK // max(1, len(a)))
    for start in range(0, len(rho), step):
        w = weights[:, start : start + step]
        counts_a, counts_b = same_a @ w, same_b @ w
        x, y = _ranks(counts_a), _ranks(counts_b)
        # Sums over groups of equal values, each weighted by its count in the draw: Pearson's formula of the ranks.
        xy = np.einsum("gr,gr->r", x, same_a @ (w * y[group]))
        xx, yy = (np.einsum("gr,gr,gr->r", *each) for each in ((counts_a, x, x), (counts_b, y, y)))
        scale = np.sqrt(xx.astype(np.float64) * yy)
        np.divide(xy, scale, out=rho[start : start + step], where=scale > 0)
    return rho.clip(-1, 1)  # float32 sums may exceed 1 by rounding


def _groups(values: NDArray[np.floating], dtype: np.dtype[Any]) -> tuple[csr_array, NDArray[np.intp]]:
    """Group equal values: indicator matrix (distinct, n), and group of each (n,)."""
    distinct, group = np.unique(values, return_inverse=True)
    ones = np.ones(len(group), dtype)
    return csr_array((ones, (group, np.arange(len(group)))), shape=(len(distinct), len(group))), group


def _ranks(counts: NDArray[np.floating]) -> NDArray[np.floating]:
    """Centred mean ranks of values in ascending order with multiplicities (values, replicates).

    A value that comes w times after c smaller ones has the mean rank c + (w + 1) / 2; the mean of all ranks of N is
    (N + 1) / 2. So the centred rank is c + w / 2 - N / 2.
    """
    ranks = np.cumsum(counts, axis=0)
    ranks -= counts / 2 + ranks[-1] / 2
    return ranks


def _interval(rho: NDArray[np.float64]) -> Interval | None:
    defined = rho[np.isfinite(rho)]
    return bootstrap.interval(defined) if len(defined) >= max(1, _LEAST_DEFINED * len(rho)) else None
