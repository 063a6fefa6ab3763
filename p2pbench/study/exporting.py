"""A study's answers and sessions as files beside it."""

from __future__ import annotations

from amt import export
from amt.store.studies import Study
from p2pbench.study.place import Chosen
from reports import made


def export_study(chosen: Chosen, study: Study) -> None:
    """Write `answers.csv` and `sessions.csv` into the folder of a study, over those of an earlier export alone.

    Raises:
        ReportError: Another's file is there, an earlier export was changed by hand, or the folder cannot be written.
    """
    texts = export.texts(chosen.database, study, chosen.folder)
    files = {path: text.encode() for path, text in texts.items()}
    headers = {path: content[: content.index(b"\n") + 1] for path, content in files.items()}
    for path, header in headers.items():  # all, before any is written
        made.check_free(path, header)
    for path, content in files.items():
        made.put(path, content, headers[path])
