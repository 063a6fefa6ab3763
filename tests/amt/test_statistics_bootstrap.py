"""The two-stage bootstrap against exact variances, every draw of tiny studies, and a plain loop."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amt.statistics import resampling
from amt.statistics.resampling import Estimate, Replicates, draw_counts, estimate, generator, two_stage
from tests.amt.answers import drawn, frame, session


def _study(seed: int = 0, raters: int = 12, trials: int = 8, items: int = 15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = drawn("a", raters, trials, items, 0.3, rng) + drawn("b", raters, trials, items, 0.5, rng)
    keep = rng.random(len(rows)) < 0.9  # as many trials a rater as came in
    return frame([row for row, kept in zip(rows, keep, strict=True) if kept])


def _correlation(found: Replicates) -> float:
    return float(scipy.stats.pearsonr(*found.values.T).statistic)


def _arrays(answers: pd.DataFrame) -> list[list[tuple[str, int]]]:
    return [list(zip(own["item"], own["fooled"], strict=True)) for _, own in answers.groupby("rater")]


def test_an_estimate_of_hand_worked_replicates() -> None:
    found = estimate(21.0, np.array([*np.arange(41.0), np.nan]))
    assert found == Estimate(21.0, np.sqrt((41**2 - 1) / 12), 1.0, 39.0)


@pytest.mark.parametrize("replicates", [[], [np.nan], [2.0, 2.0, np.nan]])
def test_draws_that_say_nothing_give_no_interval(replicates: list[float]) -> None:
    unknown = estimate(0.5, np.array(replicates))
    assert (unknown.value, unknown.known) == (0.5, False)
    assert np.isnan([unknown.error, unknown.low, unknown.high]).all()


def test_one_rater_has_no_interval() -> None:
    several = session("t", [1, 0, 1], "b") + session("u", [0, 0, 1], "b")
    found = two_stage(frame(session("s", [1, 1, 0, 0]) + session("v", [0] * 4, "c") + several), 50)
    assert np.isnan(found.values).all(axis=0).tolist() == [True, False, True]
    assert [found.estimate(name).known for name in "abc"] == [False, True, False]
    assert [found.estimate(name).value for name in "abc"] == [0.5, 0.5, 0]


def test_rates_are_means_over_raters_whatever_their_trials() -> None:
    answers = frame(session("s", [1, 1, 0, 0]) + session("t", [1]) + session("u", [0, 0, 1], "b"))
    found = two_stage(answers, 10)
    assert found.algorithms == ("a", "b")
    assert found.observed.tolist() == [0.75, pytest.approx(1 / 3, abs=1e-15)]
    assert found.values.shape == (10, 2)


def test_two_stage_has_the_exact_mean_and_variance() -> None:
    answers = _study()
    found = two_stage(answers, 40_000, seed=3)
    for place, name in enumerate("ab"):
        own = [[fooled for _, fooled in rater] for rater in _arrays(answers[answers["algorithm"] == name])]
        p, n = np.array([np.mean(rater) for rater in own]), np.array([len(rater) for rater in own])
        exact = np.sqrt((p.var() + (p * (1 - p) / n).mean()) / len(p))
        assert found.observed[place] == pytest.approx(p.mean(), abs=1e-12)
        assert found.values[:, place].mean() == pytest.approx(p.mean(), abs=0.03 * exact)
        assert found.values[:, place].std() == pytest.approx(exact, rel=0.02)
    assert abs(_correlation(found)) < 0.03  # other raters, other draws


def test_two_stage_draws_every_outcome_of_a_tiny_study_as_often_as_it_should() -> None:
    answers = frame(session("s", [1, 0]) + session("t", [1]))
    found = two_stage(answers, 40_000).values[:, 0]
    outcomes: dict[float, float] = defaultdict(float)
    of = {"s": {0.0: 0.25, 0.5: 0.5, 1.0: 0.25}, "t": {1.0: 1.0}}
    for one, two in product("st", repeat=2):
        for (a, p), (b, q) in product(of[one].items(), of[two].items()):
            outcomes[(a + b) / 2] += p * q / 4
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == sorted(outcomes)
    np.testing.assert_allclose(counts / 40_000, [outcomes[value] for value in values], atol=0.01)


def _plain_two_stage(answers: pd.DataFrame, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    own = [[fooled for _, fooled in rater] for rater in _arrays(answers)]
    return np.array(
        [
            np.mean([rng.choice(own[rater], len(own[rater])).mean() for rater in rng.integers(len(own), size=len(own))])
            for _ in range(replicates)
        ]
    )


@pytest.mark.long
def test_replicates_are_those_of_a_plain_loop() -> None:
    answers = _study()
    answers = answers[answers["algorithm"] == "a"]
    theirs = _plain_two_stage(answers, 3000, np.random.default_rng(1))
    found = two_stage(answers, 20_000).estimate("a")
    assert found.error == pytest.approx(theirs.std(), rel=0.06)
    low, high = np.percentile(theirs, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.2 * found.error)
    assert found.high == pytest.approx(high, abs=0.2 * found.error)


def test_raters_who_saw_both_algorithms_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(30):
        own = rng.random()
        for name in "ab":
            fooled = (rng.random(100) < own).astype(int).tolist()
            rows += session(f"s{number}", fooled, name, [f"{name}{item}" for item in range(100)])
    both = frame(rows)
    assert _correlation(two_stage(both, 2000)) > 0.9
    apart = both.assign(rater=both["rater"] + both["algorithm"])
    assert abs(_correlation(two_stage(apart, 2000))) < 0.15


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = _study()
    whole = two_stage(answers, 500).values
    monkeypatch.setattr(resampling, "_BLOCK", 1)
    np.testing.assert_array_equal(two_stage(answers, 500).values, whole)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), shuffle=st.integers(0, 2**31))
def test_draws_depend_on_the_seed_and_not_on_the_order_of_rows(seed: int, shuffle: int) -> None:
    answers = _study(raters=4, trials=5, items=8)
    found = two_stage(answers, 50, seed)
    mixed = answers.iloc[np.random.default_rng(shuffle).permutation(len(answers))]
    np.testing.assert_array_equal(two_stage(mixed, 50, seed).values, found.values)
    assert (two_stage(answers, 50, seed + 1).values != found.values).any()
    defined = found.values[np.isfinite(found.values)]
    assert ((defined >= 0) & (defined <= 1)).all()


def test_another_algorithm_leaves_the_two_stage_draws_alone() -> None:
    answers = _study()
    alone = two_stage(answers[answers["algorithm"] == "a"], 100)
    np.testing.assert_array_equal(alone.values[:, 0], two_stage(answers, 100).values[:, 0])


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one answered trial"):
        two_stage(frame(session("s", [0])).iloc[:0])


def test_counts_have_the_moments_of_a_multinomial() -> None:
    counts = draw_counts(generator(0, "any"), 20_000, 20)
    assert (counts.sum(axis=1) == 20).all()
    covariance = np.cov(counts.T)
    np.testing.assert_allclose(np.diag(covariance), 1 - 1 / 20, atol=0.05)
    np.testing.assert_allclose(covariance[np.triu_indices(20, 1)], -1 / 20, atol=0.04)


def test_purposes_have_random_numbers_of_their_own() -> None:
    assert generator(0, "a").random() == generator(0, "a").random()
    assert len({generator(*key).random() for key in ((0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"))}) == 5
