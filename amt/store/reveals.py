"""Reveals of a study's results, its closing and reopening, and anonymisation.

Looking at results before a study ends allows optional stopping, which invalidates its intervals. So an early
reveal is recorded: one on demand, and one of a closed study that was then reopened.
"""

from __future__ import annotations

import secrets
import time
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from amt import identity
from amt.errors import Refusal
from amt.store import studies
from amt.store.database import Database
from amt.store.schema import about, links, sessions, slots
from amt.store.schema import studies as studies_table
from amt.store.studies import Study

_Event = Literal["seen", "forgotten"]


def results_allowed(study: Study) -> bool:
    """Whether results may be shown: after closing, or after a reveal."""
    return study.state == "closed" or study.revealed is not None


def seen(connection: Connection, study: Study) -> None:
    """Record the first view of a closed study's results."""
    # A study that was revealed early stays so; a later look adds nothing.
    if study.revealed is None:
        _keep(connection, study, "seen")


def when(connection: Connection, study: Study, event: _Event) -> float | None:
    """First time of an event in seconds since 1970, or None."""
    value = connection.scalar(select(about.c.value).where(about.c.key == _key(study, event)))
    return None if value is None else float(value)


def close(connection: Connection, study: Study) -> None:
    """Close a study to new raters; running sessions may finish."""
    studies.set_state(connection, study.id, "closed")


def reopen(connection: Connection, study: Study) -> None:
    """Reopen a study; an earlier view becomes an early reveal.

    Raises:
        Refusal: 409 identities are deleted, so a rater could take part twice.
    """
    if when(connection, study, "forgotten") is not None:
        raise Refusal(409, "forgotten", "The raters' identities are deleted, so a rater could take part twice.")
    if when(connection, study, "seen") is not None:
        # Raters who come after the reopening may be there because of what was seen.
        studies.reveal(connection, study.id)
    studies.set_state(connection, study.id, "open")


def forget(database: Database, study: Study) -> None:
    """Delete identities: new key, random pseudonyms, no links, no completion codes.

    On SQLite the old values are overwritten in the file; on PostgreSQL the next VACUUM removes them.

    Raises:
        Refusal: 409 the study is open or a session is running, so raters may have to be recognised.
    """
    with database.writing() as connection:
        if database.kind == "sqlite":  # zeroes deleted content instead of leaving it in free pages
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        if studies.get(connection, study.id).state != "closed":
            raise Refusal(409, "open", "The study is open, so returning raters must be recognised. Close it first.")
        running = connection.scalar(
            select(func.count())
            .select_from(sessions)
            .join(slots, slots.c.id == sessions.c.slot)
            .where(sessions.c.study == study.id, sessions.c.state == "running", slots.c.lease >= time.time())
        )
        if running:
            raise Refusal(409, "running", f"Sessions still running: {running}. Wait for their end.")
        # One by one, as each session gets a pseudonym of its own.
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
        # The write-ahead log still holds the old values, and is emptied only outside a transaction: by the driver.
        with database.reading() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _keep(connection: Connection, study: Study, event: _Event) -> None:
    # Row lock, so that of two requests at once on PostgreSQL the second sees the first's record.
    connection.execute(select(studies_table.c.id).where(studies_table.c.id == study.id).with_for_update())
    if when(connection, study, event) is None:
        connection.execute(insert(about).values(key=_key(study, event), value=repr(time.time())))


def _key(study: Study, event: _Event) -> str:
    return f"{event} {study.id}"
