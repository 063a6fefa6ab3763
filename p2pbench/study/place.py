"""Where the studies of a results folder are, and which one is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from amt.errors import AmtError
from amt.layout import Studies, StudyFolder
from amt.store import studies
from amt.store.database import Database, open_database
from amt.store.studies import Study
from reports.layout import STUDIES


class Opened(NamedTuple):
    """A folder of studies with its database."""

    folder: Studies
    where: str | Path
    database: Database


class Chosen(NamedTuple):
    """A study, with where it is."""

    folder: StudyFolder
    database: Database
    study: Study


def open_studies(results: Path, url: str | None) -> Opened:
    """The studies of a results folder.

    Args:
        results: A results folder; its studies are in `study/`.
        url: Of their database; None for the SQLite file there.

    Raises:
        AmtError: There are none, or the database cannot be used.
    """
    folder = Studies(results / STUDIES)
    where = url or folder.database
    return Opened(folder, where, open_database(where))


@contextmanager
def new_studies(results: Path, url: str | None) -> Iterator[Opened]:
    """The studies of a results folder, made where there are none; a block that fails leaves none that are empty.

    The database is closed at the end.

    Raises:
        AmtError: The database cannot be used.
    """
    folder = Studies(results / STUDIES)
    where = url or folder.database
    missing = [path for path in (folder.folder, *folder.folder.parents) if not path.exists()]
    is_new = url is None and not folder.database.exists()
    try:
        folder.folder.mkdir(parents=True, exist_ok=True)
        with closing(open_database(where, create=True)) as database:
            yield Opened(folder, where, database)
    except BaseException:
        if is_new:
            _remove_empty(folder)
        for path in missing:
            with suppress(OSError):  # not empty
                path.rmdir()
        raise


def _remove_empty(folder: Studies) -> None:
    """Remove a database without a study; another process may have made one meanwhile."""
    with suppress(AmtError), closing(open_database(folder.database)) as database, database.writing() as connection:
        if not studies.names(connection):
            for path in folder.folder.glob(f"{folder.database.name}*"):
                path.unlink()


def choose(opened: Opened, name: str | None) -> Chosen:
    """The study of a name, or the only one there is.

    Raises:
        AmtError: There is none of that name, or there are several and none is named.
    """
    with opened.database.reading() as connection:
        names = studies.names(connection)
        if not names:
            raise AmtError(f"{opened.where}: found no study, expected one; make one with `p2pbench amt create`")
        if name is None and len(names) != 1:
            raise AmtError(f"{opened.where}: found {_listed(names)}, expected one study; say which: --name NAME")
        study = studies.find(connection, name or names[0])
    if study is None:
        raise AmtError(f"{name}: found {_listed(names)}, expected a study of that name; check --name")
    return Chosen(opened.folder.study(study.name), opened.database, study)


def _listed(names: list[str]) -> str:
    return f"the studies {', '.join(names)}"
