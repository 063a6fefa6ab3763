"""Trials: in order, each shown once, each answered once, whatever comes twice. On both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from amt.errors import Refusal
from amt.protocol import Side
from amt.store import studies, trials
from amt.store.database import Database
from amt.store.schema import slots
from amt.store.schema import trials as table
from amt.store.studies import Study, named_pictures
from tests.amt.study import MEASURED, SMALL, Rater, make_study


def refused(word: str, status: int = 409) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda refusal: (refusal.word, refusal.status) == (word, status))


def ks(rater: Rater) -> list[int]:
    return [trial.k for trial in rater.to_come() or []]


def interrupt(rater: Rater, k: int) -> bool:
    with rater.database.writing() as connection:
        return trials.interrupt(connection, rater.session(), k, "blur", rater.study.protocol)


def side_of_fake(rater: Rater, k: int) -> Side:
    with rater.database.reading() as connection:
        found: Side = connection.execute(
            select(table.c.fake_side).where(table.c.session == rater.started.session, table.c.k == k)
        ).scalar_one()
        return found


def test_practice_then_scored_and_spares_are_kept_back(rater: Rater) -> None:
    coming = rater.to_come() or []
    assert [trial.phase for trial in coming] == ["practice"] * SMALL.practice + ["scored"] * SMALL.scored
    assert len({token for trial in coming for token in (trial.left, trial.right)}) == 2 * len(coming)


def test_nothing_before_consent(database: Database, study: Study) -> None:
    hasty = Rater(database, study, "hasty")
    with refused("consent", 403):
        hasty.to_come()
    with refused("order"):
        hasty.show(0)


def test_only_the_next_trial_can_be_shown(rater: Rater) -> None:
    with refused("order"):
        rater.show(1)
    with refused("trial", 404):
        rater.show(99)
    with refused("order"):
        rater.show(SMALL.practice + SMALL.scored)  # a spare that nobody asked for
    rater.show(0)
    rater.show(0)
    with refused("order"):
        rater.show(1)


def test_the_first_showing_counts(rater: Rater) -> None:
    rater.show(0)
    first = rater.clock
    rater.clock += 5
    rater.show(0)
    with rater.database.reading() as connection:
        assert connection.scalar(select(func.max(table.c.shown))) == pytest.approx(first)


def test_an_answer_needs_a_showing_and_time_to_see_it(rater: Rater) -> None:
    with refused("order"):
        rater.answer(0)
    rater.show(0)
    with refused("early"):
        rater.answer(0, after=2.5)  # the two images and the gap take 2.7 s
    assert rater.answer(0, after=0.2).phase == "practice"


def test_a_clock_that_is_set_back_stops_nobody(rater: Rater) -> None:
    rater.show(0)
    rater.answer(0, after=-3600)
    assert ks(rater)[0] == 1


def test_the_same_answer_again_is_the_same_and_another_is_refused(rater: Rater) -> None:
    rater.show(0)
    rater.answer(0, "left", 512.5)
    assert rater.answer(0, "left", 512.5).answered is not None
    with refused("conflict") as conflict:
        rater.answer(0, "right", 512.5)
    assert conflict.value.more["stored"] == {"choice": "left", "response_ms": 512.5, **MEASURED}
    assert ks(rater) == [1, 2, 3, 4, 5]


def test_two_answers_at_once_are_one(rater: Rater) -> None:
    rater.show(0)
    rater.clock += 3
    barrier = threading.Barrier(2)

    def give(choice: Side) -> str:
        barrier.wait()
        try:
            rater.answer(0, choice, after=0)
        except Refusal as refusal:
            return refusal.word
        return choice

    with ThreadPoolExecutor(2) as pool:
        sides: tuple[Side, Side] = ("left", "right")
        outcomes = list(pool.map(give, sides))
    assert "conflict" in outcomes
    with rater.database.reading() as connection:
        stored = connection.scalar(select(table.c.choice).where(table.c.answered.is_not(None)))
    assert stored in outcomes


def test_after_a_reload_another_pair_stands_in_with_the_same_side(rater: Rater) -> None:
    side = side_of_fake(rater, 0)
    rater.show(0)
    coming = rater.to_come() or []
    stand_in = coming[0]
    assert stand_in.k == SMALL.practice + SMALL.scored
    assert (stand_in.phase, stand_in.position) == ("practice", 0)
    assert side_of_fake(rater, stand_in.k) == side
    assert rater.to_come() == coming  # asking is not showing
    with refused("void"):
        rater.show(0)
    with refused("void"):
        rater.answer(0)


def test_a_pair_is_never_shown_again(rater: Rater) -> None:
    seen: list[int] = []
    for reload in (True, False, False, True, False, False, False, False):
        k = ks(rater)[0]
        rater.show(k)
        seen.append(k)
        if not reload:
            rater.answer(k)
    assert len(set(seen)) == len(seen) == SMALL.items
    assert rater.complete().of == SMALL.scored


def test_without_spares_the_session_ends_and_frees_its_place(rater: Rater) -> None:
    for _ in range(SMALL.spares):
        rater.show(ks(rater)[0])
    rater.show(ks(rater)[0])
    assert rater.to_come() is None
    assert rater.session().state == "ended"
    with rater.database.reading() as connection:
        assert connection.scalar(select(func.max(slots.c.lease))) == 0
    with refused("ended"):
        rater.to_come()


def test_interruptions_void_and_too_many_end_the_session(rater: Rater) -> None:
    with refused("order"):
        interrupt(rater, 0)
    rater.show(0)
    assert interrupt(rater, 0)
    assert interrupt(rater, 0)  # sent again, it is no second interruption
    k = ks(rater)[0]
    rater.show(k)
    assert not interrupt(rater, k)
    assert not interrupt(rater, k)
    assert rater.session().state == "ended"


def test_what_is_answered_cannot_be_voided(rater: Rater) -> None:
    rater.show(0)
    rater.answer(0)
    with refused("order"):
        interrupt(rater, 0)


def test_completion_needs_all_answers_and_gives_one_code(rater: Rater) -> None:
    with refused("unfinished"):
        rater.complete()
    found = rater.finish("left")
    assert found.code == "CODE"
    assert (found.correct, found.of) == (SMALL.scored // 2, SMALL.scored)  # half of the fakes are left
    assert rater.complete("ANOTHER") == found
    assert ks_or_word(rater) == "finished"


def ks_or_word(rater: Rater) -> object:
    try:
        return ks(rater)
    except Refusal as refusal:
        return refusal.word


def test_a_picture_is_named_only_to_its_session(database: Database, study: Study, rater: Rater) -> None:
    trial = (rater.to_come() or [])[0]
    with database.reading() as connection:
        known = studies.pictures_of(connection, study.id)
        shown = {}
        for side, token in (("left", trial.left), ("right", trial.right)):
            found = named_pictures(connection, rater.started.token).get(token)
            assert found is not None
            assert found[0] == study.name
            shown[side] = known[found[1]].kind
        assert shown[side_of_fake(rater, trial.k)] == "fake"
        assert sorted(shown.values()) == ["fake", "real"]
    other = Rater(database, study, "other")
    other.agree()
    with database.reading() as connection:
        assert trial.left not in named_pictures(connection, other.started.token)
        assert "unknown" not in named_pictures(connection, rater.started.token)


def test_attention_checks_look_like_the_others_and_do_not_count(
    database: Database, request: pytest.FixtureRequest
) -> None:
    protocol = SMALL.model_copy(update={"attention": 2})
    study = make_study(database, request.getfixturevalue("studies"), request.getfixturevalue("pictures"), protocol)
    one = Rater(database, study, "one")
    one.agree()
    phases = [trial.phase for trial in one.to_come() or []]
    assert sorted(phases[2:]) == ["attention"] * 2 + ["scored"] * 4
    assert one.finish().of == SMALL.scored


def test_answers_are_canonical_text() -> None:
    one = trials.TrialAnswer("left", 1.0, {"b": 1, "a": {"d": 2, "c": 3}})
    assert one.canonical == replace(one, measured={"a": {"c": 3, "d": 2}, "b": 1}).canonical
    assert one.canonical != replace(one, response_ms=2.0).canonical


def test_a_voided_check_is_replaced_by_a_check(database: Database, request: pytest.FixtureRequest) -> None:
    protocol = SMALL.model_copy(update={"attention": 2})
    study = make_study(database, request.getfixturevalue("studies"), request.getfixturevalue("pictures"), protocol)
    one = Rater(database, study, "one")
    one.agree()
    voided = 0
    while coming := one.to_come():
        one.show(coming[0].k)
        if coming[0].phase == "attention" and not voided:
            voided = 1
            assert interrupt(one, coming[0].k)
        else:
            one.answer(coming[0].k)
    with database.reading() as connection:
        known = studies.pictures_of(connection, study.id)
        rows = connection.execute(
            select(table.c.phase, table.c.fake, table.c.real).where(table.c.answered.is_not(None))
        )
        shown = [(phase, known[fake], known[real]) for phase, fake, real in rows]
    assert voided == 1
    assert [fake.kind for phase, fake, _ in shown if phase == "attention"] == ["broken"] * 2
    assert all(fake.item == real.item for _, fake, real in shown)
