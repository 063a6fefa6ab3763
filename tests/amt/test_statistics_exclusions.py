"""Every rule of the protocol alone, on both sides of its limit."""

from __future__ import annotations

import pytest

from amt.protocol import Protocol, Rules
from amt.statistics import table
from amt.statistics.exclusions import Exclusions, exclusions
from tests.amt.answers import OTHER, Row, session

PROTOCOL = Protocol()
GOOD = [0, 0, 1, 1] * 10  # and as many answers left as right


def _apply(*sessions: list[Row], protocol: Protocol = PROTOCOL) -> Exclusions:
    return exclusions(table.build(row for rows in sessions for row in rows), protocol)


def _reasons(found: Exclusions) -> dict[str, list[str]]:
    return {each.session: [reason.rule for reason in each.reasons] for each in found.excluded}


def _sentence(found: Exclusions) -> str:
    [[reason]] = [each.reasons for each in found.excluded]
    return reason.sentence


def test_a_good_session_counts() -> None:
    found = _apply(session("s", GOOD))
    assert found == Exclusions(1, (), ())


@pytest.mark.parametrize("state", ["running", "abandoned", "withdrawn", "ended"])
def test_incomplete(state: str) -> None:
    found = _apply(session("s", GOOD, state=state), session("t", GOOD))
    assert _reasons(found) == {"s": ["incomplete"]}
    assert _sentence(found) == f"The session is {state}, not completed."
    assert found.excluded[0].rater == "rater of s"
    assert found.excluded[0].algorithms == ("a",)
    assert found.sessions == 2


def test_too_few_valid_trials() -> None:
    enough, few, void = ([*GOOD[:36], *[None] * 4], [*GOOD[:35], *[None] * 5], session("v", GOOD))
    for row in void[:5]:
        row |= {"void": "blur"}
    found = _apply(session("e", enough), session("f", few), void)
    assert _reasons(found) == {"f": ["few trials"], "v": ["few trials"]}
    assert found.excluded[0].reasons[0].sentence == "35 of 40 scored trials are valid; at least 36 must be."


def test_practice_and_attention_are_no_valid_trials() -> None:
    rows = session("s", GOOD)
    for row in rows[:3]:
        row |= {"phase": "practice"}
    for row in rows[3:6]:
        row |= {"phase": "attention"}
    assert _sentence(_apply(rows)) == "34 of 40 scored trials are valid; at least 36 must be."
    only_practice = session("s", GOOD, phase="practice")
    assert _sentence(_apply(only_practice)) == "0 of 40 scored trials are valid; at least 36 must be."


def _timed(name: str, off: int) -> list[Row]:
    rows = session(name, GOOD)
    for row in rows[:off]:
        row |= {"left_ms": 1030.0}  # three frames of 10 ms
    for row in rows[off:]:
        row |= {"right_ms": 980.0}  # two
    return rows


def test_timing() -> None:
    found = _apply(_timed("kept", 8), _timed("out", 9))
    assert _reasons(found) == {"out": ["timing"]}
    assert _sentence(found) == "11.2 % of 80 exposures are off by more than 2 frames; at most 10 % may be."


def test_speed() -> None:
    found = _apply(session("kept", GOOD, response_ms=250.0), session("out", GOOD, response_ms=249.0))
    assert _reasons(found) == {"out": ["speed"]}
    assert _sentence(found) == "The median response took 249 ms; expected at least 250 ms."


def _sided(name: str, left: int, trials: int = 40) -> list[Row]:
    rows = session(name, [0] * trials)
    for number, row in enumerate(rows):
        choice = "left" if number < left else "right"
        row |= {"choice": choice, "fooled": int(choice != row["fake_side"])}
    return rows


@pytest.mark.parametrize(("left", "side"), [(36, "left"), (4, "right")])
def test_one_side(left: int, side: str) -> None:
    kept = 35 if side == "left" else 5
    found = _apply(_sided("kept", kept), _sided("out", left))
    assert _reasons(found) == {"out": ["one side"]}
    assert _sentence(found) == f"36 of 40 answers are {side}; 90 % on a side is too many."


def test_few_answers_are_not_held_against_a_side() -> None:
    assert _reasons(_apply(_sided("s", 3, 3))) == {"s": ["few trials"]}


def test_the_later_of_two_sessions_of_a_rater_is_out() -> None:
    early, late = ({"rater": "r", "answered_at": f"2026-10-01T{time}"} for time in ("10:00:00+02:00", "09:00:00+00:00"))
    first, second = ([row | when for row in session(name, GOOD)] for name, when in (("first", early), ("second", late)))
    found = _apply(second, first, session("other", GOOD))
    assert _reasons(found) == {"second": ["twice"]}
    assert _sentence(found) == "The rater had an earlier session, first."


def test_without_times_the_order_of_the_table_tells_which_session_is_later() -> None:
    untimed = [session(name, GOOD, rater="r", answered_at=None) for name in "za"]
    assert _reasons(_apply(*untimed)) == {"a": ["twice"]}
    timed = session("b", GOOD, rater="r")
    assert _reasons(_apply(*untimed, timed)) == {"a": ["twice"], "z": ["twice"]}


def test_all_reasons_are_given() -> None:
    found = _apply(session("s", [0, None], state="ended", response_ms=100.0, left_ms=5.0))
    assert _reasons(found) == {"s": ["incomplete", "few trials", "timing", "speed"]}


def test_rules_whose_numbers_are_missing_are_not_applied_and_that_is_said() -> None:
    unmeasured = session("s", GOOD, response_ms=None, left_ms=None, right_ms=None)
    found = _apply(unmeasured, session("t", GOOD), session("u", GOOD, frame_ms=None))
    assert _reasons(found) == {}
    assert found.notes == (
        "In 2 of 3 sessions no exposures were measured: the timing rule was not applied to them.",
        "In 1 of 3 sessions no response times were measured: the speed rule was not applied to them.",
    )


def test_sessions_without_trials_have_nothing_to_measure() -> None:
    assert _apply(session("s", [None] * 40)).notes == ()


def test_the_rules_are_those_of_the_protocol() -> None:
    lenient = Protocol(
        scored=20,
        rules=Rules(least_valid=0.5, frames_off=3, most_off=0.5, least_median_ms=10, one_side=1.0),
    )
    poor = session("s", [0] * 10, response_ms=11.0, left_ms=1030.0, right_ms=1040.0)
    assert _reasons(_apply(poor, protocol=lenient)) == {}
    assert _reasons(_apply(poor)) == {"s": ["few trials", "timing", "speed"]}


def test_no_rule_looks_at_accuracy() -> None:
    rows = [session("s", [0] * 40), session("t", [1] * 40), session("u", GOOD)]
    assert _reasons(_apply(*rows)) == {}
    for row in rows[0]:
        assert row["choice"] == row["fake_side"]
        assert OTHER[str(row["choice"])] != row["fake_side"]


def test_kept_rows_are_those_of_sessions_that_count() -> None:
    answers = table.build(session("s", GOOD, state="ended") + session("t", GOOD))
    assert exclusions(answers, PROTOCOL).kept(answers)["session"].unique().tolist() == ["t"]
