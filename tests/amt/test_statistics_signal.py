"""Sensitivity, sides, learning, response times and exposures, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amt.protocol import Protocol, Rules, Timing
from amt.statistics.curve import ExposureQuality, exposure_quality, frames_missed
from amt.statistics.rates import Quartiles, learning, left_share, response_times, sensitivity
from amt.statistics.resampling import Estimate
from tests.amt.answers import Row, drawn, frame, session


def test_sensitivity_by_hand() -> None:
    # A normal variable is below 1 with probability 0.841345, below 2 with 0.977250.
    found = sensitivity(Estimate(0.158655, 0.1, 0.022750, 0.5), 2000)
    assert found == pytest.approx((np.sqrt(2), 0, 2 * np.sqrt(2)), abs=1e-4)
    assert sensitivity(Estimate(0.841345, 0.1, 0.5, 0.9), 2000).value == pytest.approx(-np.sqrt(2), abs=1e-4)


def test_rates_of_0_and_1_stand_for_half_a_trial() -> None:
    # Half a trial of 40 is 0.0125; a normal variable is below 2.24140 with probability 0.9875.
    assert sensitivity(Estimate(0, 0, 0, 0.5), 40) == pytest.approx((3.16982, 0, 3.16982), abs=1e-5)
    assert sensitivity(Estimate(1, 0, 0.5, 1), 40) == pytest.approx((-3.16982, -3.16982, 0), abs=1e-5)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_sensitivity_is_finite_and_odd_around_chance(rate: float, trials: int) -> None:
    one = sensitivity(Estimate(rate, 0, rate, rate), trials)
    other = sensitivity(Estimate(1 - rate, 0, 1 - rate, 1 - rate), trials)
    assert np.isfinite(one).all()
    assert one.value == pytest.approx(-other.value, abs=1e-6)


def test_left_answers_are_counted_and_not_fooled_ones() -> None:
    # Fakes are right, left, right, left: s calls right, left, left, left; t always left.
    answers = frame(session("s", [0, 0, 1, 0]) + session("t", [1, 0, 1, 0]) + session("u", [0, 0], "b"))
    found = left_share(answers, 2000)
    assert found["a"].value == pytest.approx((0.75 + 1) / 2)
    assert found["b"].value == 0.5
    assert (found["a"].low, found["a"].high) == (0.5, 1)  # s twice with 4 of 8 or fewer left: 2.8 %


def test_learning_by_hand() -> None:
    # s is right in the third of three trials: 1/2 a trial; t always: 0. Together 1/4, so 250 points in 10 trials.
    rows = session("s", [1, 1, 0]) + session("t", [0, 0, 0])
    found = learning(frame(rows), 4000)
    assert found is not None
    assert found.value == pytest.approx(250)
    assert (found.low, found.high) == pytest.approx((0, 500))
    assert found.error == pytest.approx(np.sqrt(0.5 * 250**2), rel=0.05)  # 0, 250, 500 with 1/4, 1/2, 1/4


def test_learning_is_within_raters_and_not_between() -> None:
    # Raters who stayed longer are better, but nobody changes.
    found = learning(frame(session("s", [1, 1]) + session("t", [0] * 10)), 10)
    assert found is not None
    assert (found.value, found.known) == (0, False)


def test_learning_needs_two_trials() -> None:
    assert learning(frame(session("s", [1]) + session("t", [0])), 10) is None


def test_learning_does_not_depend_on_the_order_of_rows() -> None:
    answers = frame(drawn("a", 6, 10, 20, 0.3, np.random.default_rng(0)))
    mixed = answers.sample(frac=1, random_state=1)
    assert learning(mixed, 50) == pytest.approx(learning(answers, 50))


def test_response_times_are_quartiles_of_medians() -> None:
    rows = []
    for number, times in enumerate([(100, 200, 9000), (300,), (400,), (500, 700), (1000, 1000, None)]):
        own = session(f"s{number}", [0] * len(times))
        rows += [row | {"response_ms": time} for row, time in zip(own, times, strict=True)]
    rows += session("unmeasured", [0], response_ms=None)
    answers = frame(rows).astype({"response_ms": float})
    assert response_times(answers) == Quartiles(300, 400, 600, 5)  # of 200, 300, 400, 600, 1000
    assert response_times(answers.assign(response_ms=np.nan)) is None


def test_exposures_are_counted_in_whole_frames_of_the_rater() -> None:
    protocol = Protocol()
    times: list[Row] = [
        {"frame_ms": 16.7, "left_ms": 1000.1, "right_ms": 1016.8},  # 60 Hz: as it should, and a frame more
        {"frame_ms": 16.6, "left_ms": 966.6, "right_ms": 1033.5},  # two frames less, and two more
        {"frame_ms": 16.7, "left_ms": 1050.1, "right_ms": 2000.0},  # three, and sixty
        {"frame_ms": 6.94, "left_ms": 1007.0, "right_ms": 979.1},  # 144 Hz: one, and three
        {"frame_ms": None, "left_ms": 500.0, "right_ms": 500.0},
        {"frame_ms": 10.0, "left_ms": None, "right_ms": 1000.0},
    ]
    rows = [row | own for row, own in zip(session("s", [0] * 6), times, strict=True)]
    answers = frame(rows).astype({"frame_ms": float, "left_ms": float, "right_ms": float})
    missed = frames_missed(answers, protocol)
    assert missed[:4].tolist() == [[0, 1], [2, 2], [3, 60], [1, 3]]
    assert exposure_quality(answers, protocol) == ExposureQuality(9, 4 / 9, 3 / 9)
    strict = Protocol(rules=Rules(frames_off=1.5))
    assert exposure_quality(answers, strict) == ExposureQuality(9, 4 / 9, 5 / 9)
    assert exposure_quality(answers.iloc[4:5], protocol) is None
    shorter = Protocol(timing=Timing(exposure=500))
    assert exposure_quality(answers.iloc[5:], shorter) == ExposureQuality(1, 0, 1)
