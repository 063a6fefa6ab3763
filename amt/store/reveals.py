"""What a study's closing allows, and what is on record of it: looks at its results, reopening, forgetting who was who.

Whoever looks at results and then goes on collecting can stop when they please, and the intervals no longer hold. So a
look before the end is kept: one that was asked for, and one at a closed study that was then opened again.
"""

from __future__ import annotations

import secrets
import time
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from amt import identity
from amt.store import studies
from amt.store.database import Database
from amt.store.schema import Refusal, about, links, places, sessions
from amt.store.schema import studies as studies_table
from amt.store.studies import Study

_Event = Literal["seen", "forgotten"]


def results_allowed(study: Study) -> bool:
    """Whether results and answers may be shown: it is closed, or they were looked at before."""
    return study.state == "closed" or study.revealed is not None


def seen(connection: Connection, study: Study) -> None:
    """Keep that the results of a closed study were looked at; the first time counts."""
    if study.revealed is None:
        _keep(connection, study, "seen")


def when(connection: Connection, study: Study, event: _Event) -> float | None:
    """When it happened first, in seconds since 1970."""
    value = connection.scalar(select(about.c.value).where(about.c.key == _key(study, event)))
    return None if value is None else float(value)


def close(connection: Connection, study: Study) -> None:
    """Close a study to new raters; those who have begun go on."""
    studies.set_state(connection, study.id, "closed")


def reopen(connection: Connection, study: Study) -> None:
    """Open a study again; that its results have been looked at is from then on a look before the end.

    Raises:
        Refusal: 409 who was who is forgotten, so that a rater could come twice.
    """
    if when(connection, study, "forgotten") is not None:
        raise Refusal(409, "forgotten", "Its raters' identities are forgotten, so that one of them could come twice.")
    looked = when(connection, study, "seen")
    if looked is not None:
        studies.reveal(connection, study.id)
    studies.set_state(connection, study.id, "open")


def forget(database: Database, study: Study) -> None:
    """Make it impossible to find out which rater a session was of: new key, random pseudonyms, no links, no codes.

    On SQLite the old values are overwritten in the file; on PostgreSQL the next VACUUM does it.

    Raises:
        Refusal: 409 the study is open, or a session is running, whose rater may have to be known again.
    """
    with database.writing() as connection:
        if database.kind == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        if studies.get(connection, study.id).state != "closed":
            raise Refusal(409, "open", "The study is open, and its raters must be known if they come again. Close it.")
        running = connection.scalar(
            select(func.count())
            .select_from(sessions)
            .join(places, places.c.id == sessions.c.place)
            .where(sessions.c.study == study.id, sessions.c.state == "running", places.c.lease >= time.time())
        )
        if running:
            raise Refusal(409, "running", f"Sessions that are still running: {running}. Wait for their end.")
        ids = list(connection.scalars(select(sessions.c.id).where(sessions.c.study == study.id)))
        for session in ids:
            connection.execute(
                update(sessions).where(sessions.c.id == session).values(rater=identity.new_id(), code=None)
            )
        connection.execute(delete(links).where(links.c.study == study.id))
        connection.execute(
            update(studies_table).where(studies_table.c.id == study.id).values(key=secrets.token_hex(32))
        )
        _keep(connection, study, "forgotten")
    if database.kind == "sqlite":
        with database.reading() as connection:  # outside any transaction: the write-ahead log is emptied
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _keep(connection: Connection, study: Study, event: _Event) -> None:
    connection.execute(select(studies_table.c.id).where(studies_table.c.id == study.id).with_for_update())  # one by one
    if when(connection, study, event) is None:
        connection.execute(insert(about).values(key=_key(study, event), value=repr(time.time())))


def _key(study: Study, event: _Event) -> str:
    return f"{event} {study.id}"
