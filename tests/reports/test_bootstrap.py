"""Intervals against hand-worked cases, scipy and normal theory."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from reports.bootstrap import Interval, interval, item_weights, over_seeds, tie

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


def test_one_seed_is_its_own_cell() -> None:
    row = np.array([[0.5, 0.25, 0.75]])
    np.testing.assert_array_equal(over_seeds(row), row[0])


def test_two_seeds_give_the_means_of_all_draws_at_the_same_replicate() -> None:
    runs = np.stack([np.arange(8000.0), np.arange(8000.0) + 2])
    added, counts = np.unique(over_seeds(runs) - np.arange(8000.0), return_counts=True)
    assert added.tolist() == [0, 1, 2]  # both the first, one of each, both the second
    np.testing.assert_allclose(counts / 8000, [0.25, 0.5, 0.25], atol=0.02)


def test_seeds_are_drawn_alike_each_time_and_apart_for_each_cell() -> None:
    one = np.stack([np.zeros(1000), np.ones(1000)])
    other = one + 5
    np.testing.assert_array_equal(over_seeds(one), over_seeds(one))
    assert abs(np.corrcoef(over_seeds(one), over_seeds(other))[0, 1]) < 0.15


@pytest.mark.parametrize("shape", [(3,), (0, 3)])
def test_over_seeds_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="seeds, replicates"):
        over_seeds(np.zeros(shape))


def test_shared_draws_make_a_difference_precise() -> None:
    values = np.random.default_rng(3).normal(0, 1, 200)
    weights = item_weights(IDS)
    a, b = weights @ values / 200, weights @ (values + 0.01) / 200
    unpaired = item_weights([f"other-{number}" for number in range(200)]) @ (values + 0.01) / 200
    paired_width = np.subtract(*interval(b - a)[::-1])
    unpaired_width = np.subtract(*interval(unpaired - a)[::-1])
    assert paired_width < 0.001 * unpaired_width
    assert not tie(a, b)
    assert tie(a, unpaired)


def test_equal_runs_tie_and_touching_zero_is_a_tie() -> None:
    a = np.linspace(0, 1, 41)
    assert tie(a, a)
    assert tie(a, np.full(41, a[1]))  # the lower end of the difference is zero exactly
    assert not tie(a, np.full(41, a[1] - 1e-9))


def test_tie_refuses_other_draws() -> None:
    with pytest.raises(ValueError, match="same draws"):
        tie(np.zeros(3), np.zeros(4))
