"""Variance of scores over items and trainings, with intervals and p-values.

The expected score of a cell, over trainings and items, is estimated by the mean over its K seeds. Its variance has two
components. The seeds' component is the variance of the K values divided by K; it includes the interaction of items and
seeds. The items' component is the covariance, over bootstrap draws of the items, of the scores of different seeds. Both
have few degrees of freedom, K - 1 and n - 1, so intervals are by Student's t with Satterthwaite's degrees of freedom
(An approximate distribution of estimates of variance components, Biometrics Bulletin 2, 1946). With two or three seeds
these are too many where the seeds' component is small by chance: its weight in them is raised by (K + 1) / (K - 1)
(docs/statistics.md has the coverage with and without).
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
_MOST_FREEDOM = 4  # times the fewest of either cell's seeds; docs/statistics.md has the false verdicts without it
_SETS = 1000  # simulated sets of trainings
_ROUNDING = 1e-6  # of replicates, which are kept in float32


@dataclass(frozen=True, eq=False)
class ScoreSample:
    """Mean score of a cell with its variance components.

    Attributes:
        value: The mean over seeds.
        seeds: Number of trainings; 0 where training has no part, as for the ground truth.
        between: Variance of the seeds' values divided by their number; NaN for one seed, 0 for none.
        replicates: Bootstrap replicates (replicates,) of the mean over seeds; NaN where there is no interval.
        residual: Part of the replicates' variance that seeds do not share, which `between` already includes.
        units: Number of drawn items, or clusters of items.
        of_items: Degrees of freedom of the items' component: units - 1, or fewer where clusters are unequal.
        freedom: Degrees of freedom of the replicates' variance: those of items, except for studies.
        least: Lower bound of scores.
        most: Upper bound of scores.
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
        trainings: Whether the interval also holds for other trainings.
    """

    value: float
    interval: Interval
    p: float
    trainings: bool


class PlannedVariance(NamedTuple):
    """Variance of the difference of two cells for planned seeds.

    Attributes:
        parts: The items' component, and each cell's seeds' component.
        alone: Variance over draws of items beyond their component, which the cells' components include. With it, the
            items' component is the variance over items only, below which no interval may fall.
    """

    parts: tuple[VarianceComponent, VarianceComponent, VarianceComponent]
    alone: float

    @property
    def variance(self) -> float:
        """Total variance."""
        return sum(part.variance for part in self.parts)

    def detectable(self, power: float) -> float:
        """Smallest difference detected at 5 % with this power.

        The estimated variance differs from one set of trainings to the next, so a thousand sets are simulated.
        """
        from scipy.optimize import brentq
        from scipy.special import ndtr

        random = np.random.default_rng(0)
        # An estimated variance of f degrees of freedom is distributed as the true one times chi-square of f over f.
        estimates = [part.variance * random.chisquare(part.freedom, _SETS) / part.freedom for part in self.parts]
        freedom = _freedom_of_sum(np.stack(estimates), [part.freedom for part in self.parts])
        # The half width of each simulated set's interval.
        halves = np.sqrt(sum(estimates)) * _t_quantile(freedom)
        items = self.parts[0]
        drawn = estimates[0] / items.variance if items.variance else np.ones(_SETS)
        over_items = np.sqrt((items.variance + self.alone) * drawn) * _t_quantile(items.freedom)
        halves = np.maximum(halves, over_items)  # as in `_estimate`: never narrower than over items only
        deviation = math.sqrt(self.variance)  # of the estimated difference around the true one
        if not deviation:
            return 0.0

        def lacking(size: float) -> float:
            # A difference is detected if its estimate is farther from 0 than the half width, on either side.
            return power - float(np.mean(ndtr((size - halves) / deviation) + ndtr((-size - halves) / deviation)))

        # Power rises with the difference; at the upper end it is 1 within rounding, so the root is bracketed.
        return float(brentq(lacking, 0, float(halves.max()) + 10 * deviation))


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
        units: Number of drawn items, or clusters, at least 1.
        freedoms: Degrees of freedom of each seed's replicates' variance; None, or no entry, for those of items.
            Studies give them, as their seeds have other raters.
        of_items: Degrees of freedom of the items' component; None for units - 1.
        trained: False for pictures without a training, as the ground truth.

    Raises:
        ValueError: The numbers of values and replicates differ or are 0.
    """
    if replicates.ndim != 2 or not len(replicates) == len(values) > 0:
        raise ValueError(f"expected replicates ({len(values)}, replicates), found shape {replicates.shape}")
    k = len(values)
    mean = np.asarray(replicates.mean(axis=0, dtype=np.float64))
    value = float(np.mean(values))
    variances = replicates.var(axis=1, dtype=np.float64)  # of items, within each seed
    parts = [VarianceComponent(float(v), f) for v, f in zip(variances, freedoms, strict=False) if f is not None]
    of_items = units - 1.0 if of_items is None else of_items
    freedom = satterthwaite(parts) if len(parts) == k else of_items
    if not trained or k == 1:
        return ScoreSample(value, int(trained), math.nan if trained else 0.0, mean, 0.0, units, of_items, freedom)
    # Replicates of one seed vary by V + R: V, which all seeds share, and R, which they do not. Their mean varies by
    # V + R / k, so the difference of the two is R (k - 1) / k, and the residual R / k.
    alone = float(variances.mean())
    residual = max(0.0, (alone - float(mean.var())) / (k - 1))
    return ScoreSample(value, k, float(np.var(values, ddof=1)) / k, mean, residual, units, of_items, freedom)


def share_interval(value: float, variance: float, freedom: float) -> Interval:
    """Student's 95 % interval of a share, clipped to 0..1."""
    return _within(value, _around(value, VarianceComponent(variance, freedom).half), 0, 1)


def estimate(of: ScoreSample) -> ScoreEstimate:
    """Expected score of a cell; no interval where all draws are equal.

    Items that all have the same value do not show how others would differ.
    """
    result = _estimate(of.value, (of,), of.replicates)
    return result._replace(interval=_within(of.value, result.interval, of.least, of.most))


def difference(a: ScoreSample, b: ScoreSample) -> ScoreEstimate:
    """Expected difference A minus B, paired by draws of the same items.

    If either has no interval, as where all of its items are alike, the difference has neither interval nor p-value.
    """
    result = _estimate(a.value - b.value, (a, b), a.replicates - b.replicates)
    if result.value and not (estimate(a).interval.known and estimate(b).interval.known):
        return result._replace(interval=NO_INTERVAL, p=math.nan)
    return result._replace(interval=_clipped(result.interval, a.least - b.most, a.most - b.least))


def planned(a: ScoreSample, b: ScoreSample, seeds: int) -> PlannedVariance | None:
    """Planned variance with at least 2 seeds per cell.

    None if either cell has a single training, or no interval.
    """
    if min(a.seeds, b.seeds) < 2 or not (estimate(a).interval.known and estimate(b).interval.known):
        return None
    # `between` is the variance of a mean of the present seeds; of a mean of the planned ones it is smaller or larger by
    # their ratio.
    first, second = (VarianceComponent(cell.between * cell.seeds / seeds, seeds - 1) for cell in (a, b))
    alone = sum(cell.residual * cell.seeds / seeds for cell in (a, b)) * a.units / (a.units - 1)
    return PlannedVariance((_shared((a, b), a.replicates - b.replicates), first, second), alone)


def _shared(samples: Sequence[ScoreSample], replicates: NDArray[np.float64]) -> VarianceComponent:
    """Items' component: the covariance that all seeds share."""
    units = min(cell.units for cell in samples)
    small = units / (units - 1)  # the bootstrap's variance divides by n, the sample's by n - 1
    alone = sum(cell.residual for cell in samples)
    return VarianceComponent(
        max(0.0, small * (float(replicates.var()) - alone)), min(cell.of_items for cell in samples)
    )


def _estimate(value: float, samples: Sequence[ScoreSample], replicates: NDArray[np.float64]) -> ScoreEstimate:
    units = min(cell.units for cell in samples)
    trainings = all(cell.seeds != 1 for cell in samples)  # one seed shows no variance between trainings
    if units < 2 or np.isnan(replicates).any():
        return ScoreEstimate(value, NO_INTERVAL, math.nan, trainings)
    parts = [
        VarianceComponent(float(replicates.var()) * units / (units - 1), _freedom(samples))
    ]  # for these trainings only
    if trainings:
        own = [
            VarianceComponent(cell.between, cell.seeds - 1) for cell in samples if cell.seeds
        ]  # the ground truth has none
        parts.append(_sum([_shared(samples, replicates), *own]))
    # Never narrower than over items only: the sum of the components may be smaller by chance.
    half = max(part.half for part in parts)
    # The larger p-value goes with the wider interval, so that both always agree.
    p = max(part.p(value) for part in parts)
    return ScoreEstimate(value, _around(value, half), p, trainings)


def _freedom(samples: Sequence[ScoreSample]) -> float:
    """Degrees of freedom of a difference over the same items.

    One less than the units; raters differ between studies, so theirs follow Welch's test.
    """
    if all(cell.freedom == cell.of_items for cell in samples):
        return min(cell.of_items for cell in samples)
    return satterthwaite([VarianceComponent(float(cell.replicates.var()), cell.freedom) for cell in samples])


def _around(value: float, half: float) -> Interval:
    """Interval around a value, with the replicates' seven digits."""
    return Interval(*(float(f"{end:.7g}") for end in (value - half, value + half)))


def _within(value: float, interval: Interval, least: float, most: float) -> Interval:
    """Interval clipped to possible scores; none where all draws are equal."""
    if not interval.high - interval.low > _ROUNDING * abs(value):  # NaN too
        return NO_INTERVAL
    return _clipped(interval, least, most)


def _clipped(interval: Interval, least: float, most: float) -> Interval:
    return Interval(max(interval.low, least), min(interval.high, most))  # NaN stays: it comes first


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

    They are at most a few times those of either cell: where both seeds' components are small by chance, Satterthwaite's
    formula nearly ignores them, and decisions between many cells depend on the tiny p-values that result.
    """
    raise_by = np.array([1.0, *((f + 2) / f for f in freedoms[1:])])
    # E[s^4] of f degrees of freedom is (f + 2) / f times sigma^4; here f is K - 1.
    raised = np.moveaxis(variances, 0, -1) * raise_by  # seeds' weight raised by (K + 1) / (K - 1)
    shares = (raised**2 / np.array(freedoms)).sum(axis=-1)
    total = raised.sum(axis=-1)
    freedom = np.divide(total**2, shares, out=np.ones_like(total), where=shares > 0)
    return np.asarray(np.minimum(freedom, _MOST_FREEDOM * min(freedoms[1:])) if len(freedoms) > 2 else freedom)
