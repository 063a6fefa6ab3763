"""What the store gives away of sessions and trials: no secrets, and no names but pseudonyms."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from amt.protocol import Side
from amt.store.counts import state_at
from amt.store.schema import places, sessions, trials


class ShownTrial(NamedTuple):
    """A trial that was shown, with whose it was; times in seconds since 1970, pictures by number.

    `measured` is the answer as it came from the page.
    """

    session: str
    rater: str
    algorithm: str
    state: str
    phase: str
    real: int
    fake: int
    fake_side: Side
    void: str | None
    answered: float | None
    choice: Side | None
    response_ms: float | None
    measured: dict[str, Any]


class KeptSession(NamedTuple):
    """A session; times in seconds since 1970.

    Attributes:
        place: From 1, in the order in which places are given out.
        environment: What the page found out about the display.
        voids: Trials that were interrupted.
    """

    session: str
    rater: str
    algorithm: str
    place: int
    state: str
    created: float
    finished: float | None
    consent_version: str | None
    browser: str
    environment: dict[str, Any]
    verified: bool
    source: str
    voids: int
    comment: str | None


def shown_trials(connection: Connection, study: int, now: float) -> list[ShownTrial]:
    """All trials of a study that were shown: sessions in the order in which they began, trials as they were shown."""
    rows = connection.execute(
        select(
            sessions.c.id,
            sessions.c.rater,
            sessions.c.algorithm,
            state_at(now),
            trials.c.phase,
            trials.c.real,
            trials.c.fake,
            trials.c.fake_side,
            trials.c.void,
            trials.c.answered,
            trials.c.choice,
            trials.c.response_ms,
            trials.c.measured,
        )
        .join(sessions, sessions.c.id == trials.c.session)
        .join(places, places.c.id == sessions.c.place)
        .where(sessions.c.study == study, trials.c.shown.is_not(None))
        .order_by(sessions.c.created, sessions.c.id, trials.c.shown, trials.c.position, trials.c.k)
    )
    return [ShownTrial._make([*row[:-1], json.loads(row[-1] or "{}")]) for row in rows]


def kept_sessions(connection: Connection, study: int, now: float) -> list[KeptSession]:
    """All sessions of a study, in the order in which they began."""
    voids = (
        select(func.count())
        .select_from(trials)
        .where(trials.c.session == sessions.c.id, trials.c.void.is_not(None))
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            sessions.c.id,
            sessions.c.rater,
            sessions.c.algorithm,
            places.c.sequence + 1,
            state_at(now),
            sessions.c.created,
            sessions.c.finished,
            sessions.c.consent_version,
            sessions.c.browser,
            sessions.c.environment,
            sessions.c.verified,
            sessions.c.source,
            voids,
            sessions.c.comment,
        )
        .join(places, places.c.id == sessions.c.place)
        .where(sessions.c.study == study)
        .order_by(sessions.c.created, sessions.c.id)
    )
    return [KeptSession._make([*row[:9], json.loads(row[9] or "{}"), *row[10:]]) for row in rows]


def codes(connection: Connection, study: int) -> list[str]:
    """The completion codes of a study in alphabetical order, which says nothing of whose they are."""
    return sorted(
        connection.scalars(
            select(sessions.c.code).where(
                sessions.c.study == study, sessions.c.state == "completed", sessions.c.code.is_not(None)
            )
        )
    )
