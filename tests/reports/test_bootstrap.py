"""Intervals against hand-worked cases, scipy and normal theory."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from reports.store.bootstrap import Interval, interval, item_weights, jackknife

IDS = [f"item-{number:03}" for number in range(200)]


def test_weights_are_counts_that_sum_to_n() -> None:
    weights = item_weights(IDS, 500)
    assert weights.shape == (500, 200)
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    assert (weights == np.rint(weights)).all()
    assert (weights.sum(axis=1) == 200).all()


def test_weights_have_the_moments_of_a_multinomial() -> None:
    weights = item_weights(IDS[:20], 20_000)
    covariance = np.cov(weights.T)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(np.diag(covariance), 1 - 1 / 20, atol=0.05)
    np.testing.assert_allclose(covariance[np.triu_indices(20, 1)], -1 / 20, atol=0.04)


def test_one_item_is_always_drawn() -> None:
    assert item_weights(["only"], 3).tolist() == [[1], [1], [1]]


def test_same_items_get_same_draws_in_any_order_and_other_items_get_others() -> None:
    weights = item_weights(IDS, 50)
    shuffled = IDS[::-1]
    np.testing.assert_array_equal(item_weights(IDS, 50), weights)
    np.testing.assert_array_equal(item_weights(shuffled, 50), weights[:, ::-1])
    assert (item_weights(IDS[:-1] + ["other"], 50) != weights).any()


def test_draws_are_those_of_the_first_version() -> None:
    # Written scores hold replicates of these draws: should they ever change, old and new runs would no longer pair.
    assert item_weights(["a", "b", "c"], 4).tolist() == [[2, 0, 1], [1, 1, 1], [1, 0, 2], [1, 2, 0]]


def test_more_replicates_begin_with_the_fewer() -> None:
    np.testing.assert_array_equal(item_weights(IDS, 9000)[:100], item_weights(IDS, 100))


@pytest.mark.parametrize("ids", [[], ["a", "a"]])
def test_weights_refuse_no_items_and_doubles(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="every id once"):
        item_weights(ids)


def test_weights_refuse_no_replicates() -> None:
    with pytest.raises(ValueError, match="at least one replicate"):
        item_weights(["a"], 0)


def test_interval_of_hand_worked_replicates() -> None:
    assert interval(np.arange(41.0)) == Interval(1.0, 39.0)  # 2.5 % of 40 steps is one step


def test_ends_have_the_digits_of_what_is_stored() -> None:
    stored = np.full(100, 0.35, np.float32)  # 0.3499999940395355
    assert interval(stored) == interval(stored.astype(np.float64)) == Interval(0.35, 0.35)
    assert interval(np.full(100, 1 / 3, np.float32)) == Interval(0.3333333, 0.3333333)
    assert interval(np.array([-1e-9, 1e-9])).low < 0  # what is small keeps its digits, and its sign


@pytest.mark.parametrize("replicates", [np.array([]), np.array([1.0, np.nan])])
def test_interval_refuses_nothing_and_nan(replicates: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        interval(replicates)


def test_interval_of_a_mean_agrees_with_scipy_and_with_normal_theory() -> None:
    values = np.random.default_rng(7).normal(3, 2, 200)
    ours = interval(item_weights(IDS) @ values / 200)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    error = values.std() / np.sqrt(200)
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * error)
    assert ours.low == pytest.approx(values.mean() - 1.96 * error, abs=0.12 * error)
    assert ours.high == pytest.approx(values.mean() + 1.96 * error, abs=0.12 * error)


def test_the_jackknife_counts_variance_and_bias_by_hand() -> None:
    # Mean 2 of 1, 2, 3: variance 2/3 times two. Of all it is 1.5: (3 - 1)(2 - 1.5) = 1 too low, squared 1.
    assert jackknife(np.array([1.0, 2.0, np.nan, 3.0]), 2.0) == pytest.approx(4 / 3)
    assert jackknife(np.array([1.0, 2.0, np.nan, 3.0]), 1.5) == pytest.approx(4 / 3 + 1)
    assert jackknife(np.array([np.nan]), 1.0) == 0
