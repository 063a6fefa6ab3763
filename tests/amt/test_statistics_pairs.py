"""Comparisons from replicates written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from amt.statistics.bootstrap import Estimate, Replicates, crossed, two_stage
from amt.statistics.pairs import against_chance, holm, pairs
from tests.amt.answers import drawn, frame


def _replicates(**values: NDArray[np.float64]) -> Replicates:
    columns = np.stack(list(values.values()), axis=1)
    return Replicates(tuple(values), columns.mean(axis=0), np.full(len(values), 10), columns)


def test_a_pair_by_hand() -> None:
    # Of 9 differences 6 are positive, 2 zero, 1 negative: P = 7/9, and 2 of 9 lie on the rarer side.
    a = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.2])
    b = np.array([0.4, 0.4, 0.4, 0.3, 0.3, 0.2, 0.3, 0.3, 0.3])
    [pair] = pairs(_replicates(a=a, b=b))
    assert (pair.first, pair.second) == ("a", "b")
    assert pair.probability == pytest.approx(7 / 9)
    assert pair.p == pytest.approx(2 * (2 + 1) / (9 + 1))
    assert pair.holm == pair.p
    assert pair.difference.value == pytest.approx(a.mean() - b.mean())
    assert pair.difference.error == pytest.approx((a - b).std())
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.08, 0.28))  # 0.2 steps from both ends
    assert not pair.degenerate


def test_equal_rates_are_no_difference_and_draws_cannot_prove_p_zero() -> None:
    same, more = np.linspace(0.1, 0.2, 99), np.linspace(0.5, 0.6, 99)
    one, two, three = pairs(_replicates(a=same, b=same, c=more))
    assert (one.probability, one.p, one.holm) == (0.5, 1, 1)
    assert (two.first, two.second, three.first, three.second) == ("a", "c", "b", "c")
    assert two.probability == 0
    assert two.p == 0.02
    assert two.holm == pytest.approx(0.06)
    assert three.holm == pytest.approx(0.06)


def test_draws_without_a_rate_are_left_out() -> None:
    [pair] = pairs(_replicates(a=np.array([0.5, np.nan, 0.5]), b=np.array([0.4, 0.4, 0.6])))
    assert pair.probability == 0.5
    assert pair.p == 1


def test_a_rate_that_never_varies_is_marked() -> None:
    zero, some = np.zeros(5), np.linspace(0.1, 0.3, 5)
    one, two, three = pairs(_replicates(a=zero, b=some, c=some + 0.2))
    assert [pair.degenerate for pair in (one, two, three)] == [True, True, False]


def test_one_algorithm_has_no_pairs() -> None:
    assert pairs(_replicates(a=np.zeros(3))) == ()


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_values_and_bonferroni_and_keeps_their_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(a <= b <= min(1, len(p) * a) for a, b in zip(p, corrected, strict=True))
    order = np.argsort(p)
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
    assert sorted(holm(p[::-1])) == sorted(corrected)


def test_a_clear_difference_is_found_and_turning_the_names_turns_the_sign() -> None:
    rng = np.random.default_rng(5)
    answers = frame(drawn("a", 20, 20, 30, 0.2, rng) + drawn("b", 20, 20, 30, 0.5, rng))
    turned = answers.assign(algorithm=answers["algorithm"].map({"a": "b", "b": "a"}))
    for draw in (two_stage, crossed):
        [pair], [other] = pairs(draw(answers, 999)), pairs(draw(turned, 999))
        assert pair.p == pytest.approx(0.002)
        assert pair.difference.high < 0 < other.difference.low
        assert other.difference.value == pytest.approx(-pair.difference.value)


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
