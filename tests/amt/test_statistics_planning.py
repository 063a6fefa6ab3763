"""Plans against the figures of the study's design, a simulation, and correlations worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amt.statistics.planning import intraclass, raters_needed, smallest_difference
from tests.amt.answers import frame, session


@pytest.mark.parametrize(("icc", "points"), [(0, 3.5), (0.02, 4.7), (0.05, 6.1), (0.1, 7.8)])
def test_fifty_raters_by_forty_trials_near_a_fifth(icc: float, points: float) -> None:
    assert round(100 * smallest_difference(50, 0.2, 40, icc), 1) == points


def test_without_correlation_it_is_the_textbook_sample_size_of_two_proportions() -> None:
    # (1.959964 + 0.841621)^2 * 2 * 0.25 / 0.1^2 = 392.4 trials an algorithm, one a rater
    assert raters_needed(0.1, 0.5, 1, 0) == 393


def test_the_power_is_what_it_should_be() -> None:
    rng = np.random.default_rng(0)
    icc, difference = 0.05, smallest_difference(50, 0.2, 40, 0.05)
    error = np.sqrt(2 * 0.16 / 2000 * (1 + 39 * icc))
    rates = []
    for rate in (0.2 - difference / 2, 0.2 + difference / 2):
        size = (1 - icc) / icc  # a beta-binomial with this sum of its parameters has that correlation
        own = rng.beta(rate * size, (1 - rate) * size, (4000, 50))
        rates.append(rng.binomial(40, own).mean(axis=1) / 40)
    assert (np.abs(rates[1] - rates[0]) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.025)


@given(st.integers(2, 2000), st.floats(0.02, 0.98), st.integers(1, 200), st.floats(0, 1))
def test_the_smallest_difference_of_some_raters_needs_as_many(
    raters: int, rate: float, trials: int, icc: float
) -> None:
    found = smallest_difference(raters, rate, trials, icc)
    if found <= 1:
        assert raters_needed(found, rate, trials, icc) == raters
    assert smallest_difference(raters + 1, rate, trials, icc) < found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"difference": 0}, "difference is 0"),
        ({"difference": 1.1}, "difference is 1.1"),
        ({"rate": 0}, "rate is 0"),
        ({"power": 1}, "power is 1"),
        ({"alpha": 0}, "alpha is 0"),
        ({"trials": 0}, "trials is 0"),
        ({"icc": -0.1}, "icc -0.1"),
    ],
)
def test_plans_refuse_what_cannot_be(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        raters_needed(**({"difference": 0.1} | wrong))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="raters is 1"):
        smallest_difference(1)


def test_intraclass_correlation_by_hand() -> None:
    halves = [("s", [1, 1]), ("t", [1, 1]), ("u", [0, 0]), ("v", [0, 0])]
    assert intraclass(frame([row for name, fooled in halves for row in session(name, fooled)])) == 1
    alike = [row for name in "stuv" for row in session(name, [0, 1])]
    assert intraclass(frame(alike)) == 0  # the estimate itself is -1
    # Between raters 1 / 3, within 1 / 4, two trials each: (1/3 - 1/4) / (1/3 + 1/4).
    mixed = [("s", [1, 1]), ("t", [0, 0]), ("u", [0, 1]), ("v", [0, 1])]
    found = intraclass(frame([row for name, fooled in mixed for row in session(name, fooled)]))
    assert found == pytest.approx(1 / 7)


def test_intraclass_correlation_of_unequal_raters_by_hand() -> None:
    # Trials 1, 1, 4 with 1, 0, 2 fooled: 3 of 6. Between (1/4 + 1/4) / 2 = 1/4, within 4 * 1/4 / 3 = 1/3,
    # typical (6 - 18/6) / 2 = 3/2: (1/4 - 1/3) is negative.
    negative = session("s", [1]) + session("t", [0]) + session("u", [0, 0, 1, 1])
    assert intraclass(frame(negative)) == 0
    # 1, 0, 3 fooled: 4 of 6. Between (1/9 + 4/9 + 4 / 144) / 2 = 7/24, within 4 * 3/16 / 3 = 1/4.
    some = session("s", [1]) + session("t", [0]) + session("u", [0, 1, 1, 1])
    assert intraclass(frame(some)) == pytest.approx((7 / 24 - 1 / 4) / (7 / 24 + 1 / 8))


def test_intraclass_correlation_of_unequal_raters_is_that_of_their_answers() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for number in range(400):
        own, trials = rng.beta(0.2 * 9, 0.8 * 9), int(rng.integers(5, 40))
        rows += session(f"s{number}", (rng.random(trials) < own).astype(int).tolist())
    assert intraclass(frame(rows)) == pytest.approx(0.1, abs=0.025)  # 1 / (9 + 1)


@pytest.mark.parametrize("outcomes", [[[0, 1]], [[0], [1]], [[0, 0], [0, 0]]])
def test_intraclass_correlation_needs_raters_trials_and_variance(outcomes: list[list[int]]) -> None:
    rows = [row for number, fooled in enumerate(outcomes) for row in session(f"s{number}", fooled)]
    assert intraclass(frame(rows)) is None
