"""What raters are never told: which side is the fake. Read by simulated raters, which are to be fooled as asked."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from amt.protocol import Side
from amt.store.database import Database
from amt.store.schema import pictures, sessions, trials


class Truth(NamedTuple):
    """What a trial shows: the algorithm and the item of its fake, and where it is."""

    algorithm: str
    item: str
    fake_side: Side


def truth(database: Database, session: str) -> dict[int, Truth]:
    """The truth of all trials of a session, by k; a spare's is as it stands now."""
    with database.reading() as connection:
        rows = connection.execute(
            select(trials.c.k, sessions.c.algorithm, pictures.c.item, trials.c.fake_side)
            .join(sessions, sessions.c.id == trials.c.session)
            .join(pictures, pictures.c.id == trials.c.fake)
            .where(trials.c.session == session)
        )
        return {k: Truth(algorithm, item, fake_side) for k, algorithm, item, fake_side in rows}
