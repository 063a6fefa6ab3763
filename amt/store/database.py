"""Connection to the database, SQLite or PostgreSQL, and version check."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from amt.errors import AmtError
from amt.store import schema

# How long SQLite retries while another connection holds the write lock; `Turns` makes such waits rare.
_BUSY_SECONDS = 30
_WRITES = "writes"
_SMALLEST = 512  # bytes of the smallest SQLite page, so of the smallest non-empty SQLite file


class Database:
    """Database of studies.

    SQLite allows one writer at a time, so a writing transaction waits for its turn when it begins. A transaction that
    upgraded from reading to writing could not wait: its snapshot might be outdated, and SQLite would abort it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        file = engine.url.database if self.kind == "sqlite" else None
        # PostgreSQL has locks per row, so its writers need no turns.
        self._turns = Turns(Path(f"{file}-turn")) if file else nullcontext()

    @property
    def kind(self) -> str:
        """SQL dialect: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only transaction."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that commits unless the block raises."""
        with (
            self._turns,
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


class Turns:
    """Lock that gives writers of one SQLite file their turns in order.

    SQLite waits by sleeping and retrying, so of two busy processes one can starve for half a minute. Waiters of a file
    lock are woken in order of arrival. The lock is one between processes, so threads need their own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._held: IO[bytes] | None = None

    def __enter__(self) -> None:
        # Threads first: flock is held by the open file, not the thread, and would let a second thread of this process
        # in.
        self._threads.acquire()
        try:
            self._held = self._path.open("ab")
            fcntl.flock(self._held, fcntl.LOCK_EX)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        if self._held is not None:
            self._held.close()  # this unlocks it
            self._held = None
        self._threads.release()


def open_database(where: str | Path, *, create: bool = False) -> Database:
    """Open a database, and create its tables if they are missing.

    Args:
        where: Path of an SQLite file, or a URL such as postgresql+psycopg://user@host/name.
        create: Whether to create a missing SQLite file.

    Raises:
        AmtError: It cannot be reached, holds something else than studies, or has another schema version.
    """
    url = _url(where)
    if url.drivername.startswith("sqlite") and not create and not Path(url.database or "").is_file():
        raise AmtError(
            f"{url.database}: found no studies there, expected a database; create one with `p2pbench amt create`"
        )
    if url.get_backend_name() == "sqlite" and url.database:
        _check_file(Path(url.database))
        _make_private(Path(url.database))
    database = Database(_engine(url))
    shown = url.render_as_string(hide_password=True) if isinstance(where, str) else str(where)
    try:
        _check_version(database, shown)
    except AmtError:
        database.close()
        raise
    except SQLAlchemyError as error:
        database.close()
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise AmtError(f"{shown}: cannot be used as a database ({reason}); check the path or the URL") from error
    return database


def _check_file(path: Path) -> None:
    """Refuse a file too short for SQLite, which would overwrite it.

    The file is not opened: POSIX drops all locks that a process holds on a file when it closes any descriptor of it,
    those of open SQLite connections included.
    """
    if path.exists() and (not path.is_file() or 0 < path.stat().st_size < _SMALLEST):
        raise AmtError(f"{path}: found something else, expected a database of studies or nothing; move it away")


def _make_private(file: Path) -> None:
    """Create a missing SQLite file that only its owner can read.

    It holds the keys of pseudonyms. SQLite gives its journal files the same permissions.
    """
    if file.exists():  # not opened, for the sake of this process's locks on it
        return
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise AmtError(
            f"{file}: cannot be created ({error.strerror}); name a file in a folder that this account may write to"
        ) from error


def _url(where: str | Path) -> URL:
    if isinstance(where, Path):
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except ArgumentError:
        hidden = re.sub("//.*@", "//***@", where)
        raise AmtError(f"{hidden!r}: found no database URL, expected postgresql+psycopg://USER@HOST/NAME") from None
    if url.drivername in {"postgresql", "postgres"}:
        # SQLAlchemy's default driver for these names is psycopg2, which we do not install.
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise AmtError(
            f"{url.get_backend_name()}: found another kind of database, expected postgresql+psycopg or sqlite"
        )
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        # Threads of the server each take a connection; SQLite's cost little, so 40 may overflow the pool.
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=8, max_overflow=40)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, pool_size=8, max_overflow=8)
    except (ImportError, NoSuchModuleError) as error:
        raise AmtError(
            f"{url.drivername}: found no driver ({error}); install it: pip install 'p2pbench[postgresql]'"
        ) from None


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (any driver's)
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not in the driver
    # Write-ahead log: readers do not wait for the writer. NORMAL: a commit survives a kill of every process; a power
    # loss may lose the last commits, but does not damage the database.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once, see `Database`.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_version(database: Database, shown: str) -> None:
    with database.writing() as connection:
        tables = inspect(connection).get_table_names()
        if schema.about.name not in tables:
            if tables and database.kind == "sqlite":
                raise AmtError(
                    f"{shown}: found a database with a table {tables[0]!r}, expected one of studies or nothing; move "
                    "it away"
                )
            # Tables and version appear in one transaction: another process sees either none or all of them.
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.about).values(key="schema", value=str(schema.VERSION)))
            return
        found = int(connection.scalar(select(schema.about.c.value).where(schema.about.c.key == "schema")) or 0)
    if found != schema.VERSION:
        raise AmtError(
            f"{shown}: found schema version {found}, expected {schema.VERSION}; "
            + ("update p2pbench" if found > schema.VERSION else "use the version of p2pbench that made it")
        )
