"""Trials: next, shown, answered; each request may be repeated and is carried out once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, bindparam, func, select, update

from amt.design import Phase
from amt.errors import counted
from amt.protocol import Protocol, Side
from amt.store import sessions
from amt.store.database import Database
from amt.store.schema import NEVER, Refusal, pictures, places, trials
from amt.store.schema import sessions as sessions_table
from amt.store.sessions import Session

Interruption = Literal["hidden", "blur", "resize"]


RELOAD = "reload"


_CLOCK_TOLERANCE_SECONDS = 0.1  # exposures may end half a frame early, and clocks are read at different moments


def _waiting(table: FromClause) -> ColumnElement[bool]:
    return table.c.answered.is_(None) & table.c.void.is_(None) & table.c.position.is_not(None)


_left = _waiting(trials)


_this = (trials.c.session == bindparam("its_session")) & (trials.c.k == bindparam("its_k"))


# What every trial needs is built once: to build a statement takes six times as long as to execute it.
_READ = (
    select(
        trials.c.phase,
        trials.c.position,
        trials.c.fake_side,
        trials.c.shown,
        trials.c.void,
        trials.c.answered,
        trials.c.measured,
    )
    .where(_this)
    .with_for_update()
)


_others = trials.alias()


_first = select(func.min(_others.c.position)).where(_others.c.session == bindparam("its_session"), _waiting(_others))


_SHOW = (
    update(trials)
    .where(_this, trials.c.shown.is_(None), trials.c.position == _first.scalar_subquery())
    .values(shown=bindparam("now"))
)


_ANSWER = (
    update(trials)
    .where(_this)
    .values({name: bindparam(f"new_{name}") for name in ("choice", "response_ms", "measured", "answered")})
)


@dataclass(frozen=True)
class Trial:
    """A trial to come: its number k, what it counts as, and the names of its two pictures."""

    k: int
    phase: Phase
    position: int
    left: str
    right: str


@dataclass(frozen=True)
class Answer:
    """What an answer says: the side taken for the fake, when, and what the page measured."""

    choice: Side
    response_ms: float
    measured: Mapping[str, Any]

    @property
    def canonical(self) -> str:
        """The whole answer as text: the same answer sent again is equal to it."""
        return json.dumps(
            {"choice": self.choice, "response_ms": self.response_ms, **self.measured},
            sort_keys=True,
            separators=(",", ":"),
        )


class Stored(NamedTuple):
    """A trial as it stands."""

    phase: Phase
    position: int | None
    fake_side: Side
    shown: float | None
    void: str | None
    answered: float | None
    measured: str | None


@dataclass(frozen=True)
class Completed:
    """How a session ended: its code, and how many of the scored fakes the rater found."""

    code: str
    correct: int
    of: int


def to_come(connection: Connection, session: Session) -> list[Trial] | None:
    """The trials that are left, in order, the next one first; None if the session ends now, for want of spare pairs.

    A trial that was shown and not answered is void, for this is asked after a reload: its pair is not shown again,
    and another stands in.

    Raises:
        Refusal: 403 there is no consent; 409 the session is over.
    """
    sessions.require(session, "running")
    if not session.consented:
        raise Refusal(403, "consent", "Nothing is shown before you agree to take part.")
    shown = connection.execute(
        select(trials.c.k).where(trials.c.session == session.id, _left, trials.c.shown.is_not(None))
    ).scalar_one_or_none()
    if shown is not None and not _void(connection, session, shown, RELOAD):
        return None
    rows = connection.execute(
        select(trials.c.k, trials.c.phase, trials.c.position, trials.c.left, trials.c.right)
        .where(trials.c.session == session.id, _left)
        .order_by(trials.c.position)
    )
    return [Trial(*row) for row in rows]


def show(connection: Connection, session: Session, k: int, now: float) -> None:
    """Keep that a trial is about to be shown; the first time counts.

    Raises:
        Refusal: 404 no such trial; 409 it is not the next one, was answered, or is void.
    """
    sessions.require(session, "running")
    trial = _trial(connection, session, k)
    _refuse_void(trial)
    if trial.answered is not None:
        raise Refusal(409, "answered", f"Trial {k} is answered.")
    if trial.shown is not None:
        return
    values = {"its_session": session.id, "its_k": k, "now": now}
    if not session.consented or not connection.execute(_SHOW, values).rowcount:
        raise Refusal(409, "order", f"Trial {k} is not the next one; ask for the next.")


def interrupt(connection: Connection, session: Session, k: int, reason: Interruption, protocol: Protocol) -> bool:
    """Void a trial whose images were hidden, blurred or resized while shown.

    Returns:
        Whether the session goes on: with a spare pair, unless there were too many interruptions.

    Raises:
        Refusal: 404 no such trial; 409 it was not shown, or is answered, or the session is over.
    """
    sessions.require(session, "running", "ended")
    trial = _trial(connection, session, k)
    if trial.void is None:
        sessions.require(session, "running")
        if trial.shown is None or trial.answered is not None:
            raise Refusal(409, "order", f"Trial {k} is not being shown.")
        if not _void(connection, session, k, reason):
            return False
        interruptions = connection.scalar(
            select(func.count())
            .select_from(trials)
            .where(trials.c.session == session.id, trials.c.void.is_not(None), trials.c.void != RELOAD)
        )
        if (interruptions or 0) > protocol.voids:
            sessions.leave(connection, session, "ended")
            return False
    return session.state == "running"


def answer(connection: Connection, session: Session, k: int, given: Answer, least_ms: int, now: float) -> Stored:
    """Keep an answer; sent again it is accepted again, and another in its place is not.

    Args:
        connection: Of a writing transaction.
        session: Whose.
        k: The trial.
        given: The answer.
        least_ms: How long after the showing an answer can come at the soonest, in milliseconds.
        now: Seconds since 1970.

    Returns:
        The trial, with `phase` and `fake_side`.

    Raises:
        Refusal: 404 no such trial; 409 it was not shown, is void, is answered otherwise (then with `stored`), or the
            answer comes sooner than the images can have been seen.
    """
    trial = _trial(connection, session, k)
    _refuse_void(trial)
    if trial.answered is not None:
        if trial.measured != given.canonical:
            raise Refusal(
                409, "conflict", f"Trial {k} has another answer.", stored=json.loads(trial.measured or "null")
            )
        return trial
    sessions.require(session, "running")
    if trial.shown is None:
        raise Refusal(409, "order", f"Trial {k} has not been shown.")
    elapsed = now - trial.shown
    if 0 <= elapsed < least_ms / 1000 - _CLOCK_TOLERANCE_SECONDS:  # below 0 the clock was set back: nothing is known
        raise Refusal(409, "early", f"Trial {k} was answered before both images can have been seen.")
    connection.execute(
        _ANSWER,
        {
            "its_session": session.id,
            "its_k": k,
            "new_choice": given.choice,
            "new_response_ms": given.response_ms,
            "new_measured": given.canonical,
            "new_answered": now,
        },
    )
    return trial


def complete(connection: Connection, session: Session, code: str) -> Completed:
    """End a session whose trials are all answered; asked again, it gives the same code.

    Args:
        connection: Of a writing transaction.
        session: Whose.
        code: For a session that has none yet.

    Raises:
        Refusal: 409 trials are left, or the session is over without being completed.
    """
    sessions.require(session, "running", "completed")
    if session.state == "running":
        left = connection.scalar(select(func.count()).select_from(trials).where(trials.c.session == session.id, _left))
        if left:
            raise Refusal(409, "unfinished", f"{counted(left, 'trial')} left.", left=left)
        kept = connection.execute(
            update(places).where(places.c.id == session.place, places.c.session == session.id).values(lease=NEVER)
        )
        if not kept.rowcount:  # lost to another rater at this very moment
            raise Refusal(409, "abandoned", "You were away for too long, and your place was given to someone else.")
        connection.execute(
            update(sessions_table)
            .where(sessions_table.c.id == session.id)
            .values(state="completed", finished=time.time(), code=code)
        )
    right = trials.c.choice == trials.c.fake_side
    scored = (trials.c.session == session.id) & (trials.c.phase == "scored") & trials.c.answered.is_not(None)
    of = connection.scalar(select(func.count()).select_from(trials).where(scored)) or 0
    correct = connection.scalar(select(func.count()).select_from(trials).where(scored, right)) or 0
    return Completed(session.code or code, correct, of)


def _trial(connection: Connection, session: Session, k: int) -> Stored:
    row = connection.execute(_READ, {"its_session": session.id, "its_k": k}).one_or_none()
    if row is None:
        raise Refusal(404, "trial", f"This session has no trial {k}.")
    return Stored(*row)


def _refuse_void(trial: Stored) -> None:
    if trial.void is not None:
        raise Refusal(409, "void", "This trial was interrupted, and another pair stands in for it.")


def _void(connection: Connection, session: Session, k: int, reason: str) -> bool:
    """Void a trial and let a spare stand in at its place; without one left the session ends, and this is False."""
    voided = _trial(connection, session, k)
    connection.execute(update(trials).where(trials.c.session == session.id, trials.c.k == k).values(void=reason))
    spare = connection.execute(
        select(trials.c.k, trials.c.fake)
        .where(trials.c.session == session.id, trials.c.position.is_(None))
        .order_by(trials.c.k)
        .limit(1)
    ).one_or_none()
    if spare is None:
        sessions.leave(connection, session, "ended")
        return False
    fake = _broken(connection, spare.fake) if voided.phase == "attention" else spare.fake
    connection.execute(
        update(trials)
        .where(trials.c.session == session.id, trials.c.k == spare.k)
        .values(position=voided.position, phase=voided.phase, fake_side=voided.fake_side, fake=fake)
    )
    return True


def _broken(connection: Connection, fake: int) -> int:
    """The broken fake of the same algorithm and item."""
    whole, broken = pictures.alias(), pictures.alias()
    found: int = connection.execute(
        select(broken.c.id)
        .join(
            whole,
            (whole.c.study == broken.c.study)
            & (whole.c.algorithm == broken.c.algorithm)
            & (whole.c.item == broken.c.item),
        )
        .where(whole.c.id == fake, broken.c.kind == "broken")
    ).scalar_one()
    return found


class Truth(NamedTuple):
    """What a trial shows: the algorithm and the item of its fake, and where it is."""

    algorithm: str
    item: str
    fake_side: Side


def truth(database: Database, session: str) -> dict[int, Truth]:
    """The truth of all trials of a session, by k; a spare's is as it stands now."""
    with database.reading() as connection:
        rows = connection.execute(
            select(trials.c.k, sessions_table.c.algorithm, pictures.c.item, trials.c.fake_side)
            .join(sessions_table, sessions_table.c.id == trials.c.session)
            .join(pictures, pictures.c.id == trials.c.fake)
            .where(trials.c.session == session)
        )
        return {k: Truth(algorithm, item, fake_side) for k, algorithm, item, fake_side in rows}
