"""Comparisons: all pairs of a study adjusted together, and each rate against chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amt.statistics.comparisons import against_chance, pairs, shaffer
from amt.statistics.components import rates
from amt.statistics.resampling import Estimate
from reports import verdicts
from tests.amt.answers import drawn, frame, session


def test_a_pair_is_the_difference_of_its_rates_and_alone_needs_no_adjustment() -> None:
    rng = np.random.default_rng(5)
    found = rates(frame(drawn("a", 20, 20, 30, 0.2, rng) + drawn("b", 20, 20, 30, 0.5, rng)))
    [pair] = pairs(found)
    difference = found.difference("a", "b")
    assert (pair.first, pair.second, pair.difference) == ("a", "b", difference.estimate)
    assert (pair.probability, pair.p, pair.adjusted) == (difference.probability, difference.p, difference.p)
    assert pair.difference.high < 0
    assert pair.adjusted < 1e-5


def test_equal_algorithms_and_a_clearly_better_one() -> None:
    rng = np.random.default_rng(5)
    rows = drawn("a", 20, 20, 30, 0.2, rng) + drawn("b", 20, 20, 30, 0.2, rng) + drawn("c", 20, 20, 30, 0.5, rng)
    one, two, three = pairs(rates(frame(rows)))
    assert [(each.first, each.second) for each in (one, two, three)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert one.adjusted == one.p > 0.05  # once both others differ, one pair is left
    surer, other = sorted((two, three), key=lambda pair: pair.p)
    assert surer.adjusted == 3 * surer.p < 0.05  # of three, three or one can be equal
    assert other.adjusted == max(surer.adjusted, other.p) < 0.05


def test_pairs_without_an_interval_are_no_tests() -> None:
    rng = np.random.default_rng(0)
    rows = session("s", [1, 0] * 10) + drawn("b", 8, 20, 30, 0.1, rng) + drawn("c", 8, 20, 30, 0.4, rng)
    *unknown, known = pairs(rates(frame(rows)))
    for pair in unknown:
        assert not pair.difference.known
        assert np.isnan([pair.probability, pair.p, pair.adjusted]).all()
    assert known.adjusted == known.p < 0.05


def test_one_algorithm_has_no_pairs() -> None:
    assert pairs(rates(frame(session("s", [0, 1]) + session("t", [0, 0])))) == ()


def test_pairs_of_three_and_four_algorithms_by_hand() -> None:
    # Of three 3, 1 or 0 pairs can be equal; of four 6, 3, 2, 1 or 0.
    of_three = shaffer({("a", "b"): 0.02, ("a", "c"): 0.03, ("b", "c"): 0.04})
    assert list(of_three.values()) == pytest.approx([0.06, 0.06, 0.06])
    p = dict(zip(combinations("abcd", 2), [0.001, 0.01, 0.012, 0.02, 0.03, 0.5], strict=True))
    assert list(shaffer(p).values()) == pytest.approx([0.006, 0.03, 0.036, 0.06, 0.06, 0.5])
    assert shaffer({}) == {}


@given(st.integers(2, 7), st.integers(0, 2**31))
def test_the_report_adjusts_as_the_analysis_does(algorithms: int, seed: int) -> None:
    names = list(combinations("abcdefg"[:algorithms], 2))
    p = dict(zip(names, (np.random.default_rng(seed).random(len(names)) ** 3).tolist(), strict=True))
    assert shaffer(p) == verdicts.shaffer(p)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.49, "below"),
        (0.1, 0.5, "not distinguishable"),
        (0.4, 0.6, "not distinguishable"),
        (0.5, 0.6, "not distinguishable"),
        (0.51, 0.6, "above"),
    ],
)
def test_chance_is_inside_an_interval_that_touches_it(low: float, high: float, expected: str) -> None:
    assert against_chance(Estimate((low + high) / 2, 0.1, low, high)) == expected
