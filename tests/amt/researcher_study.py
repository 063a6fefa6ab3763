"""Raters whose answers are known by hand: how each is fooled, and what their pages measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from amt.protocol import Side
from amt.store import sessions, trials
from amt.store.database import Database
from amt.store.schema import sessions as sessions_table
from amt.store.schema import slots
from amt.store.schema import trials as trials_table
from amt.store.studies import Study
from amt.store.trials import TrialAnswer
from tests.amt.study import Rater

EVIL = "=cmd|' /C calc'!A0 <script>alert(1)</script>"
OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
# By how many of four scored trials each rater is fooled. L1: 5 of 12 (41.7 %), cGAN: 1 of 12 (8.3 %).
FOOLED = {"L1": (2, 1, 2), "cGAN": (1, 0, 0)}


def measured(left: float = 1000.0, right: float = 1000.0, gap: float = 16.7, frame: float = 16.7) -> dict[str, Any]:
    """What a page measures, in milliseconds."""
    shown = {"left": (900.0, left), "right": (2500.0, right)}
    exposures = {side: {"on": on, "off": on + lasted, "frames": 60, "gap": gap} for side, (on, lasted) in shown.items()}
    return {"frame_ms": frame, "hertz": 60.0, "exposures": exposures}


def side_of_fake(rater: Rater, k: int) -> Side:
    """Where the fake of a trial is."""
    with rater.database.reading() as connection:
        side: Side = connection.execute(
            select(trials_table.c.fake_side).where(
                trials_table.c.session == rater.started.session, trials_table.c.k == k
            )
        ).scalar_one()
        return side


def answer(rater: Rater, k: int, fooled: int, response_ms: float = 500.0, facts: dict[str, Any] | None = None) -> None:
    """Show a trial and answer it three seconds later."""
    rater.show(k)
    rater.clock += 3
    fake = side_of_fake(rater, k)
    given = TrialAnswer(OTHER[fake] if fooled else fake, response_ms, measured() if facts is None else facts)
    with rater.database.writing() as connection:
        trials.answer(connection, rater.session(), k, given, rater.study.protocol.timing.least, rater.clock)


def algorithm_of(rater: Rater) -> str:
    """Algorithm of a rater's slot."""
    with rater.database.reading() as connection:
        return str(
            connection.scalar(select(sessions_table.c.algorithm).where(sessions_table.c.id == rater.started.session))
        )


def take_part(database: Database, study: Study, name: str, fooled: int, comment: str | None = None) -> Rater:
    """A rater who finishes; fooled by so many of the scored trials.

    Fakes on the left and on the right fool in turn, so that nobody is left out for answering on one side.
    """
    rater = Rater(database, study, name)
    with database.writing() as connection:
        facts = {"viewport": [1280, 720], "hertz": 59.94}
        sessions.environment(connection, rater.session(), facts, eligible=True)
    rater.agree()
    coming = rater.to_come() or []
    scored = [trial.k for trial in coming if trial.phase == "scored"]
    chosen: list[int] = []
    for side in ("left", "right"):
        chosen += [k for k in scored if side_of_fake(rater, k) == side][: (fooled + (side == "left")) // 2]
    for trial in coming:
        answer(rater, trial.k, trial.k in chosen)
    if comment is not None:
        with database.writing() as connection:
            sessions.comment(connection, rater.session(), comment)
    rater.complete(code=f"CODE-{name}"[:64])
    return rater


def fill(database: Database, study: Study, comments: Sequence[str] = ()) -> list[Rater]:
    """Fill all slots of a study with raters who are fooled as above."""
    left = {name: list(counts) for name, counts in FOOLED.items()}
    with database.reading() as connection:
        order = connection.scalars(
            select(slots.c.algorithm).where(slots.c.study == study.id).order_by(slots.c.sequence)
        ).all()
    said = [*comments, *[None] * len(order)]
    return [
        take_part(database, study, f"rater-{number}", left[algorithm].pop(0), said[number])
        for number, algorithm in enumerate(order)
    ]


def end_lease(rater: Rater) -> None:
    """Let the lease of a rater's slot end."""
    with rater.database.writing() as connection:
        connection.execute(update(slots).where(slots.c.session == rater.started.session).values(lease=1.0))


def schedule(rater: Rater) -> list[tuple[str, int, int, Side]]:
    """The trials of a rater's slot as they were planned: phase, real picture, fake picture, side of the fake."""
    with rater.database.reading() as connection:
        found = connection.scalar(select(slots.c.schedule).where(slots.c.session == rater.started.session))
    return [(phase, real, fake, side) for phase, real, fake, side in json.loads(str(found))]
