"""How far a study is, as numbers; nothing here knows what was answered."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from amt.store.schema import NEVER, links, places, sessions, trials


class Tally(NamedTuple):
    """One algorithm's places, sessions by how they are, and answers.

    Attributes:
        places: In all.
        done: Completed.
        running: Taken at the moment.
        free: To be given out.
        abandoned: Sessions whose rater went away.
        ended: Sessions with too many interruptions.
        declined: Raters who did not consent.
        ineligible: Devices that did not fit.
        withdrawn: Raters who had their answers deleted.
        answers: Scored answers, of whatever session.
    """

    places: int = 0
    done: int = 0
    running: int = 0
    free: int = 0
    abandoned: int = 0
    ended: int = 0
    declined: int = 0
    ineligible: int = 0
    withdrawn: int = 0
    answers: int = 0


class Links(NamedTuple):
    """Single-use links: how many there are, and how many have been used."""

    made: int
    used: int


def state_at(now: float) -> ColumnElement[str]:
    """A session's state, where sessions are joined with places: one whose lease is over is abandoned.

    The store says so only when another rater takes the place; until then the first may come back.
    """
    lost = or_(places.c.lease < now, places.c.session != sessions.c.id)
    return case((and_(sessions.c.state == "running", lost), "abandoned"), else_=sessions.c.state)


def tallies(connection: Connection, study: int, now: float) -> dict[str, Tally]:
    """The tally of each algorithm of a study at `now`, in seconds since 1970."""
    done, free = places.c.lease >= NEVER, places.c.lease < now
    found = {
        algorithm: {"places": count, "done": finished, "free": left, "running": count - finished - left}
        for algorithm, count, finished, left in connection.execute(
            select(places.c.algorithm, func.count(), _sum(done), _sum(free))
            .where(places.c.study == study)
            .group_by(places.c.algorithm)
        )
    }
    state = state_at(now).label("state")
    for algorithm, name, count in connection.execute(
        select(sessions.c.algorithm, state, func.count())
        .join(places, places.c.id == sessions.c.place)
        .where(sessions.c.study == study, sessions.c.state != "completed")
        .group_by(sessions.c.algorithm, state)
    ):
        if name != "running":
            found[algorithm][name] = count
    for algorithm, count in connection.execute(
        select(sessions.c.algorithm, func.count())
        .join(trials, trials.c.session == sessions.c.id)
        .where(sessions.c.study == study, trials.c.phase == "scored", trials.c.answered.is_not(None))
        .group_by(sessions.c.algorithm)
    ):
        found[algorithm]["answers"] = count
    return {algorithm: Tally(**found[algorithm]) for algorithm in sorted(found)}


def total(tallied: dict[str, Tally]) -> Tally:
    """All algorithms together."""
    return Tally(*(sum(column) for column in zip(*tallied.values(), strict=True)))


def links_of(connection: Connection, study: int) -> Links:
    """A study's single-use links."""
    made, used = connection.execute(
        select(func.count(), func.count(sessions.c.id))
        .select_from(links)
        .outerjoin(sessions, and_(sessions.c.study == links.c.study, sessions.c.rater == links.c.rater))
        .where(links.c.study == study)
    ).one()
    return Links(made, used)


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
