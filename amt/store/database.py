"""Opening the database: SQLite or PostgreSQL, and whether this version of the program may use it."""

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

_BUSY_SECONDS = 30
_WRITES = "writes"
_SMALLEST = 512  # bytes of SQLite's smallest page, and so of its smallest file but for the empty one


class Database:
    """A database of studies.

    SQLite takes one writer at a time: a transaction that will write says so at its start, and waits there.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        file = engine.url.database if self.kind == "sqlite" else None
        self._turns = Turns(Path(f"{file}-turn")) if file else nullcontext()

    @property
    def kind(self) -> str:
        """The dialect: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is written when the block ends well."""
        with (
            self._turns,
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


class Turns:
    """Writers of one SQLite file take turns.

    SQLite's own waiting is to sleep and try again: of two busy processes one can go without its turn for half a minute.
    Those who wait for a lock of the system are woken in the order in which they came.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._held: IO[bytes] | None = None

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._held = self._path.open("ab")
            fcntl.flock(self._held, fcntl.LOCK_EX)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        if self._held is not None:
            self._held.close()  # and so unlocked
            self._held = None
        self._threads.release()


def open_database(where: str | Path, *, create: bool = False) -> Database:
    """Open a database, and make its tables where there are none.

    Args:
        where: The path of an SQLite file, or a URL such as postgresql+psycopg://user@host/name.
        create: Whether an SQLite file that does not exist is made.

    Raises:
        AmtError: It cannot be reached, is not one of studies, or of a newer version of the program.
    """
    url = _url(where)
    if url.drivername.startswith("sqlite") and not create and not Path(url.database or "").is_file():
        raise AmtError(
            f"{url.database}: found no studies there, expected a database; make one with `p2pbench amt create`"
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
    """Refuse an SQLite file that is too short to be one: SQLite takes one of a byte for empty, and writes over it.

    The file is not opened: closing it would let go of the locks of all of this process's connections to it.
    """
    if path.exists() and (not path.is_file() or 0 < path.stat().st_size < _SMALLEST):
        raise AmtError(f"{path}: found something else, expected a database of studies or nothing; move it away")


def _make_private(file: Path) -> None:
    """Make an SQLite file that its owner alone may read, unless it is there: it holds the key of the pseudonyms.

    SQLite gives the files beside it the same rights.
    """
    if file.exists():  # to open and close it would let go of the locks that this process has on it
        return
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise AmtError(
            f"{file}: cannot be made ({error.strerror}); name a file in a folder where this account may write"
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
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise AmtError(
            f"{url.get_backend_name()}: found another kind of database, expected postgresql+psycopg or sqlite"
        )
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
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
    connection.isolation_level = None  # transactions are begun below, not by the driver
    # Write-ahead log: readers do not wait for the writer. NORMAL: an answer outlives a kill of every process; after
    # a loss of power the last moments may be gone, never the database.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
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
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.about).values(key="schema", value=str(schema.VERSION)))
            return
        found = int(connection.scalar(select(schema.about.c.value).where(schema.about.c.key == "schema")) or 0)
    if found != schema.VERSION:
        raise AmtError(
            f"{shown}: found schema version {found}, expected {schema.VERSION}; "
            + ("update p2pbench" if found > schema.VERSION else "use the version of p2pbench that made it")
        )
