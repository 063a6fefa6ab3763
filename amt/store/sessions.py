"""Sessions of raters: slot assignment, leases, consent, withdrawal, single-use links."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from amt import identity
from amt.errors import Refusal
from amt.recruitment import Source
from amt.store import counts, reveals
from amt.store.database import Database
from amt.store.schema import links, sessions, slots, trials
from amt.store.studies import Study

# Requests renew the lease, so only a rater who is away for this long can lose the slot; short enough that the slots of
# raters who left come back within the hour.
LEASE_SECONDS = 45 * 60
# Renewing on every request would make each a second write of the slot's row.
_RENEW_AFTER_SECONDS = 60

# running: has a slot while its lease lasts. abandoned: the lease ended and another rater took the slot. ended: too many
# interruptions. The other states are what they are called.
State = Literal["running", "completed", "abandoned", "ended", "declined", "ineligible", "withdrawn"]
STATES = get_args(State)
_OVER: dict[State, tuple[str, str]] = {
    "completed": ("finished", "You have finished this study before."),
    "abandoned": ("abandoned", "You were away for too long, and your place was given to someone else."),
    "ended": ("ended", "This study ended for you, because images were interrupted too often."),
    "declined": ("declined", "You chose not to take part."),
    "ineligible": ("ineligible", "This device or window does not fit the study."),
    "withdrawn": ("withdrawn", "You withdrew from this study, and your answers are deleted."),
}

# Statements of every request are built once: building one takes six times as long as executing it.
_IDENTIFY = (
    select(
        sessions.c.id,
        sessions.c.study,
        sessions.c.slot,
        sessions.c.state,
        sessions.c.consent_version,
        sessions.c.code,
        slots.c.lease,
    )
    .join(slots, slots.c.id == sessions.c.slot)
    .where(sessions.c.token == bindparam("digest"), sessions.c.id == bindparam("session"))
)


@dataclass(frozen=True)
class StartedSession:
    """Session that a rater may continue.

    Attributes:
        session: Its id.
        token: Its only valid token.
        new: Whether it was created just now.
        consented: Whether the rater has given consent.
    """

    session: str
    token: str
    new: bool
    consented: bool


@dataclass(frozen=True)
class Session:
    """Session behind a rater's request, at its beginning."""

    id: str
    study: int
    slot: int
    state: State
    consented: bool
    code: str | None
    lease: float


class _Slot(NamedTuple):
    id: int
    algorithm: str
    schedule: str
    session: str | None


def start(database: Database, study: Study, rater: str, source: Source, user_agent: str) -> StartedSession:
    """Find or create the session of a rater, under a pseudonym.

    The transaction that creates a session also assigns its slot, so a burst of raters cannot get more than there are.
    Starting again replaces the token: of two tabs, only the later one can continue.

    Raises:
        Refusal: 403 the link is unknown or of another kind; 409 the session is over; 410 no slot is free.
    """
    if source != study.recruitment.by:
        raise Refusal(403, "link", "This study is entered by another kind of link; use the one that you were sent.")
    # Keyed with the study's own secret: the same rater has unrelated pseudonyms in two studies, and nobody without the
    # key can test a guessed id.
    name = identity.pseudonym(study.key, source, rater)
    try:
        with database.writing() as connection:
            # Both in one transaction: two tabs of a rater get one session.
            return _find(connection, study, name) or _create(connection, study, name, source, user_agent)
    except IntegrityError:  # on PostgreSQL: a concurrent request of the same rater has created the session
        with database.writing() as connection:
            existing = _find(connection, study, name)
            # Another constraint failed then, which is a bug of ours.
            if existing is None:
                raise
            return existing


def identify(connection: Connection, session: str, token: str) -> Session:
    """Find the session of a token.

    Raises:
        Refusal: 401 the token is not the session's, or was replaced.
    """
    row = connection.execute(_IDENTIFY, {"digest": identity.digest(token), "session": session}).one_or_none()
    if row is None:
        raise Refusal(401, "token", "This study was opened in another tab or window, or the link is an old one.")
    return Session(row.id, row.study, row.slot, row.state, row.consent_version is not None, row.code, row.lease)


def require(session: Session, *states: State) -> None:
    """Refuse a session in another state. Raises Refusal 409."""
    if session.state not in states:
        word, message = _OVER.get(session.state, ("running", "The study is not finished yet."))
        raise Refusal(409, word, message)


def renew(connection: Connection, session: Session, now: float) -> None:
    """Extend a running session's lease, at most once per minute."""
    if session.state == "running" and session.lease - now < LEASE_SECONDS - _RENEW_AFTER_SECONDS:
        connection.execute(
            update(slots)
            .where(slots.c.id == session.slot, slots.c.session == session.id)
            .values(lease=now + LEASE_SECONDS)
        )


def environment(connection: Connection, session: Session, facts: Mapping[str, Any], *, eligible: bool) -> State:
    """Store facts on display and browser; an unsuitable device ends the session."""
    require(session, "running", "ineligible")
    connection.execute(
        update(sessions).where(sessions.c.id == session.id).values(environment=json.dumps(dict(facts), sort_keys=True))
    )
    if session.state == "running" and not eligible:
        return leave(connection, session, "ineligible")
    return session.state


def consent(connection: Connection, session: Session, version: str, *, agreed: bool) -> State:
    """Store consent with version and time; refusal ends the session."""
    require(session, "running", "declined")
    if session.state == "running" and not agreed:
        return leave(connection, session, "declined")
    if session.state == "running" and not session.consented:
        connection.execute(
            update(sessions).where(sessions.c.id == session.id).values(consent_version=version, consent_at=time.time())
        )
    return session.state


def comment(connection: Connection, session: Session, text: str) -> None:
    """Store a rater's comment on the study."""
    require(session, "running", "completed")
    connection.execute(update(sessions).where(sessions.c.id == session.id).values(comment=text))


def withdraw(connection: Connection, session: Session) -> None:
    """Delete a rater's answers, device facts and comment, and free the slot."""
    # The session's row stays, with its pseudonym: a rater who withdrew must not take part a second time.
    connection.execute(delete(trials).where(trials.c.session == session.id))
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session.id)
        .values(environment=None, comment=None, browser="", code=None, consent_version=None, consent_at=None)
    )
    leave(connection, session, "withdrawn")


def leave(connection: Connection, session: Session, state: State) -> State:
    """End a session without completing it, and free its slot."""
    connection.execute(update(sessions).where(sessions.c.id == session.id).values(state=state, finished=time.time()))
    connection.execute(
        # Another session may have the slot by now; it keeps it.
        update(slots).where(slots.c.id == session.slot, slots.c.session == session.id).values(lease=0.0)
    )
    return state


def make_links(connection: Connection, study: Study, count: int, label: str) -> dict[str, str]:
    """Make single-use links, with labels numbered on from those of existing links.

    Returns:
        Label of each link by its secret.

    Raises:
        Refusal: 409 the study recruits another way, or its identities are deleted.
    """
    if study.recruitment.by != "link":
        raise Refusal(409, "links", f"Raters come to this study by {study.recruitment.by}, not by links.")
    if reveals.when(connection, study, "forgotten") is not None:
        raise Refusal(409, "forgotten", "The raters' identities are deleted; links would let them take part twice.")
    first = 1 + counts.links_of(connection, study.id).made
    secrets = {identity.new_token(): f"{label} {i}" for i in range(first, first + count)}
    connection.execute(
        insert(links),
        [
            {"study": study.id, "rater": identity.pseudonym(study.key, "link", secret), "label": text}
            for secret, text in secrets.items()
        ],
    )
    return secrets


def known_link(connection: Connection, study: Study, rater: str) -> bool:
    """Whether a pseudonym is that of a link."""
    return connection.scalar(select(links.c.rater).where(links.c.study == study.id, links.c.rater == rater)) is not None


def _find(connection: Connection, study: Study, rater: str) -> StartedSession | None:
    row = connection.execute(
        select(sessions.c.id, sessions.c.state, sessions.c.code, sessions.c.slot, sessions.c.consent_version).where(
            sessions.c.study == study.id, sessions.c.rater == rater
        )
    ).one_or_none()
    if row is None:
        return None
    if row.state != "running":
        word, message = _OVER[row.state]
        finish = study.recruitment.redirect("completed") if row.state == "completed" else None
        raise Refusal(409, word, message, code=row.code, redirect=finish)
    # Only a digest is stored, so the old token cannot be returned again.
    token = identity.new_token()
    connection.execute(update(sessions).where(sessions.c.id == row.id).values(token=identity.digest(token)))
    connection.execute(
        update(slots).where(slots.c.id == row.slot, slots.c.session == row.id).values(lease=time.time() + LEASE_SECONDS)
    )
    return StartedSession(row.id, token, new=False, consented=row.consent_version is not None)


def _create(connection: Connection, study: Study, rater: str, source: Source, user_agent: str) -> StartedSession:
    if study.state != "open":
        raise Refusal(410, "closed", "This study is closed.")
    if source == "link" and not known_link(connection, study, rater):
        raise Refusal(403, "link", "This link is not one of this study's; check that it was copied whole.")
    # The slot is locked until the commit, so that two raters never get one schedule.
    slot = _take(connection, study, time.time())
    started = StartedSession(identity.new_id(), identity.new_token(), new=True, consented=False)
    connection.execute(
        insert(sessions).values(
            id=started.session,
            study=study.id,
            slot=slot.id,
            algorithm=slot.algorithm,
            rater=rater,
            source=source,
            verified=source == "link",
            token=identity.digest(started.token),
            state="running",
            created=time.time(),
            browser=identity.browser(user_agent),
        )
    )
    connection.execute(
        update(slots).where(slots.c.id == slot.id).values(session=started.session, lease=time.time() + LEASE_SECONDS)
    )
    # Trials are copied from the schedule, as voids and spares change them for this session only.
    connection.execute(insert(trials), _trials(started.session, json.loads(slot.schedule)))
    return started


def _take(connection: Connection, study: Study, now: float) -> _Slot:
    """Lock the first free slot; the session that held it is abandoned."""
    row = connection.execute(
        select(slots.c.id, slots.c.algorithm, slots.c.schedule, slots.c.session)
        .where(slots.c.study == study.id, slots.c.lease < now)
        # In the order of the index. Lapsed leases come after slots never assigned, so their raters may still return.
        .order_by(slots.c.lease, slots.c.sequence)
        .limit(1)
        # PostgreSQL: concurrent raters skip each other's slot. SQLite: the transaction holds the whole database.
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        raise Refusal(410, "full", "All places of this study are taken. Thank you for wanting to take part.")
    if row.session is not None:
        connection.execute(
            update(sessions)
            .where(sessions.c.id == row.session, sessions.c.state == "running")
            .values(state="abandoned", finished=now)
        )
    return _Slot(*row)


def _trials(session: str, schedule: list[tuple[str, int, int, str]]) -> list[dict[str, Any]]:
    return [
        {
            "session": session,
            "k": k,
            "position": None if phase == "spare" else k,
            "phase": phase,
            "real": real,
            "fake": fake,
            "fake_side": side,
            "left": identity.new_picture_token(),
            "right": identity.new_picture_token(),
        }
        for k, (phase, real, fake, side) in enumerate(schedule)
    ]
