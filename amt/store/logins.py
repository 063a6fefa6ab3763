"""The researcher's password and logins. One account; tries are counted over all processes of the server."""

from __future__ import annotations

import math
import unicodedata
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Connection, delete, func, insert, select

from amt import identity
from amt.store.database import Database
from amt.store.schema import Refusal, about, attempts, logins

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 1000  # hashing costs the more the longer it is
LOGIN_SECONDS = 12 * 3600
CHOICE_SECONDS = 15 * 60
TRIES = 5
TRIES_SECONDS = 15 * 60
_ONE_TIME_CODES = 3  # of 40 bits each

# What the table `about` has of passwords: never both, since choosing one's own ends the one-time one.
_OWN, _ONE_TIME = "password", "one-time password"

_hasher = PasswordHasher()  # argon2id, with the library's current costs


class Entry(NamedTuple):
    """A login: the secret of its cookie, and whether it is for choosing a password and nothing else."""

    token: str
    must_choose: bool


def one_time(database: Database, *, renew: bool = False) -> str | None:
    """The password with which the researcher logs in once, to choose one.

    Args:
        database: Of the studies.
        renew: Whether to give out a new one in any case; the present password, all logins and the count of failed
            tries end.

    Returns:
        The password, which is kept nowhere; None if one was given out or chosen before.
    """
    password = "-".join(identity.new_code() for _ in range(_ONE_TIME_CODES))
    hashed = _hasher.hash(password)
    with database.writing() as connection:
        _in_turn(connection)
        if renew:
            connection.execute(delete(logins))
            connection.execute(delete(attempts))
        elif _stored(connection) is not None:
            return None
        _store(connection, _ONE_TIME, hashed)
    return password


def log_in(database: Database, password: str, now: float) -> Entry | None:
    """Log in; None if the password is wrong.

    A try is counted before its password is looked at, so that tries at the same moment count like tries in turn; a
    login wipes the count.

    Args:
        database: Of the studies.
        password: What was typed.
        now: Seconds since 1970.

    Raises:
        Refusal: 429 with `retry_after` in seconds: there were too many tries.
    """
    with database.writing() as connection:
        _in_turn(connection)
        _count(connection, now)
        stored = _stored(connection)
    if stored is None or len(password) > MOST_CHARACTERS or not _matches(stored[1], password):
        return None
    entry = Entry(identity.new_token(), stored[0] == _ONE_TIME)
    with database.writing() as connection:
        _in_turn(connection)
        if _stored(connection) != stored:  # replaced while it was looked at
            return None
        connection.execute(delete(attempts))
        _add(connection, entry, now)
    return entry


def choose(database: Database, token: str, password: str, now: float) -> Entry | None:
    """Set one's own password in the place of the one-time one; all logins end, and a new one begins.

    Args:
        database: Of the studies.
        token: Of a login with the one-time password.
        password: The new one.
        now: Seconds since 1970.

    Returns:
        The new login; None if `token` is not, or no longer, that of a login for choosing.

    Raises:
        Refusal: 422 the password is too short, too long, or the one-time one.
    """
    with database.reading() as connection:
        if not may_choose(connection, token, now):
            return None
        stored = _stored(connection)
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise Refusal(422, "password", f"The password has {len(password)} characters; use at least {LEAST_CHARACTERS}.")
    if stored is None or _matches(stored[1], password):
        raise Refusal(422, "password", "This is the one-time password; choose another.")
    hashed = _hasher.hash(_normal(password))
    entry = Entry(identity.new_token(), must_choose=False)
    with database.writing() as connection:
        _in_turn(connection)
        if not may_choose(connection, token, now):
            return None
        _store(connection, _OWN, hashed)
        connection.execute(delete(logins))
        _add(connection, entry, now)
    return entry


def valid(connection: Connection, token: str, now: float) -> bool:
    """Whether a cookie's secret is that of a login that has not ended."""
    return _lives(connection, _digest(token, must_choose=False), now)


def may_choose(connection: Connection, token: str, now: float) -> bool:
    """Whether it is that of a login with the one-time password, which is good for choosing a password only."""
    return _lives(connection, _digest(token, must_choose=True), now)


def log_out(connection: Connection, token: str) -> None:
    """End a login."""
    digests = [_digest(token, must_choose=must_choose) for must_choose in (False, True)]
    connection.execute(delete(logins).where(logins.c.token.in_(digests)))


def _count(connection: Connection, now: float) -> None:
    connection.execute(delete(attempts).where(attempts.c.at <= now - TRIES_SECONDS))
    count, oldest = connection.execute(select(func.count(), func.min(attempts.c.at))).one()
    if count >= TRIES:
        wait = max(1, math.ceil(oldest + TRIES_SECONDS - now))
        minutes = math.ceil(wait / 60)
        raise Refusal(
            429, "tries", f"Too many tries with a wrong password. Try again in {minutes} min.", retry_after=wait
        )
    connection.execute(insert(attempts).values(at=now))


def _in_turn(connection: Connection) -> None:
    """Let one transaction at a time go on from here, also on PostgreSQL: the row of the version is always there."""
    connection.execute(select(about.c.value).where(about.c.key == "schema").with_for_update())


def _stored(connection: Connection) -> tuple[str, str] | None:
    """Which password there is, and its hash."""
    row = connection.execute(select(about.c.key, about.c.value).where(about.c.key.in_([_OWN, _ONE_TIME]))).one_or_none()
    return None if row is None else (row.key, row.value)


def _store(connection: Connection, key: str, hashed: str) -> None:
    connection.execute(delete(about).where(about.c.key.in_([_OWN, _ONE_TIME])))
    connection.execute(insert(about).values(key=key, value=hashed))


def _add(connection: Connection, entry: Entry, now: float) -> None:
    connection.execute(delete(logins).where(logins.c.expires <= now))
    seconds = CHOICE_SECONDS if entry.must_choose else LOGIN_SECONDS
    token = _digest(entry.token, must_choose=entry.must_choose)
    connection.execute(insert(logins).values(token=token, expires=now + seconds))


def _lives(connection: Connection, digest: str, now: float) -> bool:
    return connection.scalar(select(logins.c.token).where(logins.c.token == digest, logins.c.expires > now)) is not None


def _digest(token: str, *, must_choose: bool) -> str:
    """What is stored of a login; different for the two kinds, so that one cannot pass for the other."""
    return identity.digest(f"choose:{token}" if must_choose else token)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, _normal(password))
    except VerifyMismatchError:
        return False


def _normal(password: str) -> str:
    """One form of letters that keyboards write in several; without the blanks that copying brings along."""
    return unicodedata.normalize("NFKC", password.strip())
