"""Sessions and single-use links: a rater takes a slot, keeps it by a lease, and leaves it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from amt import identity
from amt.recruitment import Source
from amt.store import counts, reveals
from amt.store.database import Database
from amt.store.schema import Refusal, links, places, sessions, trials
from amt.store.studies import Study

LEASE_SECONDS = 45 * 60


_RENEW_AFTER_SECONDS = 60


# running: has a place, until its lease ends. abandoned: the lease ended and another rater has the place. ended: too
# many interruptions. The others say themselves.
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


@dataclass(frozen=True)
class Started:
    """A session that a rater may go on with: its id, its only valid token, whether it is new, and has consent."""

    session: str
    token: str
    new: bool
    consented: bool


# What every request does is built once: to build a statement takes six times as long as to execute it.
_IDENTIFY = (
    select(
        sessions.c.id,
        sessions.c.study,
        sessions.c.place,
        sessions.c.state,
        sessions.c.consent_version,
        sessions.c.code,
        places.c.lease,
    )
    .join(places, places.c.id == sessions.c.place)
    .where(sessions.c.token == bindparam("digest"), sessions.c.id == bindparam("session"))
)


class _Place(NamedTuple):
    id: int
    algorithm: str
    schedule: str
    session: str | None


@dataclass(frozen=True)
class Session:
    """Who is asking, as every request of a rater finds it."""

    id: str
    study: int
    place: int
    state: State
    consented: bool
    code: str | None
    lease: float


def start(database: Database, study: Study, rater: str, source: Source, user_agent: str) -> Started:
    """Find or create the session of a rater, who is known by `rater` from here on only under a pseudonym.

    A place is taken in the transaction that creates the session, so that no burst gives out more than there are. To
    start again replaces the token: of two tabs, the later one goes on.

    Raises:
        Refusal: 403 the link is unknown or the way in is another; 409 the session is over; 410 no place is free.
    """
    if source != study.recruitment.by:
        raise Refusal(403, "link", "This study is entered by another kind of link; use the one that you were sent.")
    name = identity.pseudonym(study.key, source, rater)
    try:
        with database.writing() as connection:
            return _find(connection, study, name) or _create(connection, study, name, source, user_agent)
    except IntegrityError:  # the same rater at the same moment, on PostgreSQL; the other request has made the session
        with database.writing() as connection:
            found = _find(connection, study, name)
            if found is None:
                raise
            return found


def identify(connection: Connection, session: str, token: str) -> Session:
    """The session that a token is for.

    Raises:
        Refusal: 401 the token is not that of the session, or was replaced.
    """
    row = connection.execute(_IDENTIFY, {"digest": identity.digest(token), "session": session}).one_or_none()
    if row is None:
        raise Refusal(401, "token", "This study was opened in another tab or window, or the link is an old one.")
    return Session(row.id, row.study, row.place, row.state, row.consent_version is not None, row.code, row.lease)


def require(session: Session, *states: State) -> None:
    """Refuse a session in another state. Raises Refusal 409."""
    if session.state not in states:
        word, message = _OVER.get(session.state, ("running", "The study is not finished yet."))
        raise Refusal(409, word, message)


def renew(connection: Connection, session: Session, now: float) -> None:
    """Put off the end of a running session's lease; not at every request, as a write costs."""
    if session.state == "running" and session.lease - now < LEASE_SECONDS - _RENEW_AFTER_SECONDS:
        connection.execute(
            update(places)
            .where(places.c.id == session.place, places.c.session == session.id)
            .values(lease=now + LEASE_SECONDS)
        )


def environment(connection: Connection, session: Session, facts: Mapping[str, Any], *, eligible: bool) -> State:
    """Keep what the page says of display and browser; the place of one that does not fit is freed."""
    require(session, "running", "ineligible")
    connection.execute(
        update(sessions).where(sessions.c.id == session.id).values(environment=json.dumps(dict(facts), sort_keys=True))
    )
    if session.state == "running" and not eligible:
        return leave(connection, session, "ineligible")
    return session.state


def consent(connection: Connection, session: Session, version: str, *, agreed: bool) -> State:
    """Keep that a rater agreed, to which text and when; the place of one who did not is freed."""
    require(session, "running", "declined")
    if session.state == "running" and not agreed:
        return leave(connection, session, "declined")
    if session.state == "running" and not session.consented:
        connection.execute(
            update(sessions).where(sessions.c.id == session.id).values(consent_version=version, consent_at=time.time())
        )
    return session.state


def comment(connection: Connection, session: Session, text: str) -> None:
    """Keep what a rater says of the study."""
    require(session, "running", "completed")
    connection.execute(update(sessions).where(sessions.c.id == session.id).values(comment=text))


def withdraw(connection: Connection, session: Session) -> None:
    """Delete a rater's answers and what was kept of the rater's device and words, and free the place."""
    connection.execute(delete(trials).where(trials.c.session == session.id))
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session.id)
        .values(environment=None, comment=None, browser="", code=None, consent_version=None, consent_at=None)
    )
    leave(connection, session, "withdrawn")


def leave(connection: Connection, session: Session, state: State) -> State:
    """End a session without completing it; its place is free again."""
    connection.execute(update(sessions).where(sessions.c.id == session.id).values(state=state, finished=time.time()))
    connection.execute(
        update(places).where(places.c.id == session.place, places.c.session == session.id).values(lease=0.0)
    )
    return state


def _find(connection: Connection, study: Study, rater: str) -> Started | None:
    row = connection.execute(
        select(sessions.c.id, sessions.c.state, sessions.c.code, sessions.c.place, sessions.c.consent_version).where(
            sessions.c.study == study.id, sessions.c.rater == rater
        )
    ).one_or_none()
    if row is None:
        return None
    if row.state != "running":
        word, message = _OVER[row.state]
        finish = study.recruitment.redirect("completed") if row.state == "completed" else None
        raise Refusal(409, word, message, code=row.code, redirect=finish)
    token = identity.new_token()
    connection.execute(update(sessions).where(sessions.c.id == row.id).values(token=identity.digest(token)))
    connection.execute(
        update(places)
        .where(places.c.id == row.place, places.c.session == row.id)
        .values(lease=time.time() + LEASE_SECONDS)
    )
    return Started(row.id, token, new=False, consented=row.consent_version is not None)


def _create(connection: Connection, study: Study, rater: str, source: Source, user_agent: str) -> Started:
    if study.state != "open":
        raise Refusal(410, "closed", "This study is closed.")
    if source == "link" and not known_link(connection, study, rater):
        raise Refusal(403, "link", "This link is not one of this study's; check that it was copied whole.")
    place = _take(connection, study, time.time())
    started = Started(identity.new_id(), identity.new_token(), new=True, consented=False)
    connection.execute(
        insert(sessions).values(
            id=started.session,
            study=study.id,
            place=place.id,
            algorithm=place.algorithm,
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
        update(places).where(places.c.id == place.id).values(session=started.session, lease=time.time() + LEASE_SECONDS)
    )
    connection.execute(insert(trials), _trials(started.session, json.loads(place.schedule)))
    return started


def _take(connection: Connection, study: Study, now: float) -> _Place:
    """The first free place, held until the transaction ends; the session that let its lease end loses it."""
    row = connection.execute(
        select(places.c.id, places.c.algorithm, places.c.schedule, places.c.session)
        .where(places.c.study == study.id, places.c.lease < now)
        .order_by(places.c.lease, places.c.sequence)  # as indexed; those whose rater may yet come back go last
        .limit(1)
        .with_for_update(skip_locked=True)  # on SQLite the whole transaction holds the database already
    ).one_or_none()
    if row is None:
        raise Refusal(410, "full", "All places of this study are taken. Thank you for wanting to take part.")
    if row.session is not None:
        connection.execute(
            update(sessions)
            .where(sessions.c.id == row.session, sessions.c.state == "running")
            .values(state="abandoned", finished=now)
        )
    return _Place(*row)


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


def make_links(connection: Connection, study: Study, count: int, label: str) -> dict[str, str]:
    """Make links; a number follows the label of each, on from those that there are.

    Returns:
        The links' secrets with their labels.

    Raises:
        Refusal: 409 raters come to this study another way, or their identities are forgotten.
    """
    if study.recruitment.by != "link":
        raise Refusal(409, "links", f"Raters come to this study by {study.recruitment.by}, not by links.")
    if reveals.when(connection, study, "forgotten") is not None:
        raise Refusal(409, "forgotten", "Its raters' identities are forgotten; links would let them come twice.")
    first = 1 + counts.links_of(connection, study.id).made
    secrets = {identity.new_token(): f"{label} {number}" for number in range(first, first + count)}
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
