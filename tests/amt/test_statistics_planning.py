"""Plans against the figures of the study's design, a simulation, and correlations worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from amt.statistics.components import rates
from amt.statistics.planning import Assumptions, raters_needed, smallest_difference
from amt.statistics.rates import intraclass
from tests.amt.answers import frame, session


@pytest.mark.parametrize(("icc", "points"), [(0, 3.6), (0.02, 4.8), (0.05, 6.1), (0.1, 7.9)])
def test_fifty_raters_by_forty_trials_near_a_fifth(icc: float, points: float) -> None:
    assert round(100 * smallest_difference(50, Assumptions(0.2, 40, icc, items_icc=0)), 1) == points


def test_without_correlation_it_is_the_textbook_sample_size_of_two_proportions() -> None:
    # (1.959964 + 0.841621)^2 * 2 * 0.25 / 0.1^2 = 392.4 trials an algorithm, one a rater; t adds 1.96^2 / 4 (Guenther).
    assert raters_needed(0.1, Assumptions(0.5, 1, 0, items=1000, items_icc=0)) == 394


def test_items_that_differ_by_algorithm_by_hand() -> None:
    # 4 raters x 25 trials on 25 items near 50 %: raters (1 + 24/12) / 100 = .03, items .6 (.04 - .01) = .018, chance
    # taken away (1 - 25/100) / 100 = .0075. Degrees of freedom .048^2 / (.03^2 / 6 + .0255^2 / 24) = 13.003.
    # Variance 2 * .25 * .048 = .024.
    t = sum(scipy.stats.t.ppf([0.975, 0.8], 0.048**2 / (0.03**2 / 6 + 0.0255**2 / 24)))
    found = smallest_difference(4, Assumptions(0.5, 25, 1 / 12, items=25, items_icc=0.6))
    assert found == pytest.approx(t * math.sqrt(0.024), abs=1e-7)
    assert raters_needed(found, Assumptions(0.5, 25, 1 / 12, items=25, items_icc=0.6)) == 4


def test_too_few_items_for_any_number_of_raters() -> None:
    # At best sqrt(2 * .16 * .05 / 20) (t of 19 degrees of freedom: 2.093 + 0.861) = 8.4 points.
    with pytest.raises(ValueError, match=r"no 100,000 raters .* 5 percentage points on 20 items; .* least 8\.4"):
        raters_needed(0.05, Assumptions(trials=20, items=20))
    needed = [
        raters_needed(0.1, Assumptions(trials=20, items=items, items_icc=icc))
        for items, icc in ((20, 0.05), (200, 0.05), (200, 0))
    ]
    assert needed == sorted(needed, reverse=True)
    assert len(set(needed)) == 3


@pytest.mark.parametrize(("difference", "rate"), [(0.9, 0.2), (0.06, 0.01), (0.06, 0.99), (1, 0.4)])
def test_rates_below_0_or_above_100_are_no_plan(difference: float, rate: float) -> None:
    most = 200 * min(rate, 1 - rate)
    end = "below 0" if rate < 0.5 else "above 100"
    with pytest.raises(ValueError, match=f"near {100 * rate:g} % .* would be {end} %; expected at most {most:g}, or a"):
        raters_needed(difference, Assumptions(rate))
    assert raters_needed(most / 100, Assumptions(rate)) >= 2
    with pytest.raises(ValueError, match="2 raters .* which is at most 40 percentage points; expected more raters"):
        smallest_difference(2, Assumptions(0.2))


def test_no_rater_sees_an_item_twice() -> None:
    said = "trials is 40 and items 5; expected at least 40 items"
    with pytest.raises(ValueError, match=said):
        Assumptions(items=5)


def test_the_power_is_what_it_should_be() -> None:
    rng = np.random.default_rng(0)
    icc, difference = 0.05, smallest_difference(50, Assumptions(0.2, 40, 0.05, items_icc=0))
    error = np.sqrt(2 * 0.16 / 2000 * (1 + 39 * icc))
    means = []
    for rate in (0.2 - difference / 2, 0.2 + difference / 2):
        size = (1 - icc) / icc  # a beta-binomial with this sum of its parameters has that correlation
        own = rng.beta(rate * size, (1 - rate) * size, (4000, 50))
        means.append(rng.binomial(40, own).mean(axis=1) / 40)
    assert (np.abs(means[1] - means[0]) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.long
@pytest.mark.parametrize(("item_spread", "alike"), [(0.0, True), (0.08, True), (0.08, False)])
def test_the_analysis_has_the_power_that_was_planned(item_spread: float, alike: bool) -> None:
    # Raters see 40 of 60 items. An item is as hard for both algorithms, or for each apart: a share of .08^2 / .21.
    rng = np.random.default_rng(0)
    difference, icc, size = 0.1, 0.02, 0.98 / 0.02
    items_icc = 0 if alike else item_spread**2 / 0.21
    raters = raters_needed(difference, Assumptions(0.3, 40, icc, items=60, items_icc=items_icc))
    found = []
    for _ in range(300):
        effects = rng.choice([-item_spread, item_spread], 60)
        parts = []
        for name, rate in (("a", 0.3 - difference / 2), ("b", 0.3 + difference / 2)):
            items = np.argsort(rng.random((raters, 60)), axis=1)[:, :40]
            effects = effects if alike else rng.choice([-item_spread, item_spread], 60)
            own = rng.beta(rate * size, (1 - rate) * size, (raters, 1))
            fooled = rng.random(items.shape) < own + effects[items]
            who = np.char.add(name, np.repeat(np.arange(raters), 40).astype(str))
            parts.append(
                pd.DataFrame({"algorithm": name, "rater": who, "item": items.ravel(), "fooled": fooled.ravel()})
            )
        found.append(rates(pd.concat(parts)).difference("a", "b").p < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)  # 2.6 standard errors


@pytest.mark.long
@given(st.integers(2, 2000), st.floats(0.02, 0.98), st.integers(1, 200), st.floats(0.01, 1), st.floats(0, 0.2))
def test_the_smallest_difference_of_some_raters_needs_as_many(
    raters: int, rate: float, trials: int, icc: float, items_icc: float
) -> None:
    try:
        found = smallest_difference(raters, Assumptions(rate, trials, icc, items=200, items_icc=items_icc))
    except ValueError:  # larger than any that there is
        return
    assert raters_needed(found, Assumptions(rate, trials, icc, items=200, items_icc=items_icc)) == raters
    assert smallest_difference(raters + 1, Assumptions(rate, trials, icc, items=200, items_icc=items_icc)) < found


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
        ({"items": 1}, "items is 1"),
        ({"items_icc": 1.5}, "items_icc 1.5"),
    ],
)
def test_plans_refuse_what_cannot_be(wrong: dict[str, float], said: str) -> None:
    settings = {"difference": 0.1} | wrong
    with pytest.raises(ValueError, match=said):
        raters_needed(settings.pop("difference"), Assumptions(**settings))  # type: ignore[arg-type]
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
