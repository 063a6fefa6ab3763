"""Variance of scores over items and trainings, with intervals and p-values.

The expected score of a cell, over trainings and items, is estimated by the mean over its K seeds. Its variance has two
parts. The seeds' part is the variance of the K values divided by K; it holds what items and seeds do to each other too.
The items' part is the covariance, over bootstrap draws of the items, of the scores of different seeds: what all seeds
share. Both are estimated with few degrees of freedom, K - 1 and n - 1, so intervals are by Student's t with
Satterthwaite's degrees of freedom (An approximate distribution of estimates of variance components, Biometrics Bulletin
2, 1946). With two or three seeds those are too many, as the seeds' part is small where chance made it small: it counts
(K + 1) / (K - 1) times in them (docs/statistics.md has the coverage with and without).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.store.bootstrap import NO_INTERVAL, Interval

LEVEL = 0.05
_MOST_FREEDOM = 4  # times the fewest of a cell's seeds; docs/statistics.md has false verdicts with and without
_SETS = 1000
_ROUNDING = 1e-6  # of replicates, which are kept in float32


@dataclass(frozen=True, eq=False)
class ScoreSample:
    """Mean score of a cell with its variance components.

    Attributes:
        value: The mean over seeds.
        seeds: How many trainings; 0 where chance of training has no part, as in the ground truth.
        between: The variance of the seeds' values divided by their number; NaN of one seed, 0 of none.
        replicates: Bootstrap replicates (replicates,) of the mean over seeds; NaN where there is no interval.
        residual: The part of the replicates' variance that seeds do not share, which `between` holds already.
        units: How many items, or clusters of items, were drawn.
        of_items: Degrees of freedom of the items' part: one less than units, or fewer where clusters are unequal.
        freedom: Degrees of freedom of the replicates' variance: those of items, but of a study.
        least: No score is below it.
        most: Nor above it.
    """

    value: float
    seeds: int
    between: float
    replicates: NDArray[np.float64]
    residual: float
    units: int
    of_items: float
    freedom: float
    least: float = -math.inf
    most: float = math.inf


class ScoreEstimate(NamedTuple):
    """A value with its 95 % interval and p-value of zero.

    Both are NaN where there are none.

    Attributes:
        value: The score, or the difference of two.
        interval: Over trainings and items, or over items alone; see `trainings`.
        p: Two-sided p-value of the hypothesis that the expected value is zero.
        trainings: Whether the interval holds for other trainings too, not for these alone.
    """

    value: float
    interval: Interval
    p: float
    trainings: bool


def sample(
    values: Sequence[float],
    replicates: NDArray[np.floating],
    units: int,
    freedoms: Sequence[float | None] = (),
    *,
    of_items: float | None = None,
    trained: bool = True,
) -> ScoreSample:
    """Sample of the mean of runs.

    Args:
        values: The score of each of the K seeds.
        replicates: Their bootstrap replicates (K, replicates), all made from the same draws of items.
        units: How many items, or clusters, were drawn, at least 1.
        freedoms: Of each seed, the degrees of freedom of its replicates' variance; None, or none at all, for those of
            items. Given ones are of a study, where raters of different seeds are others.
        of_items: Degrees of freedom of the items' part; None where they are one less than units.
        trained: False for pictures that no training made, as the ground truth.

    Raises:
        ValueError: Values and replicates are not equally many, or there are none.
    """
    if replicates.ndim != 2 or not len(replicates) == len(values) > 0:
        raise ValueError(f"expected replicates ({len(values)}, replicates), found shape {replicates.shape}")
    k = len(values)
    mean = np.asarray(replicates.mean(axis=0, dtype=np.float64))
    value = float(np.mean(values))
    variances = replicates.var(axis=1, dtype=np.float64)
    parts = [VarianceComponent(float(v), f) for v, f in zip(variances, freedoms, strict=False) if f is not None]
    of_items = units - 1.0 if of_items is None else of_items
    freedom = satterthwaite(parts) if len(parts) == k else of_items
    if not trained or k == 1:
        return ScoreSample(value, int(trained), math.nan if trained else 0.0, mean, 0.0, units, of_items, freedom)
    alone = float(variances.mean())
    residual = max(0.0, (alone - float(mean.var())) / (k - 1))
    return ScoreSample(value, k, float(np.var(values, ddof=1)) / k, mean, residual, units, of_items, freedom)


def share_interval(value: float, variance: float, freedom: float) -> Interval:
    """Student's 95 % interval of a share, clipped to 0..1."""
    return _within(value, _around(value, VarianceComponent(variance, freedom).half), 0, 1)


def estimate(of: ScoreSample) -> ScoreEstimate:
    """Expected score of a cell; no interval where all draws are equal.

    Items that all have the same value say nothing of how others would differ.
    """
    found = _estimate(of.value, (of,), of.replicates)
    return found._replace(interval=_within(of.value, found.interval, of.least, of.most))


def difference(a: ScoreSample, b: ScoreSample) -> ScoreEstimate:
    """Expected difference A minus B, paired by draws of the same items.

    Where one of the two has no interval, as where all of its items are alike, a difference has none and no p-value.
    """
    found = _estimate(a.value - b.value, (a, b), a.replicates - b.replicates)
    if found.value and not (estimate(a).interval.known and estimate(b).interval.known):
        return found._replace(interval=NO_INTERVAL, p=math.nan)
    return found._replace(interval=_clipped(found.interval, a.least - b.most, a.most - b.least))


class PlannedVariance(NamedTuple):
    """Variance of the difference of two cells for planned seeds.

    Attributes:
        parts: Items' part, and each cell's.
        alone: What draws of the items show beside their part, as each cell's part holds it: with it they are the
            variance over items alone, of which the interval is never narrower.
    """

    parts: tuple[VarianceComponent, VarianceComponent, VarianceComponent]
    alone: float

    @property
    def variance(self) -> float:
        """Total variance."""
        return sum(part.variance for part in self.parts)

    def detectable(self, power: float) -> float:
        """Smallest difference detected at 5 % with this power.

        What its variance will be taken for differs from one set of trainings to the next: by a thousand of them.
        """
        from scipy.optimize import brentq
        from scipy.special import ndtr

        random = np.random.default_rng(0)
        found = [part.variance * random.chisquare(part.freedom, _SETS) / part.freedom for part in self.parts]
        freedom = _freedom_of_sum(np.stack(found), [part.freedom for part in self.parts])
        halves = np.sqrt(sum(found)) * _t_quantile(freedom)
        items = self.parts[0]
        drawn = found[0] / items.variance if items.variance else np.ones(_SETS)
        over_items = np.sqrt((items.variance + self.alone) * drawn) * _t_quantile(items.freedom)
        halves = np.maximum(halves, over_items)
        deviation = math.sqrt(self.variance)
        if not deviation:
            return 0.0

        def missing(size: float) -> float:
            return power - float(np.mean(ndtr((size - halves) / deviation) + ndtr((-size - halves) / deviation)))

        return float(brentq(missing, 0, float(halves.max()) + 10 * deviation))


def planned(a: ScoreSample, b: ScoreSample, seeds: int) -> PlannedVariance | None:
    """Planned variance with at least 2 seeds per cell.

    None where one of them has a single training, or no interval.
    """
    if min(a.seeds, b.seeds) < 2 or not (estimate(a).interval.known and estimate(b).interval.known):
        return None
    first, second = (VarianceComponent(each.between * each.seeds / seeds, seeds - 1) for each in (a, b))
    alone = sum(each.residual * each.seeds / seeds for each in (a, b)) * a.units / (a.units - 1)
    return PlannedVariance((_shared((a, b), a.replicates - b.replicates), first, second), alone)


def _shared(samples: Sequence[ScoreSample], replicates: NDArray[np.float64]) -> VarianceComponent:
    """Items' component: the covariance that all seeds share."""
    units = min(each.units for each in samples)
    small = units / (units - 1)  # a bootstrap's variance divides by n
    alone = sum(each.residual for each in samples)
    return VarianceComponent(
        max(0.0, small * (float(replicates.var()) - alone)), min(each.of_items for each in samples)
    )


def _estimate(value: float, samples: Sequence[ScoreSample], replicates: NDArray[np.float64]) -> ScoreEstimate:
    units = min(each.units for each in samples)
    trainings = all(each.seeds != 1 for each in samples)
    if units < 2 or np.isnan(replicates).any():
        return ScoreEstimate(value, NO_INTERVAL, math.nan, trainings)
    found = [
        VarianceComponent(float(replicates.var()) * units / (units - 1), _freedom(samples))
    ]  # of these trainings alone
    if trainings:
        own = [VarianceComponent(each.between, each.seeds - 1) for each in samples if each.seeds]
        found.append(_sum([_shared(samples, replicates), *own]))
    # Never narrower than over items alone: the sum may be smaller by chance.
    half = max(part.half for part in found)
    p = max(part.p(value) for part in found)
    return ScoreEstimate(value, _around(value, half), p, trainings)


def _freedom(samples: Sequence[ScoreSample]) -> float:
    """Degrees of freedom of a difference over the same items.

    One less than the units; raters differ between studies, so theirs follow Welch's test.
    """
    if all(each.freedom == each.of_items for each in samples):
        return min(each.of_items for each in samples)
    return satterthwaite([VarianceComponent(float(each.replicates.var()), each.freedom) for each in samples])


def _around(value: float, half: float) -> Interval:
    """Interval around a value, with the replicates' seven digits."""
    return Interval(*(float(f"{end:.7g}") for end in (value - half, value + half)))


def _within(value: float, found: Interval, least: float, most: float) -> Interval:
    """Interval clipped to possible scores; none where all draws are equal."""
    if not found.high - found.low > _ROUNDING * abs(value):  # NaN too
        return NO_INTERVAL
    return _clipped(found, least, most)


def _clipped(found: Interval, least: float, most: float) -> Interval:
    return Interval(max(found.low, least), min(found.high, most))  # NaN stays: it comes first


class VarianceComponent(NamedTuple):
    """A variance and its degrees of freedom."""

    variance: float
    freedom: float

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval."""
        return math.sqrt(self.variance) * float(_t_quantile(self.freedom))

    def p(self, value: float) -> float:
        """Two-sided p-value of zero for this value."""
        if not self.variance:
            return 1.0 if value == 0 else 0.0
        from scipy.special import stdtr

        return float(2 * stdtr(self.freedom, -abs(value) / math.sqrt(self.variance)))


def _t_quantile(freedom: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Upper 2.5 % point of Student's t."""
    from scipy.special import stdtrit  # here: SciPy takes half a second, and most commands need no interval

    return np.asarray(stdtrit(freedom, 1 - LEVEL / 2))


def satterthwaite(parts: Sequence[VarianceComponent]) -> float:
    """Degrees of freedom of a sum of independent variances."""
    shares = sum(part.variance**2 / part.freedom for part in parts)
    return sum(part.variance for part in parts) ** 2 / shares if shares else min(part.freedom for part in parts)


def _sum(parts: Sequence[VarianceComponent]) -> VarianceComponent:
    """Sum of independent variances: the items' first, then each cell's."""
    variances = np.array([part.variance for part in parts])
    return VarianceComponent(
        float(variances.sum()), float(_freedom_of_sum(variances, [part.freedom for part in parts]))
    )


def _freedom_of_sum(variances: NDArray[np.float64], freedoms: Sequence[float]) -> NDArray[np.float64]:
    """Reduced Satterthwaite degrees of freedom of sums (...) of variances (parts, ...).

    Of two cells they are no more than a few times those of either: where both seeds' parts are small by chance, his
    formula takes them for as good as none, and many cells are decided together by p-values as small as that.
    """
    raise_by = np.array([1.0, *((freedom + 2) / freedom for freedom in freedoms[1:])])
    raised = np.moveaxis(variances, 0, -1) * raise_by
    shares = (raised**2 / np.array(freedoms)).sum(axis=-1)
    total = raised.sum(axis=-1)
    found = np.divide(total**2, shares, out=np.ones_like(total), where=shares > 0)
    return np.asarray(np.minimum(found, _MOST_FREEDOM * min(freedoms[1:])) if len(freedoms) > 2 else found)
