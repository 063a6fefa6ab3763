"""Trials of a session: served, shown, voided, answered; every request is idempotent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, bindparam, func, select, update

from amt.design import Phase
from amt.errors import Refusal, counted
from amt.protocol import Protocol, Side
from amt.store import sessions
from amt.store.database import Database
from amt.store.schema import NEVER, pictures, slots, trials
from amt.store.schema import sessions as sessions_table
from amt.store.sessions import Session

Interruption = Literal["hidden", "blur", "resize"]
RELOAD = "reload"
_CLOCK_TOLERANCE_SECONDS = 0.1  # exposures may end half a frame early, and clocks are read at different moments


def _waiting(table: FromClause) -> ColumnElement[bool]:
    """SQL for trials still to be answered; unused spares are not."""
    return table.c.answered.is_(None) & table.c.void.is_(None) & table.c.position.is_not(None)


_left = _waiting(trials)
_this = (trials.c.session == bindparam("its_session")) & (trials.c.k == bindparam("its_k"))
_others = trials.alias()
_first = select(func.min(_others.c.position)).where(_others.c.session == bindparam("its_session"), _waiting(_others))

# Statements of every trial are built once: building one takes six times as long as executing it.
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
    .with_for_update()  # PostgreSQL: two requests for one trial run in turn
)
# Only the first waiting trial can be shown, and only once: checked and written in one statement.
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
    """Upcoming trial: number k, phase, position and the tokens of its pictures."""

    k: int
    phase: Phase
    position: int
    left: str
    right: str


@dataclass(frozen=True)
class TrialAnswer:
    """Answer to a trial: chosen side, response time, measurements."""

    choice: Side
    response_ms: float
    measured: Mapping[str, Any]

    @property
    def canonical(self) -> str:
        """Canonical JSON of the answer, equal for an answer sent again."""
        return json.dumps(
            {"choice": self.choice, "response_ms": self.response_ms, **self.measured},
            sort_keys=True,
            separators=(",", ":"),
        )


class StoredTrial(NamedTuple):
    """Present state of a trial."""

    phase: Phase
    position: int | None
    fake_side: Side
    shown: float | None
    void: str | None
    answered: float | None
    measured: str | None


@dataclass(frozen=True)
class Completion:
    """Completion code of a session, and its number of correct answers."""

    code: str
    correct: int
    of: int


def to_come(connection: Connection, session: Session) -> list[Trial] | None:
    """List the remaining trials; None if the session ends without spares.

    The page requests this after a reload, so a trial that was shown and not answered is void: its pair is not shown
    again, and a spare replaces it.

    Raises:
        Refusal: 403 consent is missing; 409 the session is over.
    """
    sessions.require(session, "running")
    if not session.consented:
        raise Refusal(403, "consent", "Nothing is shown before you agree to take part.")
    shown = connection.execute(
        select(trials.c.k).where(trials.c.session == session.id, _left, trials.c.shown.is_not(None))
    ).scalar_one_or_none()
    # The rater saw the pair for an unknown time before the reload.
    # At most one trial is shown and unanswered, as only the first waiting one can be shown.
    if shown is not None and not _void(connection, session, shown, RELOAD):
        return None
    rows = connection.execute(
        select(trials.c.k, trials.c.phase, trials.c.position, trials.c.left, trials.c.right)
        .where(trials.c.session == session.id, _left)
        .order_by(trials.c.position)
    )
    return [Trial(*row) for row in rows]


def show(connection: Connection, session: Session, k: int, now: float) -> None:
    """Record the first showing of a trial, just before it begins.

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
        raise Refusal(409, "order", f"Trial {k} is not the next one; request the next.")


def interrupt(connection: Connection, session: Session, k: int, reason: Interruption, protocol: Protocol) -> bool:
    """Void a trial whose images were hidden, blurred or resized while shown.

    Returns:
        Whether the session continues, with a spare pair: it does not after too many interruptions.

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
        # Reloads are not counted: a connection may force them.
        interruptions = connection.scalar(
            select(func.count())
            .select_from(trials)
            .where(trials.c.session == session.id, trials.c.void.is_not(None), trials.c.void != RELOAD)
        )
        # Beyond the protocol's limit the session ends, and its slot is free for another rater.
        if (interruptions or 0) > protocol.voids:
            sessions.leave(connection, session, "ended")
            return False
    return session.state == "running"


def answer(
    connection: Connection, session: Session, k: int, given: TrialAnswer, least_ms: int, now: float
) -> StoredTrial:
    """Store an answer; a repeated one is accepted, a different one refused.

    Args:
        connection: A writing transaction.
        session: The rater's session.
        k: Number of the trial.
        given: The answer.
        least_ms: Earliest possible answer, in milliseconds after the showing.
        now: Seconds since 1970.

    Returns:
        The trial as it was before.

    Raises:
        Refusal: 404 no such trial; 409 it was not shown, is void, has a different answer (then with `stored`), or the
            answer comes before both images can have been seen.
    """
    trial = _trial(connection, session, k)
    _refuse_void(trial)
    # The whole answer is compared, so that a second answer is not taken for a repeated request.
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
    if 0 <= elapsed < least_ms / 1000 - _CLOCK_TOLERANCE_SECONDS:  # negative after the clock was set back
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


def complete(connection: Connection, session: Session, code: str) -> Completion:
    """Complete a fully answered session; repeated, return the same code.

    Args:
        connection: A writing transaction.
        session: The rater's session.
        code: Code for a session that has none yet.

    Raises:
        Refusal: 409 trials are left, or the session ended without completion.
    """
    sessions.require(session, "running", "completed")
    if session.state == "running":
        left = connection.scalar(select(func.count()).select_from(trials).where(trials.c.session == session.id, _left))
        if left:
            raise Refusal(409, "unfinished", f"{counted(left, 'trial')} left.", left=left)
        # The lease NEVER takes the slot out of circulation. The condition on the session makes it an atomic test:
        # without it, a session that lost its slot a moment ago would complete as well.
        kept = connection.execute(
            update(slots).where(slots.c.id == session.slot, slots.c.session == session.id).values(lease=NEVER)
        )
        if not kept.rowcount:  # another rater took the slot since `session` was read
            raise Refusal(409, "abandoned", "You were away for too long, and your place was given to someone else.")
        connection.execute(
            update(sessions_table)
            .where(sessions_table.c.id == session.id)
            .values(state="completed", finished=time.time(), code=code)
        )
    right = trials.c.choice == trials.c.fake_side
    # Practice, attention checks and void trials do not count in what the rater is shown at the end.
    scored = (trials.c.session == session.id) & (trials.c.phase == "scored") & trials.c.answered.is_not(None)
    of = connection.scalar(select(func.count()).select_from(trials).where(scored)) or 0
    correct = connection.scalar(select(func.count()).select_from(trials).where(scored, right)) or 0
    return Completion(session.code or code, correct, of)


def _trial(connection: Connection, session: Session, k: int) -> StoredTrial:
    row = connection.execute(_READ, {"its_session": session.id, "its_k": k}).one_or_none()
    if row is None:
        raise Refusal(404, "trial", f"This session has no trial {k}.")
    return StoredTrial(*row)


def _refuse_void(trial: StoredTrial) -> None:
    if trial.void is not None:
        raise Refusal(409, "void", "This trial was interrupted, and another pair replaces it.")


def _void(connection: Connection, session: Session, k: int, reason: str) -> bool:
    """Void a trial and replace it by a spare; False without one."""
    # The spare adopts position, phase and side, so the schedule stays balanced.
    voided = _trial(connection, session, k)
    connection.execute(update(trials).where(trials.c.session == session.id, trials.c.k == k).values(void=reason))
    # Spares by number: which pair replaces which is decided by the schedule, not by the moment.
    spare = connection.execute(
        select(trials.c.k, trials.c.fake)
        .where(trials.c.session == session.id, trials.c.position.is_(None))
        .order_by(trials.c.k)
        .limit(1)
    ).one_or_none()
    if spare is None:
        sessions.leave(connection, session, "ended")
        return False
    # An attention check needs an obviously broken fake; the spare's own is an ordinary one.
    fake = _broken(connection, spare.fake) if voided.phase == "attention" else spare.fake
    connection.execute(
        update(trials)
        .where(trials.c.session == session.id, trials.c.k == spare.k)
        .values(position=voided.position, phase=voided.phase, fake_side=voided.fake_side, fake=fake)
    )
    return True


def _broken(connection: Connection, fake: int) -> int:
    """Number of the broken fake of the same algorithm and item."""
    whole, broken = pictures.alias(), pictures.alias()
    number: int = connection.execute(
        select(broken.c.id)
        .join(
            whole,
            (whole.c.study == broken.c.study)
            & (whole.c.algorithm == broken.c.algorithm)
            & (whole.c.item == broken.c.item),
        )
        .where(whole.c.id == fake, broken.c.kind == "broken")
    ).scalar_one()
    return number


class TrialTruth(NamedTuple):
    """Algorithm, item and side of a trial's fake."""

    algorithm: str
    item: str
    fake_side: Side


def truth(database: Database, session: str) -> dict[int, TrialTruth]:
    """Truth of a session's trials by k; a spare's may still change."""
    with database.reading() as connection:
        rows = connection.execute(
            select(trials.c.k, sessions_table.c.algorithm, pictures.c.item, trials.c.fake_side)
            .join(sessions_table, sessions_table.c.id == trials.c.session)
            .join(pictures, pictures.c.id == trials.c.fake)
            .where(trials.c.session == session)
        )
        return {k: TrialTruth(algorithm, item, fake_side) for k, algorithm, item, fake_side in rows}
