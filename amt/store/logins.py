"""Password and logins of the researcher, a single account.

Failed tries are counted in the database, so over all processes of the server.
"""

from __future__ import annotations

import math
import unicodedata
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Connection, delete, func, insert, select

from amt import identity
from amt.errors import Refusal
from amt.store.database import Database
from amt.store.schema import about, attempts, logins

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 1000  # hashing time grows with length
LOGIN_SECONDS = 12 * 3600
CHOICE_SECONDS = 15 * 60
TRIES = 5
TRIES_SECONDS = 15 * 60
_ONE_TIME_CODES = 3  # of 40 bits each

# Keys of the password in the table `about`: never both, as choosing a password replaces the one-time one.
_OWN, _ONE_TIME = "password", "one-time password"

_hasher = PasswordHasher()  # argon2id, with the library's current costs


class NewLogin(NamedTuple):
    """New login: its cookie's secret, and whether it only permits choosing."""

    token: str
    must_choose: bool


def one_time(database: Database, *, renew: bool = False) -> str | None:
    """Issue the one-time password for the researcher's first login.

    Args:
        database: Database of the studies.
        renew: Whether to replace the present password; this ends all logins and clears the failed tries.

    Returns:
        The password, stored only as a hash; None if there is a password already.
    """
    password = "-".join(identity.new_code() for _ in range(_ONE_TIME_CODES))
    hashed = _hasher.hash(password)  # outside the transaction, as it takes long on purpose
    with database.writing() as connection:
        _in_turn(connection)
        if renew:
            connection.execute(delete(logins))
            connection.execute(delete(attempts))
        elif _stored(connection) is not None:
            return None
        _store(connection, _ONE_TIME, hashed)
    return password


def log_in(database: Database, password: str, now: float) -> NewLogin | None:
    """Log in; None if the password is wrong.

    A try is counted before its password is checked, so that concurrent tries count like sequential ones; a login clears
    the count.

    Args:
        database: Database of the studies.
        password: The password entered.
        now: Seconds since 1970.

    Raises:
        Refusal: 429 too many tries, with `retry_after` in seconds.
    """
    with database.writing() as connection:
        _in_turn(connection)
        # Committed before the hash is checked, which takes long: a hundred parallel tries cannot all pass the count
        # first.
        _count(connection, now)
        stored = _stored(connection)
    if stored is None or len(password) > MOST_CHARACTERS or not _matches(stored[1], password):
        return None
    login = NewLogin(identity.new_token(), stored[0] == _ONE_TIME)
    with database.writing() as connection:
        _in_turn(connection)
        # Checked outside a transaction, as hashing would hold the lock of all writers; so the password may have
        # changed.
        if _stored(connection) != stored:  # replaced while it was being checked
            return None
        connection.execute(delete(attempts))
        _add(connection, login, now)
    return login


def choose(database: Database, token: str, password: str, now: float) -> NewLogin | None:
    """Replace the one-time password; all logins end and a new one begins.

    Args:
        database: Database of the studies.
        token: Token of a login with the one-time password.
        password: The new password.
        now: Seconds since 1970.

    Returns:
        The new login; None if `token` is not that of a current login for choosing a password.

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
    login = NewLogin(identity.new_token(), must_choose=False)
    with database.writing() as connection:
        _in_turn(connection)
        if not may_choose(connection, token, now):
            return None
        _store(connection, _OWN, hashed)
        connection.execute(delete(logins))
        _add(connection, login, now)
    return login


def valid(connection: Connection, token: str, now: float) -> bool:
    """Whether a token is that of a current login."""
    return _lives(connection, _digest(token, must_choose=False), now)


def may_choose(connection: Connection, token: str, now: float) -> bool:
    """Whether a token is that of a login for choosing a password."""
    return _lives(connection, _digest(token, must_choose=True), now)


def log_out(connection: Connection, token: str) -> None:
    """End a login."""
    digests = [_digest(token, must_choose=must_choose) for must_choose in (False, True)]
    connection.execute(delete(logins).where(logins.c.token.in_(digests)))


def _count(connection: Connection, now: float) -> None:
    # Old tries are forgotten, so that the lock is a sliding window and needs no job to lift it.
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
    """Serialise transactions, on PostgreSQL too, by locking the version's row."""
    connection.execute(select(about.c.value).where(about.c.key == "schema").with_for_update())


def _stored(connection: Connection) -> tuple[str, str] | None:
    """Key and hash of the present password."""
    row = connection.execute(select(about.c.key, about.c.value).where(about.c.key.in_([_OWN, _ONE_TIME]))).one_or_none()
    return None if row is None else (row.key, row.value)


def _store(connection: Connection, key: str, hashed: str) -> None:
    connection.execute(delete(about).where(about.c.key.in_([_OWN, _ONE_TIME])))
    connection.execute(insert(about).values(key=key, value=hashed))


def _add(connection: Connection, login: NewLogin, now: float) -> None:
    connection.execute(delete(logins).where(logins.c.expires <= now))
    seconds = CHOICE_SECONDS if login.must_choose else LOGIN_SECONDS
    token = _digest(login.token, must_choose=login.must_choose)
    connection.execute(insert(logins).values(token=token, expires=now + seconds))


def _lives(connection: Connection, digest: str, now: float) -> bool:
    return connection.scalar(select(logins.c.token).where(logins.c.token == digest, logins.c.expires > now)) is not None


def _digest(token: str, *, must_choose: bool) -> str:
    """Hash a login's token for storage, differently by kind of login."""
    return identity.digest(f"choose:{token}" if must_choose else token)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, _normal(password))
    except VerifyMismatchError:
        return False


def _normal(password: str) -> str:
    """Normalise Unicode forms, and strip blanks left by copying."""
    return unicodedata.normalize("NFKC", password.strip())
