"""Rates by rater, item and algorithm, worked out by hand; intervals against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from amt.statistics.rates import by_item, by_rater, wilson
from tests.amt.answers import frame, session

ANSWERS = frame(
    session("s", [1, 1, 1, 0], items=["x", "y", "z", "w"])
    + session("t", [1], items=["x"])
    + session("v", [0, 0], items=["z", "w"])
    + session("u", [0, 0, 1, 0, 0], "b", ["x", "y", "z", "w", "v"])
)


def test_rates_by_rater() -> None:
    assert by_rater(ANSWERS).to_numpy().tolist() == [
        ["a", "rater of s", 3, 4, 0.75],
        ["a", "rater of t", 1, 1, 1.0],
        ["a", "rater of v", 0, 2, 0.0],
        ["b", "rater of u", 1, 5, 0.2],
    ]


def test_rates_by_item_with_their_intervals() -> None:
    found = by_item(ANSWERS)
    assert list(found.columns) == ["algorithm", "item", "fooled", "trials", "rate", "low", "high"]
    assert found["item"].tolist() == ["w", "x", "y", "z", "v", "w", "x", "y", "z"]
    _, item, fooled, trials, rate, low, high = found.iloc[1].tolist()
    assert (item, fooled, trials, rate, high) == ("x", 2, 2, 1.0, 1.0)
    assert low == pytest.approx(2 / (2 + 1.959964**2), abs=1e-6)  # k = n: n / (n + z^2)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 40), (1, 40), (7, 40), (20, 40), (40, 40), (378, 2000)])
def test_wilson_intervals_are_those_of_scipy(k: int, n: int) -> None:
    theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(k, n), (theirs.low, theirs.high), atol=1e-12)


def test_wilson_takes_many_at_once() -> None:
    low, high = wilson([0, 3, 5], [5, 5, 5])
    assert low[0] == 0
    assert high[2] == 1
    np.testing.assert_allclose(low, 1 - high[::-1] + np.array([0, low[1] - (1 - high[1]), 0]), atol=1e-12)
