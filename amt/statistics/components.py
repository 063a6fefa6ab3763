"""Variance components of fooling rates, with intervals and differences.

The rate of an algorithm is the mean over raters of their mean over trials. Its variance has two components. The raters'
is the variance of their rates divided by their number; it includes the chance variance of single answers, and is at
least that of independent answers. The items' is the covariance of two raters' answers on the same item, weighted by how
much the rate rests on items that several raters judged. Bootstraps over raters and trials, or raters and items, count
the chance variance of answers two or three times; these components count it once.

Intervals are Wilson's (Probable inference, the law of succession, and statistical inference, Journal of the American
Statistical Association 22, 1927) with the number of independent answers that would have the same variance, and
Student's t in place of the normal quantile. They stay within 0 and 100 % and are continuous at the ends. Differences
use Student's t. Degrees of freedom: Satterthwaite, An approximate distribution of estimates of variance components,
Biometrics Bulletin 2 (1946). The items' component is a mean square minus the chance variance of answers, at least 0.
The amount subtracted counts in its degrees of freedom: with few items a component may be small by chance. The raters'
component is at least the chance variance of independent answers, which all answers estimate: where raters seem to vary
less than that, it has more degrees of freedom than there are raters.

Where items form clusters, such as frames of one drive, clusters take the place of items: any two answers of different
raters in one cluster may correlate. Degrees of freedom are those of the equivalent number of equal clusters (Kish,
Survey Sampling, 1965), at least 1.

A single rater does not show how raters vary, nor a single item or cluster how items do: such rates have no interval.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import stdtr, stdtrit

from amt.statistics import table
from amt.statistics.resampling import Estimate

# Two-sided, for intervals of 95 %.
LEVEL = 0.05
_Matrix = NDArray[np.float64]


class Difference(NamedTuple):
    """Difference of two rates with its test.

    Attributes:
        estimate: The first minus the second, -1 to 1, with its interval.
        probability: One-sided confidence that the first is larger, 0 to 1.
        p: Two-sided p-value of no difference.

    Where either rate has no interval, neither has the difference, and probability and p are NaN.
    """

    estimate: Estimate
    probability: float
    p: float


class Part(NamedTuple):
    """Variance component with its degrees of freedom.

    Attributes:
        variance: At least 0.
        freedom: Degrees of freedom of variance and chance together.
        chance: Chance variance that was subtracted in the estimate.
    """

    variance: float
    freedom: float
    chance: float = 0.0


class FoolingRates(NamedTuple):
    """Fooling rates of all algorithms with the components of their covariances.

    Attributes:
        algorithms: The A names, sorted.
        observed: Observed rates (A,), 0 to 1.
        trials: Numbers of answers (A,).
        raters: Numbers of raters that each pair of algorithms shares (A, A); on the diagonal, of each algorithm.
        units: Numbers of judged items, or clusters of them (A,).
        shared_units: Numbers of units that each pair shares (A, A).
        worth: Equivalent numbers of equal units (A,).
        of_raters: Raters' component (A, A).
        of_items: Items' component (A, A), which may be negative by chance.
        same_item: Covariance of two raters' answers on one item (A, A); NaN where no item has two.
    """

    algorithms: tuple[str, ...]
    observed: NDArray[np.float64]
    trials: NDArray[np.intp]
    raters: NDArray[np.intp]
    units: NDArray[np.intp]
    shared_units: NDArray[np.intp]
    worth: NDArray[np.float64]
    of_raters: _Matrix
    of_items: _Matrix
    same_item: _Matrix

    def rate(self, algorithm: str) -> Estimate:
        """Rate of one algorithm, 0 to 1, with its interval for claims."""
        i = self.algorithms.index(algorithm)
        value, trials = float(self.observed[i]), float(self.trials[i])
        if not self._known(i):
            return Estimate(value, math.nan, math.nan, math.nan)
        independent = value * (1 - value) / trials
        of_raters = _of_raters(float(self.of_raters[i, i]), independent, self.raters[i, i], trials)
        total = summed(of_raters, self._items_of(i, independent))
        # Wilson's interval needs a number of independent answers: the one whose variance p (1 - p) / n is the estimated
        # one. At rates of 0 and 1 that is 0 / 0, and all answers count.
        answers = value * (1 - value) / total.variance if total.variance else trials
        low, high = _wilson(value, answers, float(stdtrit(total.freedom, 1 - LEVEL / 2)))
        return Estimate(value, math.sqrt(total.variance), low, high)

    def difference(self, first: str, second: str) -> Difference:
        """Difference of two rates, the first minus the second."""
        i, j = self.algorithms.index(first), self.algorithms.index(second)
        value = float(self.observed[i] - self.observed[j])
        if not (self._known(i) and self._known(j)):
            return Difference(Estimate(value, math.nan, math.nan, math.nan), math.nan, math.nan)
        total = summed(*self._raters_of_both(i, j), *self._items_of_both(i, j))
        error = math.sqrt(total.variance)
        half = error * float(stdtrit(total.freedom, 1 - LEVEL / 2))
        # The variance is above 0 even at rates of 0 and 1, as `_chance` is, so the quotient is defined.
        larger = float(stdtr(total.freedom, value / error))
        ends = Estimate(value, error, max(-1.0, value - half), min(1.0, value + half))
        return Difference(ends, larger, min(1.0, 2 * min(larger, 1 - larger)))

    def items_intraclass(self, first: str, second: str) -> float:
        """Intra-class correlation of items that two algorithms do not share.

        It is 0 to 1, for planning; NaN where too few items were judged twice.
        """
        i, j = self.algorithms.index(first), self.algorithms.index(second)
        # Item variance of the difference, half of it per algorithm, over the mean variance of an answer: the halves
        # cancel.
        of_answers = float((self.observed * (1 - self.observed))[[i, j]].sum())
        apart = float(self.same_item[i, i] + self.same_item[j, j] - 2 * self.same_item[i, j])
        return min(1.0, max(0.0, apart / of_answers)) if of_answers and not math.isnan(apart) else math.nan

    def parts(self, algorithm: str) -> tuple[Part, Part]:
        """Raters' and items' component of one rate, as they enter a difference."""
        i = self.algorithms.index(algorithm)
        return self._raters_of(i), self._items_of(i, self._chance(i))

    def _known(self, i: int) -> bool:
        return bool(self.raters[i, i] > 1 and self.units[i] > 1)

    def _items_of(self, i: int, independent: float) -> Part:
        """Items' component of a rate with this variance of independent answers."""
        # Only repeated answers to an item, or cluster, contribute chance variance to the mean square.
        again = max(0.0, 1 - float(self.units[i]) / float(self.trials[i]))
        return Part(max(0.0, float(self.of_items[i, i])), float(self.worth[i]) - 1, again * independent)

    def _items_of_both(self, i: int, j: int) -> tuple[Part, ...]:
        """Items' components of a difference, from shared and other items."""
        shared = int(self.shared_units[i, j])
        own = {k: self._items_of(k, self._chance(k)) for k in (i, j)}
        # A single shared unit says nothing of their variance, so it is treated as not shared.
        shares = {k: shared / float(self.units[k]) if shared > 1 else 0.0 for k in (i, j)}
        alone = tuple(
            Part((1 - share) * own[k].variance, own[k].freedom, (1 - share) * own[k].chance)
            for k, share in shares.items()
        )
        if shared < 2:
            return alone
        # Var(d) = Var(i) + Var(j) - 2 Cov(i, j), where only the shared part of each variance enters; the others are in
        # `alone`.
        found = sum(share * float(self.of_items[k, k]) for k, share in shares.items()) - 2 * float(self.of_items[i, j])
        # Clusters of unequal size carry less information than their number; of shared ones there cannot be more than
        # are shared.
        worth = min(shared, float(max(self.worth[i], self.worth[j])))
        chance = sum(share * own[k].chance for k, share in shares.items())
        return (*alone, Part(max(0.0, found), worth - 1, chance))

    def _raters_of(self, i: int, share: float = 1.0) -> Part:
        """Raters' component of a rate, or of a share of its raters."""
        found, least = share * float(self.of_raters[i, i]), share * self._chance(i)
        return _of_raters(found, least, self.raters[i, i], self.trials[i])

    def _raters_of_both(self, i: int, j: int) -> tuple[Part, ...]:
        """Raters' components of a difference, from shared and other raters.

        What a shared rater adds to both rates cancels in the difference. How far is estimated from the shared raters
        alone, so these set its degrees of freedom.
        """
        shared = int(self.raters[i, j])
        shares = {k: shared / float(self.raters[k, k]) if shared > 1 else 0.0 for k in (i, j)}
        alone = tuple(self._raters_of(k, 1 - share) for k, share in shares.items())
        if shared < 2:
            return alone
        least = sum(share * self._chance(k) for k, share in shares.items())
        own = sum(self._raters_of(k, share).variance for k, share in shares.items())
        trials = self.trials[i] + self.trials[j]
        return (*alone, _of_raters(own - 2 * float(self.of_raters[i, j]), least, shared, trials))

    def _chance(self, i: int) -> float:
        """Chance variance of independent answers, positive at 0 and 1.

        Laplace's estimate: as if one more answer had been fooled and one not.
        """
        n = float(self.trials[i])
        rate = (float(self.observed[i]) * n + 1) / (n + 2)
        return rate * (1 - rate) / n


class _Answers(NamedTuple):
    """Answers by index of algorithm, rater and item."""

    algorithm: NDArray[np.intp]
    rater: NDArray[np.intp]
    item: NDArray[np.intp]
    shape: tuple[int, int, int]

    def by_rater(self, values: _Matrix) -> _Matrix:
        """Sums of a value of each answer (algorithms, raters)."""
        return _sums(values, self.algorithm, self.rater, self.shape[:2])

    def by_item(self, values: _Matrix) -> _Matrix:
        """Sums of a value of each answer (algorithms, items)."""
        return _sums(values, self.algorithm, self.item, self.shape[::2])

    def same_item(self, values: _Matrix) -> _Matrix:
        """Sums of products over two raters' answers to one item (algorithms, algorithms)."""
        algorithms, raters, items = self.shape
        # All pairs on an item, minus the pairs of one rater; sparse, as a rater answers few items.
        by_item = self.by_item(values)
        columns = self.rater * items + self.item
        own = csr_array((values, (self.algorithm, columns)), shape=(algorithms, raters * items))
        return np.asarray(by_item @ by_item.T - (own @ own.T).toarray())

    def any_item(self, values: _Matrix) -> _Matrix:
        """Sums of products over two raters' answers (algorithms, algorithms)."""
        by_rater = self.by_rater(values)
        total = by_rater.sum(axis=1)
        return np.asarray(np.outer(total, total) - by_rater @ by_rater.T)

    def covariance(self, fooled: _Matrix) -> _Matrix:
        """Covariance of two raters' answers on one item (algorithms, algorithms).

        It is the mean product on the same item minus that on different ones; NaN where either has no pairs.
        """
        ones = np.ones(len(fooled))
        same, pairs = self.same_item(fooled), self.same_item(ones)
        others, other_pairs = self.any_item(fooled) - same, self.any_item(ones) - pairs
        both = (pairs > 0) & (other_pairs > 0)
        return np.where(both, same / np.where(both, pairs, 1) - others / np.where(both, other_pairs, 1), np.nan)


def rates(answers: pd.DataFrame) -> FoolingRates:
    """Estimate the rates of all algorithms.

    Args:
        answers: Answered trials (`table.scored`), with columns algorithm, rater, item and fooled, and cluster where
            items form clusters; at least one.

    Raises:
        ValueError: There is no answer.
    """
    if answers.empty:
        raise ValueError("expected at least one answered trial")
    (algorithm, names), (rater, raters), (item, items) = (
        pd.factorize(answers[column].to_numpy(object), sort=True) for column in ("algorithm", "rater", "item")
    )
    given = _Answers(algorithm, rater, item, (len(names), len(raters), len(items)))
    ones, fooled = np.ones(len(answers)), answers["fooled"].to_numpy(np.float64)
    trials = given.by_rater(ones)
    judged = trials > 0
    n = judged.sum(axis=1)
    # Means of raters first, then over raters: a rater with many trials counts no more than one with few.
    means = np.divide(given.by_rater(fooled), trials, out=np.zeros_like(trials), where=judged)
    observed = means.sum(axis=1) / n
    centred = np.where(judged, means - observed[:, None], 0)
    # Covariance of two rates through the raters who judged both, by their share of both means.
    both = judged.astype(np.intp) @ judged.T.astype(np.intp)
    # On the diagonal this is the usual variance of raters' means over n - 1; off it, the sample covariance over the
    # raters that both algorithms share.
    covariance = centred @ centred.T / np.maximum(both - 1, 1)
    weights = 1 / (trials * n[:, None])[algorithm, rater]  # of an answer in its rate
    same_item = given.covariance(fooled)
    of_units, worth = given, None
    if table.clustered(answers):
        unit, names_of_units = pd.factorize(answers["cluster"].to_numpy(object), sort=True)
        of_units = given._replace(item=unit, shape=(len(names), len(raters), len(names_of_units)))
        shares = of_units.by_item(weights)
        # Kish's effective number, at least two clusters for one degree of freedom.
        worth = np.maximum(2.0, shares.sum(axis=1) ** 2 / (shares**2).sum(axis=1))
    seen = (of_units.by_item(ones) > 0).astype(np.intp)
    units = seen.sum(axis=1)
    return FoolingRates(
        algorithms=tuple(map(str, names)),
        observed=observed,
        trials=trials.sum(axis=1).astype(np.intp),
        raters=both,
        units=units,
        shared_units=seen @ seen.T,
        worth=units.astype(np.float64) if worth is None else worth,
        # The covariance of two means of n_i and n_j raters, of which `both` are the same, is that of one rater times
        # both / (n_i n_j).
        of_raters=np.where(both > 1, covariance * both / np.outer(n, n), 0.0),
        # The covariance of one pair of answers times the summed products of the weights of all such pairs.
        of_items=np.nan_to_num(of_units.covariance(fooled)) * of_units.same_item(weights),
        same_item=same_item,
    )


def _sums(
    values: _Matrix, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    flat = np.bincount(rows * shape[1] + columns, values, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape))


def _of_raters(found: float, least: float, raters: float, trials: float) -> Part:
    """Raters' component: the estimate, at least the variance of independent answers.

    The latter is known to the precision of all answers. An estimate from few raters may be small by chance: where it is
    less, it counts (f + 2) / f times in degrees of freedom, as it does for trainings in a report.
    """
    freedom = float(raters - 1)
    if found >= least:
        return Part(found, freedom)
    inflated = max(0.0, found) * (freedom + 2) / freedom
    known = freedom * (least / inflated) ** 2 if inflated else math.inf
    return Part(least, max(freedom, min(known, float(trials - 1))))


def summed(*parts: Part) -> Part:
    """Sum of independent components, with at least their fewest degrees of freedom."""
    total = sum(part.variance for part in parts)
    # Satterthwaite: chance variance counts, as it was subtracted with its own error.
    shares = sum((part.variance + part.chance) ** 2 / part.freedom for part in parts)
    fewest = min(part.freedom for part in parts if part.variance or part.chance or not total)
    return Part(total, max(fewest, total**2 / shares) if shares else fewest)


def _wilson(rate: float, answers: float, quantile: float) -> tuple[float, float]:
    # Unlike in `rates.wilson`, the number of answers is an effective one and the quantile Student's.
    square = quantile**2
    centre = (rate + square / (2 * answers)) / (1 + square / answers)
    half = quantile / (1 + square / answers) * math.sqrt(rate * (1 - rate) / answers + square / (4 * answers**2))
    # Exact at 0 and 1, where rounding would leave 1e-17.
    return 0.0 if rate == 0 else max(0.0, centre - half), 1.0 if rate == 1 else min(1.0, centre + half)
