"""Progress of a study as counts; none depends on what was answered."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from amt.store.schema import NEVER, links, sessions, slots, trials


class Tally(NamedTuple):
    """Slots, sessions by state, and answers of one algorithm.

    Attributes:
        slots: In total.
        done: Slots whose session is completed.
        running: Slots in use.
        free: Slots to be assigned.
        abandoned: Sessions whose rater went away.
        ended: Sessions with too many interruptions.
        declined: Sessions without consent.
        ineligible: Sessions on unsuitable devices.
        withdrawn: Sessions whose rater had the answers deleted.
        answers: Scored answers of all sessions.
    """

    slots: int = 0
    done: int = 0
    running: int = 0
    free: int = 0
    abandoned: int = 0
    ended: int = 0
    declined: int = 0
    ineligible: int = 0
    withdrawn: int = 0
    answers: int = 0

    def document(self) -> dict[str, int]:
        """Counts by their keys in JSON, in which slots are called places."""
        return {"places" if name == "slots" else name: count for name, count in self._asdict().items()}


class Links(NamedTuple):
    """Numbers of single-use links that were made and used."""

    made: int
    used: int


def state_at(now: float) -> ColumnElement[str]:
    """SQL for a session's state at `now`, joined with slots.

    A running session whose lease is over counts as abandoned. It is stored as such only when another rater takes the
    slot; until then its rater may return.
    """
    lost = or_(slots.c.lease < now, slots.c.session != sessions.c.id)
    return case((and_(sessions.c.state == "running", lost), "abandoned"), else_=sessions.c.state)


def tallies(connection: Connection, study: int, now: float) -> dict[str, Tally]:
    """Tally each algorithm of a study at `now`, in seconds since 1970."""
    # A slot's state is in its lease alone: NEVER once completed, in the past (0 at first) where free.
    done, free = slots.c.lease >= NEVER, slots.c.lease < now
    counts = {
        algorithm: {"slots": count, "done": finished, "free": left, "running": count - finished - left}
        for algorithm, count, finished, left in connection.execute(
            select(slots.c.algorithm, func.count(), _sum(done), _sum(free))
            .where(slots.c.study == study)
            .group_by(slots.c.algorithm)
        )
    }
    state = state_at(now).label("state")
    # Completed and running sessions are counted by their slots above.
    for algorithm, name, count in connection.execute(
        select(sessions.c.algorithm, state, func.count())
        .join(slots, slots.c.id == sessions.c.slot)
        .where(sessions.c.study == study, sessions.c.state != "completed")
        .group_by(sessions.c.algorithm, state)
    ):
        if name != "running":
            counts[algorithm][name] = count
    for algorithm, count in connection.execute(
        select(sessions.c.algorithm, func.count())
        .join(trials, trials.c.session == sessions.c.id)
        .where(sessions.c.study == study, trials.c.phase == "scored", trials.c.answered.is_not(None))
        .group_by(sessions.c.algorithm)
    ):
        # Answers of running and abandoned sessions are included: they show progress, not results.
        counts[algorithm]["answers"] = count
    return {algorithm: Tally(**counts[algorithm]) for algorithm in sorted(counts)}


def total(tallied: dict[str, Tally]) -> Tally:
    """Sum the tallies of all algorithms."""
    return Tally(*(sum(column) for column in zip(*tallied.values(), strict=True)))


def links_of(connection: Connection, study: int) -> Links:
    """Count a study's single-use links."""
    # A link is used once a session has its pseudonym; unused ones join NULL, which count(id) ignores.
    made, used = connection.execute(
        select(func.count(), func.count(sessions.c.id))
        .select_from(links)
        .outerjoin(sessions, and_(sessions.c.study == links.c.study, sessions.c.rater == links.c.rater))
        .where(links.c.study == study)
    ).one()
    return Links(made, used)


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """SQL for the number of rows that satisfy a condition."""
    # SUM of no rows is NULL.
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
