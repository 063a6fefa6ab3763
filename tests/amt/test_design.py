"""The schedules: balanced sides, balanced items, no item twice, the same from the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from amt.design import PlannedTrial, interleaved, schedules
from amt.protocol import Protocol

Pairing = Literal["paired", "unpaired"]
Kind = Literal["real", "fake"]
BOTH: tuple[Kind, Kind] = ("real", "fake")


def uses(places: list[list[PlannedTrial]], phase: str, which: Kind, items: int) -> list[int]:
    counts = Counter(getattr(trial, which) for place in places for trial in place if trial.phase == phase)
    return [counts[item] for item in range(items)]


@pytest.mark.parametrize("items", [55, 57, 100, 500])
@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_the_papers_design_is_balanced(items: int, pairing: Pairing) -> None:
    places = schedules(items, Protocol(pairing=pairing), np.random.default_rng(1))
    assert len(places) == 50
    for place in places:
        assert [trial.phase for trial in place] == ["practice"] * 10 + ["scored"] * 40 + ["spare"] * 5
        for phase, half in (("practice", 5), ("scored", 20)):
            assert sum(trial.fake_side == "left" for trial in place if trial.phase == phase) == half
    for which in BOTH:
        for phase in ("practice", "scored"):
            counts = uses(places, phase, which, items)
            assert max(counts) - min(counts) <= 1, (which, phase)


@settings(max_examples=60)
@given(
    st.integers(0, 3),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 7),
    st.integers(0, 12),
    st.sampled_from(["paired", "unpaired"]),
    st.integers(0, 2**32),
)
def test_any_design_keeps_its_promises(
    practice: int, scored: int, attention: int, spares: int, raters: int, more: int, pairing: Pairing, seed: int
) -> None:
    assume(pairing == "paired" or practice > 0 or attention + spares != 1)  # which the protocol refuses
    protocol = Protocol(
        practice=2 * practice, scored=2 * scored, attention=attention, spares=spares, raters=raters, pairing=pairing
    )
    items = protocol.items + more
    places = schedules(items, protocol, np.random.default_rng(seed))
    for place in places:
        assert len(place) == protocol.items
        for which in BOTH:
            assert len({getattr(trial, which) for trial in place}) == protocol.items
        for trial in place:
            assert (trial.real == trial.fake) == (pairing == "paired")
        assert sum(trial.fake_side == "left" for trial in place if trial.phase == "scored") == scored
    for which in BOTH:
        counts = uses(places, "scored", which, items)
        assert max(counts) - min(counts) <= 1


def test_sides_and_places_of_checks_are_drawn() -> None:
    protocol = Protocol(attention=4, raters=200)
    places = schedules(100, protocol, np.random.default_rng(0))
    positions = Counter(index for place in places for index, trial in enumerate(place) if trial.phase == "attention")
    assert set(positions) == set(range(10, 54))
    firsts = sum(place[10].fake_side == "left" for place in places)
    assert 70 < firsts < 130


def test_the_same_seed_gives_the_same_study_and_another_does_not() -> None:
    first, again, other = (schedules(60, Protocol(raters=3), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_too_few_items_are_counted() -> None:
    with pytest.raises(ValueError, match="found 54 items, expected at least 55"):
        schedules(54, Protocol(), np.random.default_rng(0))


def test_places_come_in_permuted_blocks() -> None:
    order = interleaved(4, 30, np.random.default_rng(0))
    blocks = [tuple(order[start : start + 4]) for start in range(0, 120, 4)]
    assert all(sorted(block) == [0, 1, 2, 3] for block in blocks)
    assert len(set(blocks)) > 10
