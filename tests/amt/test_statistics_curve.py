"""Learning curves of raters by hand; their intervals against scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from amt.statistics.curve import Block, Halves, Position, curve, halves, positions
from amt.statistics.rates import intraclass, wilson
from tests.amt.answers import Row, frame, session


def _placed(rows: list[Row]) -> pd.DataFrame:
    answers = frame(rows)
    answers = answers[answers["choice"].notna()]
    return answers.assign(position=positions(answers))


NONE = frame(session("s", [0])).iloc[:0].assign(position=0)


def test_positions_count_answers_and_not_trials_that_were_void() -> None:
    rows = session("s", [0, None, 1, 0]) + session("t", [1, 0])
    assert _placed(rows)["position"].tolist() == [1, 2, 3, 1, 2]
    shuffled = _placed(rows[::-1])
    assert shuffled["position"].tolist() == [2, 1, 3, 2, 1]


def test_every_position_with_its_wilson_interval() -> None:
    # s is fooled at 1 and 2, t at 1, u never and for one trial only.
    found = curve(_placed(session("s", [1, 1]) + session("t", [1, 0]) + session("u", [0])), NONE).positions
    first, second = found
    assert first[:4] == pytest.approx((1, 3, 2, 1 / 3))
    assert second[:4] == (2, 2, 1, 0.5)
    theirs = scipy.stats.binomtest(1, 3).proportion_ci(method="wilson")
    assert (first.low, first.high) == pytest.approx((theirs.low, theirs.high))
    assert isinstance(first, Position)


def test_blocks_of_five_count_answers() -> None:
    # Four of five, two of four; one of two.
    rows = session("s", [0, 0, 0, 0, 1, 1, 0]) + session("t", [0, 1, 1, 0])
    first, second = curve(_placed(rows), NONE).blocks
    assert first[:6] == (1, 5, 2, 9, 3, 6 / 9)
    assert second[:6] == (6, 7, 1, 2, 1, 0.5)


def test_answers_of_raters_who_never_change_count_once() -> None:
    # 12 raters who are always, and 12 who are never right: the correlation is 1, so 12 of 24 and not 60 of 120.
    rows = [row for number in range(24) for row in session(f"s{number}", [number % 2] * 5)]
    [found] = curve(_placed(rows), NONE).blocks
    theirs = scipy.stats.binomtest(12, 24).proportion_ci(method="wilson")
    assert (found.correct, found.trials) == (0.5, 120)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_answers_of_raters_who_do_not_differ_all_count() -> None:
    # Everybody is right in 3 of 5: a negative correlation, which is none.
    rows = [row for number in range(10) for row in session(f"s{number}", [1, 0, 0, 1, 0])]
    [found] = curve(_placed(rows), NONE).blocks
    theirs = scipy.stats.binomtest(30, 50).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_correlated_answers_count_by_the_design_effect() -> None:
    rng = np.random.default_rng(0)
    rows = [row for n in range(20) for row in session(f"s{n}", (rng.random(20) < rng.beta(1, 3)).astype(int).tolist())]
    placed = _placed(rows)
    icc = intraclass(placed)
    assert icc is not None
    assert 0.02 < icc < 0.6
    block = curve(placed, NONE).blocks[0]
    n = 100 / (1 + 4 * icc)
    low, high = map(float, wilson((1 - block.fooled / 100) * n, n))
    assert (block.low, block.high) == pytest.approx((low, high))
    plain = wilson(100 - block.fooled, 100)
    assert block.low < plain[0]
    assert block.high > plain[1]


def test_where_nobody_is_ever_fooled_each_rater_counts_once() -> None:
    rows = [row for number in range(5) for row in session(f"s{number}", [0] * 5)]
    [found] = curve(_placed(rows), NONE).blocks
    theirs = scipy.stats.binomtest(5, 5).proportion_ci(method="wilson")
    assert found._replace(low=0) == Block(1, 5, 5, 25, 0, 1, 0, 1)
    assert found.low == pytest.approx(theirs.low)


def test_practice_has_blocks_of_its_own() -> None:
    practice = _placed(session("s", [1] * 6))
    found = curve(_placed(session("s", [0, 0])), practice)
    assert [(block.first, block.last, block.trials, block.correct) for block in found.practice] == [
        (1, 5, 5, 0),
        (6, 6, 1, 0),
    ]
    assert [(block.trials, block.correct) for block in found.blocks] == [(2, 1)]
    assert curve(_placed(session("s", [0, 0])), NONE).practice == ()


def test_halves_are_paired_over_raters() -> None:
    # Right in the first and the second half: s 1/2 and 1, t 0 and 1/2, u 1 and 1; v left after two trials.
    rows = session("s", [1, 0, 0, 0]) + session("t", [1, 1, 0, 1]) + session("u", [0] * 4) + session("v", [1, 1])
    found = halves(_placed(rows))
    assert found is not None
    assert found[:4] == pytest.approx((3, 0.5, 5 / 6, 1 / 3))
    # Changes 1/2, 1/2, 0: standard error sqrt(1/12 / 3) = 1/6, and t with two degrees of freedom is 4.302653. The upper
    # end would be 1.05, which no difference of shares can be.
    assert (found.low, found.high) == pytest.approx((1 / 3 - 4.302653 / 6, 1), abs=1e-6)


def test_no_change_exceeds_all_answers() -> None:
    # Changes 1 and 1/2: standard error 1/4, and t with one degree of freedom is 12.7.
    found = halves(_placed(session("s", [1, 1, 0, 0]) + session("t", [1, 0, 0, 0])))
    assert found is not None
    assert (found.change, found.low, found.high) == (0.75, -1, 1)


def test_the_middle_one_of_an_odd_number_is_in_the_second_half() -> None:
    assert halves(_placed(session("s", [0, 1, 1]))) == Halves(1, 1, 0, -1, None, None)


def test_a_change_that_all_share_has_no_interval() -> None:
    rows = session("s", [1, 0]) + session("t", [1, 0])
    assert halves(_placed(rows)) == Halves(2, 0, 1, 1, None, None)


@pytest.mark.parametrize("rows", [session("s", [0]), session("s", [0, 0])[:1] + session("t", [1])])
def test_without_a_rater_in_both_halves_there_is_no_trend(rows: list[Row]) -> None:
    assert halves(_placed(rows)) is None


def test_positions_of_sessions_that_mix_algorithms_run_through() -> None:
    mixed = session("s", [0, 0], "a") + [row | {"trial": 3 + number} for number, row in enumerate(session("s", [1, 1]))]
    mixed[2]["algorithm"] = "b"
    placed = _placed(mixed)
    found = curve(placed[placed["algorithm"] == "b"], NONE)
    assert [(each.position, each.fooled) for each in found.positions] == [(3, 1)]
    assert found.halves is None
    assert np.isfinite([found.blocks[0].low, found.blocks[0].high]).all()
