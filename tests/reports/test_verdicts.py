"""Decisions for all pairs of cells together: by hand, against Holm, and how often they are wrong."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.stats

from reports.store.bootstrap import NO_INTERVAL
from reports.store.variance import ScoreEstimate, ScoreSample, difference, sample
from reports.verdicts import CellPair, Decisions, Mark, Verdict, decide, discoveries, shaffer, verdict

N = 30


def _cells(values: dict[str, list[float]], spread: float = 1.0) -> dict[str, ScoreSample]:
    """Samples of cells from the values of their seeds; items add next to nothing."""
    random = np.random.default_rng(0)
    return {
        cell: sample(seeds, np.array(seeds)[:, None] + spread * random.normal(0, 0.001, (len(seeds), 200)), N)
        for cell, seeds in values.items()
    }


def test_pairs_of_three_and_four_cells_by_hand() -> None:
    pairs = list(combinations("abc", 2))
    # Of three cells all pairs can be equal, or one, but not two.
    assert shaffer(dict(zip(pairs, (0.01, 0.02, 0.04), strict=True))) == pytest.approx(
        dict(zip(pairs, (0.03, 0.03, 0.04), strict=True))
    )
    four = dict(zip(combinations("abcd", 2), (0.001, 0.01, 0.011, 0.012, 0.2, 0.5), strict=True))
    # All six, then at most three (one cell differs from three equal ones), two, one.
    assert list(shaffer(four).values()) == pytest.approx([0.006, 0.03, 0.033, 0.036, 0.4, 0.5])


def test_no_pair_is_adjusted_more_than_by_holm() -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        p = {
            pair: float(each) for pair, each in zip(combinations("abcdef", 2), random.uniform(0, 0.05, 15), strict=True)
        }
        ranked = sorted(p, key=lambda pair: p[pair])
        holm = np.maximum.accumulate([min(1, (15 - step) * p[pair]) for step, pair in enumerate(ranked)])
        ours = shaffer(p)
        assert all(ours[pair] <= most + 1e-15 for pair, most in zip(ranked, holm, strict=True))
        assert all(ours[pair] >= p[pair] for pair in p)


def test_false_discoveries_are_held_as_by_scipy() -> None:
    p = [0.001, 0.007, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251, 0.269]
    level = discoveries([*p, float("nan")])
    assert level == 0.007
    assert [each <= level for each in p] == (scipy.stats.false_discovery_control(p) <= 0.05).tolist()
    assert discoveries([0.9, 0.8]) == 0
    assert discoveries([]) == 0


def test_marks_and_ranks_of_three_trainings_each() -> None:
    cells = _cells({"A": [1.0, 1.1, 0.9], "B": [3.0, 3.1, 2.9], "C": [3.05, 3.0, 3.1], "D": [2.0, 2.05, 1.95]})
    found = decide(cells, higher_is_better=True)
    assert found.trainings
    assert {cell: found.mark(cell) for cell in cells} == {"A": Mark.NONE, "B": Mark.TIE, "C": Mark.TIE, "D": Mark.NONE}
    assert found.ranks() == {"A": (4, 4), "B": (1, 2), "C": (1, 2), "D": (3, 3)}
    lower = decide(cells, higher_is_better=False)
    assert {cell: lower.mark(cell) for cell in cells} == {
        "A": Mark.BEST,
        "B": Mark.NONE,
        "C": Mark.NONE,
        "D": Mark.NONE,
    }
    assert lower.ranks()["A"] == (1, 1)


def test_one_training_is_ahead_on_these_items_at_most() -> None:
    found = decide(_cells({"A": [1.0], "B": [3.0]}), higher_is_better=True)
    assert not found.trainings
    assert [found.mark(cell) for cell in "AB"] == [Mark.NONE, Mark.AHEAD]
    level = decide(_cells({"A": [1.0], "B": [1.0]}), higher_is_better=True)
    assert [level.mark(cell) for cell in "AB"] == [Mark.LEVEL, Mark.LEVEL]


def test_a_cell_of_one_training_among_others_is_left_out() -> None:
    found = decide(_cells({"A": [1.0, 1.1], "B": [3.0], "C": [9.0, 9.1]}), higher_is_better=True)
    assert found.left_out == ("B",)
    assert [found.mark(cell) for cell in "ABC"] == [Mark.NONE, Mark.NONE, Mark.BEST]
    alone = decide(_cells({"A": [1.0, 1.1], "B": [3.0]}), higher_is_better=True)  # no two to compare over trainings
    assert [alone.mark(cell) for cell in "AB"] == [Mark.NONE, Mark.AHEAD]


def test_a_cell_that_nobody_knows_to_be_behind_spoils_the_best() -> None:
    cells = _cells({"best": [1.0, 1.01, 0.99], "second": [2.0, 2.01, 1.99], "third": [0.0, 5.0, 2.6]})
    found = decide(cells, higher_is_better=False)
    assert {cell: found.mark(cell) for cell in cells} == {"best": Mark.TIE, "second": Mark.NONE, "third": Mark.TIE}
    assert found.ranks() == {"best": (1, 2), "second": (2, 3), "third": (1, 3)}


@pytest.mark.parametrize(
    ("value", "p", "higher_is_better", "trainings", "expected"),
    [
        (0.2, 0.01, True, True, Verdict.BETTER),
        (0.2, 0.01, False, True, Verdict.WORSE),
        (0.2, 0.01, None, True, Verdict.HIGHER),
        (-0.2, 0.01, True, True, Verdict.WORSE),
        (-0.2, 0.01, False, True, Verdict.BETTER),
        (-0.2, 0.01, None, True, Verdict.LOWER),
        (-0.2, 0.03, True, True, Verdict.TIE),
        (0.2, 0.02, True, False, Verdict.AHEAD),
        (0.2, 0.02, False, False, Verdict.BEHIND),
        (0.2, 0.02, None, False, Verdict.HIGHER_HERE),
        (-0.2, 0.02, None, False, Verdict.LOWER_HERE),
        (0.0, 1.0, False, False, Verdict.LEVEL),
        (0.2, float("nan"), True, True, None),
    ],
)
def test_the_verdict_of_a_change_follows_its_p_value_and_direction(
    value: float, p: float, higher_is_better: bool | None, trainings: bool, expected: Verdict | None
) -> None:
    change = ScoreEstimate(value, NO_INTERVAL, p, trainings)
    assert verdict(change, higher_is_better, level=0.02) is expected


def test_what_raters_say_holds_for_other_items_but_not_for_other_trainings() -> None:
    cells = {cell: sample([value], value + np.random.default_rng(0).normal(0, 1, (1, 200)), N) for cell, value in
             (("A", 20.0), ("B", 40.0))}  # fmt: skip
    assert [decide(cells, True, judged=True).mark(cell) for cell in "AB"] == [Mark.NONE, "ahead with this training"]
    alike = cells | {"B": cells["A"]}
    assert [decide(alike, True, judged=True).mark(cell) for cell in "AB"] == ["level with this training"] * 2
    found = [verdict(ScoreEstimate(value, NO_INTERVAL, p, False), True, 0.02, judged=True) for value, p in
             ((0.2, 0.01), (-0.2, 0.01), (0.2, 0.5))]  # fmt: skip
    assert found == ["ahead with this training", "behind with this training", "level with this training"]
    several = {cell: sample([v, v + 1, v - 1], np.full((3, 200), v), N) for cell, v in (("A", 20.0), ("B", 60.0))}
    assert decide(several, True, judged=True).mark("B") == Mark.BEST
    assert verdict(ScoreEstimate(0.2, NO_INTERVAL, 0.01, True), True, 0.02, judged=True) == Verdict.BETTER


def test_nothing_is_decided_without_a_direction_an_other_or_intervals() -> None:
    cells = _cells({"A": [1.0, 1.1], "B": [3.0, 3.1]})
    unknown = {**cells, "C": sample([1.0, 1.1], np.full((2, 200), np.nan), N)}
    for found in (decide(cells, None), decide({"A": cells["A"]}, True), decide(unknown, True)):
        assert found.pairs == ()
        assert found.ranks() == {}
        assert {found.mark(cell) for cell in "ABC"} == {Mark.NONE}


@pytest.mark.long
@pytest.mark.parametrize("cells", [5, 10])
def test_of_equal_cells_hardly_any_table_shows_one_as_worse(cells: int) -> None:
    random = np.random.default_rng(cells)
    wrong = 0
    for _ in range(200):
        items = random.normal(0, 1, N)
        samples = {}
        for cell in range(cells):
            values = items + random.normal(0, 0.2, N) + random.normal(0, 0.1, (3, 1)) + random.normal(0, 0.2, (3, N))
            draws = (values - values.mean(axis=1, keepdims=True)) / np.sqrt(N)  # of the variance that bootstraps have
            samples[str(cell)] = sample(values.mean(axis=1).tolist(), draws, N)
        wrong += any(pair.decided for pair in decide(samples, higher_is_better=True).pairs)
    assert wrong <= 20  # 10 expected, a standard deviation of 3


def test_a_cell_behind_another_is_no_tie_and_what_follows_from_decisions_holds() -> None:
    # C is ahead of B and A of C; A and B alone would not be told apart. D is ahead of B only.
    means, apart = {"A": 4.0, "C": 3.0, "D": 3.5, "B": 1.0}, {("A", "C"), ("C", "B"), ("D", "B")}
    pairs = tuple(
        CellPair(
            a, b, ScoreEstimate(means[a] - means[b], NO_INTERVAL, 0.5, True), 0.01 if {(a, b), (b, a)} & apart else 0.5
        )
        for a, b in combinations(means, 2)
    )
    found = Decisions(tuple(means), pairs, True, (), 1)
    assert {cell: found.mark(cell) for cell in means} == {"A": "tie", "D": "tie", "C": "", "B": ""}
    assert found.ahead("A", "B")
    assert found.ranks() == {"A": (1, 2), "C": (2, 3), "D": (1, 3), "B": (4, 4)}
    lower = Decisions(tuple(means), pairs, True, (), -1)
    assert {cell: lower.mark(cell) for cell in means} == {"B": "best", "A": "", "C": "", "D": ""}


@pytest.mark.long
@pytest.mark.parametrize(("seeds", "deviations"), [(2, (4.0, 4.0)), (2, (0.25, 4.0)), (3, (0.25, 4.0))])
def test_small_p_values_of_few_seeds_are_as_rare_as_they_say(seeds: int, deviations: tuple[float, float]) -> None:
    """Of ten equal cells few tables have a false verdict, though seeds' spread is often small by chance."""
    random = np.random.default_rng(4)
    wrong = 0
    for _ in range(150):
        cells = {}
        for place in range(10):
            of_items, alone = random.normal(0, 0.7, 401), random.normal(0, 0.7, (seeds, 401))
            drawn = random.normal(0, deviations[place % 2], (seeds, 1)) + of_items + alone
            cells[str(place)] = sample(drawn[:, 0].tolist(), drawn[:, 1:], 100)
        wrong += any(pair.decided for pair in decide(cells, True).pairs)
    assert wrong / 150 <= 0.08


def test_items_that_are_all_alike_decide_nothing() -> None:
    cells = {cell: sample([value] * 3, np.full((3, 200), value), 4) for cell, value in (("A", 0.5), ("B", 0.6))}
    assert math.isnan(difference(cells["A"], cells["B"]).p)
    assert decide(cells, True).mark("B") == ""
    assert difference(cells["A"], cells["A"]).p == 1  # nothing changed
