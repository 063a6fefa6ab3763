"""What the server says when it starts."""

from __future__ import annotations

from collections.abc import Iterator

from amt.errors import AmtError
from amt.recruitment import rater_link
from amt.store import logins, studies
from p2pbench.study.place import Opened

_WAYS = {"link": "by single-use links: p2pbench amt links", "prolific": "for Prolific"}


def announcement(opened: Opened, listening: str, url: str, *, new_password: bool) -> Iterator[str]:
    """The links for raters and researcher, and the researcher's password where there is a new one.

    Args:
        opened: The studies.
        listening: Where the server itself is.
        url: As raters reach it.
        new_password: Whether to give out a password although there is one.

    Raises:
        AmtError: There is no study, or the pictures of one are not there.
    """
    with opened.database.reading() as connection:
        found = [studies.find(connection, name) for name in studies.names(connection)]
        numbers = [studies.pictures_of(connection, study.id) for study in found if study]
    if not found:
        raise AmtError(f"{opened.where}: found no study, expected one to serve; make one with `p2pbench amt create`")
    for study, pictures in zip(found, numbers, strict=True):
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
    yield "Ctrl-C stops the server; raters who are in the middle go on when it is back."
