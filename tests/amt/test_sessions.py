"""Slots: assigned once, kept by a lease, freed, and never more than there are. On both databases."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from amt import identity
from amt.errors import Refusal
from amt.recruitment import Recruitment, Source
from amt.store import sessions, studies, trials
from amt.store.database import Database
from amt.store.schema import NEVER, slots
from amt.store.schema import sessions as table
from amt.store.schema import trials as trials_table
from amt.store.sessions import StartedSession
from amt.store.studies import Study
from tests.amt.study import ALGORITHMS, SMALL, Rater, make_study


def lapse(database: Database) -> None:
    """Let the leases of all sessions that are not completed end."""
    with database.writing() as connection:
        held = (slots.c.lease != NEVER) & slots.c.session.is_not(None)
        connection.execute(update(slots).where(held).values(lease=time.time() - 1))


def state(database: Database, started: StartedSession) -> str:
    with database.reading() as connection:
        return str(connection.scalar(select(table.c.state).where(table.c.id == started.session)))


def test_places_interleave_the_algorithms_and_end(database: Database, study: Study) -> None:
    for number in range(6):
        sessions.start(database, study, f"rater {number}", "open", "")
    with database.reading() as connection:
        given = connection.execute(
            select(table.c.algorithm).join(slots, slots.c.id == table.c.slot).order_by(slots.c.sequence)
        ).scalars()
        blocks = list(given)
    assert [set(blocks[start : start + 2]) for start in (0, 2, 4)] == [set(ALGORITHMS)] * 3
    with pytest.raises(Refusal, match="taken") as refused:
        sessions.start(database, study, "one too many", "open", "")
    assert (refused.value.status, refused.value.word) == (410, "full")


def test_a_burst_gives_out_each_place_once(database: Database, study: Study) -> None:
    barrier = threading.Barrier(12)

    def come(number: int) -> str:
        barrier.wait()
        try:
            return sessions.start(database, study, f"rater {number}", "open", "").session
        except Refusal as refusal:
            return refusal.word

    with ThreadPoolExecutor(12) as pool:
        came = list(pool.map(come, range(12)))
    assert came.count("full") == 6
    with database.reading() as connection:
        held = list(connection.scalars(select(slots.c.session)))
    assert sorted(filter(None, held)) == sorted(one for one in came if one != "full")


def test_the_same_rater_at_once_is_one_session(database: Database, study: Study) -> None:
    barrier = threading.Barrier(6)

    def come(_: int) -> StartedSession:
        barrier.wait()
        return sessions.start(database, study, "the same", "open", "")

    with ThreadPoolExecutor(6) as pool:
        came = list(pool.map(come, range(6)))
    assert len({one.session for one in came}) == 1
    assert sum(one.new for one in came) == 1
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == 1
        assert connection.scalar(select(func.count()).select_from(slots).where(slots.c.lease > 0)) == 1


def test_to_start_again_replaces_the_token(database: Database, study: Study) -> None:
    first = Rater(database, study, "one")
    again = Rater(database, study, "one")
    assert again.started.session == first.started.session
    assert not again.started.new
    assert again.session().state == "running"
    with pytest.raises(Refusal, match="another tab") as refused:
        first.session()
    assert refused.value.status == 401


def test_a_token_is_good_for_its_session_alone(database: Database, study: Study) -> None:
    one, two = Rater(database, study, "one"), Rater(database, study, "two")
    with database.reading() as connection, pytest.raises(Refusal):
        sessions.identify(connection, two.started.session, one.started.token)


def test_an_abandoned_place_goes_to_the_next_and_its_data_stay(database: Database, study: Study, rater: Rater) -> None:
    first = (rater.to_come() or [])[0]
    rater.show(first.k)
    rater.answer(first.k)
    lapse(database)
    others = [Rater(database, study, f"other {number}") for number in range(6)]
    assert state(database, rater.started) == "abandoned"
    assert rater.session().slot in {other.session().slot for other in others}
    with database.reading() as connection:
        kept = connection.scalar(
            select(func.count())
            .select_from(trials_table)
            .where(trials_table.c.session == rater.started.session, trials_table.c.answered.is_not(None))
        )
    assert kept == 1
    with pytest.raises(Refusal, match="too long"):
        rater.to_come()
    with pytest.raises(Refusal, match="too long"):
        sessions.start(database, study, "one", "open", "")


def test_a_rater_who_comes_back_late_goes_on_while_the_place_is_free(
    database: Database, study: Study, rater: Rater
) -> None:
    lapse(database)
    again = sessions.start(database, study, "one", "open", "")
    assert again.session == rater.started.session
    with database.reading() as connection:
        lease = connection.scalar(select(slots.c.lease).where(slots.c.session == again.session)) or 0
    assert lease == pytest.approx(time.time() + sessions.LEASE_SECONDS, abs=60)


def test_a_place_whose_rater_may_come_back_is_given_out_last(database: Database, study: Study, rater: Rater) -> None:
    lapse(database)
    for number in range(5):
        Rater(database, study, f"other {number}")
    assert rater.session().state == "running"
    Rater(database, study, "the last")
    assert rater.session().state == "abandoned"


def test_requests_put_off_the_end_of_the_lease(database: Database, rater: Rater) -> None:
    with database.writing() as connection:
        connection.execute(update(slots).where(slots.c.session == rater.started.session).values(lease=time.time() + 5))
    with database.writing() as connection:
        sessions.renew(connection, rater.session(), time.time())
    assert rater.session().lease > time.time() + sessions.LEASE_SECONDS - 60


def test_who_declines_or_does_not_fit_frees_the_place(database: Database, study: Study) -> None:
    for name, end in (("declines", "declined"), ("does not fit", "ineligible")):
        one = Rater(database, study, name)
        for _ in range(2):  # the answer is the same the second time
            with database.writing() as connection:
                if end == "declined":
                    found = sessions.consent(connection, one.session(), study.consent.version, agreed=False)
                else:
                    found = sessions.environment(connection, one.session(), {"hertz": 30}, eligible=False)
            assert found == end
        with pytest.raises(Refusal):
            sessions.start(database, study, name, "open", "")
    assert all(Rater(database, study, f"rater {number}").session() for number in range(6))


def test_to_withdraw_deletes_the_answers(database: Database, study: Study, rater: Rater) -> None:
    rater.finish()
    with database.writing() as connection:
        sessions.comment(connection, rater.session(), "hello")
        sessions.withdraw(connection, rater.session())
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(trials_table)) == 0
        row = connection.execute(select(table)).mappings().one()
    assert row["state"] == "withdrawn"
    assert (row["comment"], row["environment"], row["code"], row["browser"]) == (None, None, None, "")
    assert all(Rater(database, study, f"rater {number}").session() for number in range(6))


def test_a_completed_place_is_never_given_out_again(database: Database, study: Study) -> None:
    for number in range(6):
        one = Rater(database, study, f"rater {number}")
        one.agree()
        one.finish()
    lapse(database)
    with pytest.raises(Refusal, match="taken"):
        sessions.start(database, study, "late", "open", "")
    with pytest.raises(Refusal, match="before") as refused:
        sessions.start(database, study, "rater 0", "open", "")
    assert (refused.value.status, refused.value.word, refused.value.more["code"]) == (409, "finished", "CODE")


def test_a_session_whose_place_is_lost_cannot_complete(database: Database, study: Study, rater: Rater) -> None:
    for trial in rater.to_come() or []:
        rater.show(trial.k)
        rater.answer(trial.k)
    stale = rater.session()
    lapse(database)
    for number in range(6):
        Rater(database, study, f"other {number}")
    with database.writing() as connection, pytest.raises(Refusal, match="too long"):
        trials.complete(connection, stale, "CODE")


def test_a_closed_study_lets_nobody_new_in(database: Database, study: Study, rater: Rater) -> None:
    with database.writing() as connection:
        studies.set_state(connection, study.id, "closed")
    with database.reading() as connection:
        closed = studies.get(connection, study.id)
    with pytest.raises(Refusal, match="closed"):
        sessions.start(database, closed, "new", "open", "")
    assert sessions.start(database, closed, "one", "open", "").session == rater.started.session
    assert Rater(database, closed, "one").finish().of == SMALL.scored


def test_links_let_in_those_who_have_one(database: Database, study: Study, request: pytest.FixtureRequest) -> None:
    invited = make_study(
        database,
        request.getfixturevalue("studies"),
        request.getfixturevalue("pictures"),
        name="invited",
        recruitment=Recruitment(by="link"),
    )
    with database.writing() as connection:
        [secret] = sessions.make_links(connection, invited, 1, "rater")
        with pytest.raises(Refusal, match="not by links"):
            sessions.make_links(connection, study, 1, "rater")
    assert sessions.start(database, invited, secret, "link", "").new
    assert not sessions.start(database, invited, secret, "link", "").new
    ways: tuple[tuple[str, Source], ...] = (("guess", "link"), (secret, "open"))
    for rater, source in ways:
        with pytest.raises(Refusal) as refused:
            sessions.start(database, invited, rater, source, "")
        assert refused.value.status == 403


def test_no_rater_is_stored_under_an_own_name(database: Database, study: Study) -> None:
    sessions.start(database, study, "5f2c-prolific-id", "open", "Mozilla/5.0 (X11) Firefox/128.3 secret-detail")
    with database.reading() as connection:
        row = connection.execute(select(table)).mappings().one()
    assert row["browser"] == "Firefox 128"
    assert row["rater"] == identity.pseudonym(study.key, "open", "5f2c-prolific-id")
    assert "prolific-id" not in str(dict(row))
    assert "secret-detail" not in str(dict(row))
