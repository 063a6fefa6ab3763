"""What the picture tokens of a session name."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from amt import identity
from amt.store.schema import sessions, studies, trials

_NAMED = (
    select(studies.c.name, trials.c.real, trials.c.fake, trials.c.fake_side, trials.c.left, trials.c.right)
    .join(sessions, sessions.c.id == trials.c.session)
    .join(studies, studies.c.id == sessions.c.study)
    .where(
        sessions.c.token == bindparam("digest"),
        sessions.c.consent_version.is_not(None),
        trials.c.position.is_not(None),  # a spare gets its side when it stands in
    )
)


def named_pictures(connection: Connection, session_token: str) -> dict[str, tuple[str, int]]:
    """The study and the number of the picture that each token names to this session, which has given consent.

    What is found here never changes, but by a withdrawal or a newer token of the session.
    """
    named: dict[str, tuple[str, int]] = {}
    for study, real, fake, fake_side, left, right in connection.execute(
        _NAMED, {"digest": identity.digest(session_token)}
    ):
        shown = (fake, real) if fake_side == "left" else (real, fake)
        named |= {token: (study, number) for token, number in zip((left, right), shown, strict=True)}
    return named
