"""When fooling rates may be looked at: not by accident while raters are still to come."""

from __future__ import annotations

from amt.errors import AmtError
from amt.store import looks, studies
from amt.store.studies import Study
from p2pbench.study.place import Chosen

PEEK = "Look although the study is open; that it was looked at is kept and reported."


def look(chosen: Chosen, *, peek: bool) -> Study:
    """The study, if it may be looked at. To look early is allowed on demand, and kept.

    Raises:
        AmtError: It is open, and nobody asked to look early.
    """
    study = chosen.study
    if not looks.allowed(study) and not peek:
        raise AmtError(
            f"{study.name}: found it open, expected it closed: who looks and then goes on finds differences that are "
            "not there. Close it (p2pbench amt close), or look now with --peek, which is reported"
        )
    with chosen.database.writing() as connection:
        if study.state == "closed":
            looks.seen(connection, study)
        else:
            studies.reveal(connection, study.id)
        return studies.get(connection, study.id)
