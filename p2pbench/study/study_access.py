"""Access to the studies of a results folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from amt.errors import AmtError
from amt.folders import Studies, StudyFolder
from amt.recruitment import rater_link
from amt.store import logins, reveals, studies
from amt.store.database import Database, open_database
from amt.store.studies import Study
from reports.store.layout import STUDIES


class Opened(NamedTuple):
    """A folder of studies with its database."""

    folder: Studies
    where: str | Path
    database: Database


class Chosen(NamedTuple):
    """A study with its folder and database."""

    folder: StudyFolder
    database: Database
    study: Study


def open_studies(results: Path, url: str | None) -> Opened:
    """Open the studies of a results folder.

    Args:
        results: A results folder; its studies are in `study/`.
        url: URL of their database; None for the SQLite file there.

    Raises:
        AmtError: There are none, or the database cannot be used.
    """
    folder = Studies(results / STUDIES)
    where = url or folder.database
    return Opened(folder, where, open_database(where))


@contextmanager
def new_studies(results: Path, url: str | None) -> Iterator[Opened]:
    """Open the studies of a results folder, created if missing.

    A block that fails leaves no empty database or folders. The database is closed at the end.

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
    """Remove a database without a study."""
    # Within a write transaction, so that no other process can create a study between the check and the removal. The
    # pattern covers SQLite's side files (-wal, -shm).
    with suppress(AmtError), closing(open_database(folder.database)) as database, database.writing() as connection:
        if not studies.names(connection):
            for path in folder.folder.glob(f"{folder.database.name}*"):
                path.unlink()


def choose(opened: Opened, name: str | None) -> Chosen:
    """Choose a study by name, or the only one.

    Raises:
        AmtError: No study has that name, or there are several and no name is given.
    """
    with opened.database.reading() as connection:
        names = studies.names(connection)
        if not names:
            raise AmtError(f"{opened.where}: found no study, expected one; make one with `p2pbench amt create`")
        if name is None and len(names) != 1:
            raise AmtError(f"{opened.where}: found {_listed(names)}, expected one study; choose it by --name NAME")
        study = studies.find(connection, name or names[0])
    if study is None:
        raise AmtError(f"{name}: found {_listed(names)}, expected a study of that name; check --name")
    return Chosen(opened.folder.study(study.name), opened.database, study)


def _listed(names: list[str]) -> str:
    return f"the studies {', '.join(names)}"


def look(chosen: Chosen, *, peek: bool) -> Study:
    """Give access to a study's results.

    An early look needs `peek` and is recorded.

    Raises:
        AmtError: The study is open, and `peek` is not set.
    """
    study = chosen.study
    if not reveals.results_allowed(study) and not peek:
        raise AmtError(
            f"{study.name}: found it open, expected it closed: looking at results before a study ends inflates false "
            "positives. Close it (p2pbench amt close), or look anyway with --peek, which is reported"
        )
    with chosen.database.writing() as connection:
        if study.state == "closed":
            reveals.seen(connection, study)
        else:
            studies.reveal(connection, study.id)
        return studies.get(connection, study.id)


_WAYS = {"link": "by single-use links: p2pbench amt links", "prolific": "for Prolific"}


def announcement(opened: Opened, listening: str, url: str, *, new_password: bool) -> Iterator[str]:
    """Lines with the links of a server, and a new password.

    Args:
        opened: The studies.
        listening: Address of the server itself.
        url: Address for raters.
        new_password: Issue a password even if there is one.

    Raises:
        AmtError: There is no study, or pictures of one are missing.
    """
    with opened.database.reading() as connection:
        served = [studies.find(connection, name) for name in studies.names(connection)]
        pictures_of = [studies.pictures_of(connection, study.id) for study in served if study]
    if not served:
        raise AmtError(f"{opened.where}: found no study, expected one to serve; make one with `p2pbench amt create`")
    # A server that lacks pictures would lose raters in mid-session, so it does not start.
    for study, pictures in zip(served, pictures_of, strict=True):
        assert study is not None
        folder = opened.folder.study(study.name)
        missing = [number for number in pictures if not folder.picture(number).is_file()]
        if missing:
            raise AmtError(
                f"{folder.pictures}: found {len(pictures) - len(missing)} of {len(pictures)} pictures, expected all; "
                "restore the folder that `p2pbench amt create` made, from a copy"
            )
        notes = [_WAYS[study.recruitment.by]] if study.recruitment.by in _WAYS else []
        notes += ["closed"] * (study.state == "closed")
        notes += ["a rehearsal: its raters are programs"] * study.simulated
        yield f"raters:     {rater_link(url, study.name, study.recruitment)}" + (
            f"  ({', '.join(notes)})" if notes else ""
        )
    yield f"researcher: {url}/admin/"
    password = logins.one_time(opened.database, renew=new_password)
    if password:
        yield f"one-time password: {password}  (shown only now; the first login asks for one of your own)"
    if listening != url:
        yield f"listening:  {listening}"
    yield "Ctrl-C stops the server; sessions in progress resume when it is back."
