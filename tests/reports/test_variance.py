"""Intervals and p-values over items and trainings: by hand, against scipy, and by their coverage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from reports.store.bootstrap import item_weights
from reports.store.variance import ScoreSample, difference, estimate, sample

N = 40
IDS = [f"item-{number:02}" for number in range(N)]


def _scored(values: NDArray[np.float64], *, trained: bool = True) -> ScoreSample:
    """The sample of a mean over items, from values (seeds, items)."""
    replicates = values @ item_weights(IDS[: values.shape[1]]).T / values.shape[1]
    return sample(values.mean(axis=1).tolist(), replicates, values.shape[1], trained=trained)


def test_one_training_has_students_interval_over_items() -> None:
    values = np.random.default_rng(1).normal(3, 2, N)
    found = estimate(_scored(values[None]))
    theirs = scipy.stats.ttest_1samp(values, 0)
    ends = theirs.confidence_interval(0.95)
    width = ends.high - ends.low
    assert found.interval.low == pytest.approx(ends.low, abs=0.03 * width)  # 10,000 draws know a variance to 1.4 %
    assert found.interval.high == pytest.approx(ends.high, abs=0.03 * width)
    assert not found.trainings
    assert estimate(_scored(values[None], trained=False)).trainings  # nothing of it is chance of training


def test_differences_of_one_training_are_paired_by_item() -> None:
    random = np.random.default_rng(2)
    items = random.normal(0, 5, N)
    a, b = items + 0.3 + random.normal(0, 0.5, N), items + random.normal(0, 0.5, N)
    found = difference(_scored(a[None]), _scored(b[None]))
    theirs = scipy.stats.ttest_rel(a, b)
    assert found.value == pytest.approx(float(np.mean(a - b)))
    assert found.p == pytest.approx(theirs.pvalue, rel=0.15)
    assert found.interval.low == pytest.approx(theirs.confidence_interval().low, abs=0.02)


def test_rates_of_two_studies_are_compared_by_welchs_test() -> None:
    # Their raters are others: variances of 4 with 3 degrees of freedom and 1 with 8 are 5 with 25 / (16/3 + 1/8).
    draws = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]) * math.sqrt((N - 1) / N)
    a, b = (
        sample([value], value + sd * each[None], N, [freedom])
        for value, sd, each, freedom in ((30.0, 2, draws[0], 3.0), (25.0, 1, draws[1], 8.0))
    )
    freedom = 25 / (16 / 3 + 1 / 8)
    found = difference(a, b)
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(5 / math.sqrt(5), freedom))
    half = math.sqrt(5) * scipy.stats.t.ppf(0.975, freedom)
    assert found.interval == pytest.approx((5 - half, 5 + half))
    both = sample([30.0, 25.0], np.stack([a.replicates, b.replicates]), N, [3.0, 8.0])
    assert both.freedom == pytest.approx(freedom)  # of two judged seeds
    assert sample([30.0], a.replicates[None], N, [None]).freedom == N - 1


def test_parts_of_the_variance_by_hand() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 3.0, 5.0, 5.0], [2.0, 4.0, 4.0, 6.0]])
    found = _scored(values)
    assert found.value == pytest.approx(values.mean())
    assert found.between == pytest.approx(0.75 / 3)  # the variance of 2.5, 4 and 4, over three seeds
    # The draws' variance of a mean of n items is the items' own (divided by n) over n; what the seeds share is the
    # mean covariance of two of them: 1, 1.5 and 1.0 of the pairs here, over n.
    covariance = np.cov(values, bias=True)
    shared = np.mean([covariance[i, j] for i, j in ((0, 1), (0, 2), (1, 2))]) / 4
    assert float(found.replicates.var()) - found.residual == pytest.approx(shared, rel=0.05)


def test_two_cells_of_noisy_seeds_are_told_apart_as_by_welch() -> None:
    # Items hardly matter here: what is left is Welch's test of the seeds' values.
    random = np.random.default_rng(4)
    level = random.normal(0, 0.01, N)
    a = level + random.normal(1.0, 1, (6, 1)) + random.normal(0, 0.01, (6, N))
    b = level + random.normal(0.0, 1, (6, 1)) + random.normal(0, 0.01, (6, N))
    found = difference(_scored(a), _scored(b))
    theirs = scipy.stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue, rel=0.05)
    assert found.trainings


def test_an_interval_over_trainings_is_never_narrower_than_over_items() -> None:
    values = np.tile(np.random.default_rng(5).normal(0, 1, N), (3, 1))  # three seeds that came out alike by chance
    alike = estimate(_scored(values)).interval
    once = estimate(_scored(values[:1])).interval
    assert alike.high - alike.low == pytest.approx(once.high - once.low)


@pytest.mark.parametrize(
    ("seeds", "ratio", "least"), [(2, 1, 0.93), (2, 2, 0.91), (2, 4, 0.89), (3, 2, 0.92), (5, 4, 0.92)]
)
def test_intervals_over_trainings_hold_the_expected_score(seeds: int, ratio: float, least: float) -> None:
    # Standard deviation of seeds in standard errors over items; half of an item's deviation is shared by seeds.
    random = np.random.default_rng([seeds, int(ratio)])
    held = []
    for _ in range(600):
        shared = random.normal(0, math.sqrt(N / 2), N)
        values = shared + random.normal(0, math.sqrt(N / 2), (seeds, N)) + random.normal(0, ratio, (seeds, 1))
        # The draws of a mean have a known variance: these have it exactly, and are 100 times quicker.
        replicates = (values - values.mean(axis=1, keepdims=True)) / math.sqrt(N)
        low, high = estimate(sample(values.mean(axis=1).tolist(), replicates, N)).interval
        held.append(low <= 0 <= high)
    assert np.mean(held) >= least


def test_nothing_is_known_of_single_items_and_of_items_that_are_alike() -> None:
    single = sample([0.5], np.full((1, 10), 0.5), 1)
    assert math.isnan(estimate(single).p)
    assert not estimate(single).interval.known
    assert math.isnan(difference(single, single).p)
    perfect = _scored(np.ones((1, N)))
    assert not estimate(perfect).interval.known
    assert not estimate(_scored(np.full((1, N), 0.3))).interval.known  # but for rounding
    missing = sample([0.5, 0.6], np.array([[0.5, 0.4], [np.nan, np.nan]]), N)
    assert not estimate(missing).interval.known


def test_equal_scores_are_not_different_and_a_gap_of_every_item_is() -> None:
    values = np.random.default_rng(6).normal(0, 1, (1, N))
    same = difference(_scored(values), _scored(values))
    assert (same.value, same.interval, same.p) == (0, (0, 0), 1)
    assert difference(_scored(values + 0.1), _scored(values)).p < 1e-9


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3)])
def test_values_and_replicates_belong_together(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected replicates"):
        sample([0.5, 0.6], np.zeros(shape), 3)


def test_intervals_of_two_clusters_stay_in_the_metrics_range() -> None:
    # Two clusters, all .9 and all .96: Student's t of one degree of freedom, 12.7, times 0.03 reaches far beyond 1.
    random = np.random.default_rng(0)
    drawn = random.choice([0.9, 0.96], (400, 2)).mean(axis=1)
    high = replace(sample([0.93], drawn[None], 2), least=0.0, most=1.0)
    assert estimate(high).interval == pytest.approx((0.93 - 12.706 * 0.03, 1), rel=0.05)
    low = replace(high, value=0.07, replicates=1 - drawn)
    assert estimate(low).interval == pytest.approx((0, 0.07 + 12.706 * 0.03), rel=0.1)
    # 12.7 x 0.06 on both sides of 0.86; no difference of two shares is above 1.
    found = difference(high, low).interval
    assert found == pytest.approx((0.86 - 12.706 * 0.06, 1), abs=0.05)
    unbounded = difference(sample([0.93], drawn[None], 2), sample([0.07], 1 - drawn[None], 2)).interval
    assert unbounded.high > 1.5
    nothing = replace(high, replicates=np.full(400, np.nan))
    assert not difference(nothing, low).interval.known
    assert not estimate(nothing).interval.known
