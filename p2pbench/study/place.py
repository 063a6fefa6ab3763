"""Where the studies of a results folder are, and which one is meant."""

from __future__ import annotations

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


def open_studies(results: Path, url: str | None, *, create: bool = False) -> Opened:
    """The studies of a results folder.

    Args:
        results: A results folder; its studies are in `study/`.
        url: Of their database; None for the SQLite file there.
        create: Whether they are made where there are none.

    Raises:
        AmtError: There are none, or the database cannot be used.
    """
    folder = Studies(results / STUDIES)
    if create:
        folder.folder.mkdir(parents=True, exist_ok=True)
    where = url or folder.database
    return Opened(folder, where, open_database(where, create=create))


def choose(opened: Opened, name: str | None) -> Chosen:
    """The study of a name, or the only one there is.

    Raises:
        AmtError: There is none of that name, or there are several and none is named.
    """
    with opened.database.reading() as connection:
        names = studies.names(connection)
        if name is None and len(names) != 1:
            raise AmtError(f"{opened.where}: found {_listed(names)}, expected one study; say which: --name NAME")
        study = studies.find(connection, name or names[0])
    if study is None:
        raise AmtError(f"{name}: found {_listed(names)}, expected a study of that name; check --name")
    return Chosen(opened.folder.study(study.name), opened.database, study)


def _listed(names: list[str]) -> str:
    return f"the studies {', '.join(names)}" if names else "no study"
