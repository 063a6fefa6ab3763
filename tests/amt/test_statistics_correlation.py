"""Agreement of people and scores, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from amt.errors import AmtError
from amt.statistics import agreement


def _items(values: list[float]) -> dict[str, float]:
    return {f"item {number}": float(value) for number, value in enumerate(values)}


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.asarray(scipy.stats.spearmanr(a, b).statistic))


def test_a_correlation_by_hand() -> None:
    # Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8
    found = agreement(_items([0.1, 0.2, 0.3, 0.4]), _items([1, 30, 20, 400]), 500)
    assert found.rho.value == pytest.approx(0.8)
    assert found.items == 4
    assert -1 <= found.rho.low < 0.8 < found.rho.high <= 1


def test_ties_and_the_interval_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 60) / 8
    y = np.round(x + rng.normal(0, 0.4, 60), 1)
    found = agreement(_items(x.tolist()), _items(y.tolist()), 4000).rho
    assert found.value == pytest.approx(_spearman(x, y))
    theirs = scipy.stats.bootstrap(
        (x, y),
        _spearman,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert found.error == pytest.approx(theirs.standard_error, rel=0.1)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.25 * found.error)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.25 * found.error)


def test_only_shared_items_count_in_any_order() -> None:
    rates, scores = _items([0.1, 0.5, 0.3, 0.4, 0.2]), _items([5, 1, 4, 2, 3])
    found = agreement(rates, scores | {"other": 9.0}, 100)
    assert found.items == 5
    assert agreement(dict(reversed(rates.items())) | {"another": 0.0}, scores, 100) == found
    assert agreement(rates, {item: -score for item, score in scores.items()}, 100).rho.value == -found.rho.value


@pytest.mark.parametrize(
    ("rates", "scores", "said"),
    [
        ({"a": 0.1, "b": 0.2}, {"a": 1.0, "b": 2.0}, r"2 items have both .* \(rates: a, b; scores: a, b\)"),
        ({"a": 0.1}, {}, r"0 items have both .* scores: none\)"),
        (_items([0.1, 0.2, 0.3]), _items([1, 1, 1]), "all equal or not finite"),
        (_items([0.1, 0.2, 0.3]), _items([1, 2, np.nan]), "all equal or not finite"),
    ],
)
def test_too_little_to_compare_is_said(rates: dict[str, float], scores: dict[str, float], said: str) -> None:
    with pytest.raises(AmtError, match=said):
        agreement(rates, scores, 10)
