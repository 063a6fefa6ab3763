"""Export of a study's sessions and trials, without secrets."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection, func, select

from amt import safe_csv
from amt.folders import StudyFolder
from amt.protocol import Side
from amt.statistics import table
from amt.statistics.exclusions import Exclusions, exclusions
from amt.store import studies
from amt.store.counts import state_at
from amt.store.database import Database
from amt.store.schema import sessions, slots, trials
from amt.store.studies import Picture, Study

SESSIONS = {
    "session": "string",
    "rater": "string",
    "algorithm": "string",
    "place": "Int64",
    "state": "string",
    "created": "string",
    "finished": "string",
    "consent_version": "string",
    "browser": "string",
    "viewport": "string",
    "hertz": "float64",
    "verified": "bool",
    "source": "string",
    "voids": "Int64",
    "comment": "string",
    "excluded": "string",
    "simulated": "Int64",
}
_NEVER_COMPLETED = "incomplete"
_LEAST_FRAME_MS = 1.0  # no display shows 1000 frames per second
# A device can become ineligible after images were shown; the table of answers knows such a session as ended.
_ENDED = ("ineligible",)
_NO_CONSENT = ("declined",)


class ShownTrial(NamedTuple):
    """Trial that was shown; times in seconds since 1970, pictures by number.

    `measured` is the answer as received from the page.
    """

    session: str
    rater: str
    algorithm: str
    state: str
    phase: str
    real: int
    fake: int
    fake_side: Side
    void: str | None
    answered: float | None
    choice: Side | None
    response_ms: float | None
    measured: dict[str, Any]


class KeptSession(NamedTuple):
    """Session in the database; times in seconds since 1970.

    Attributes:
        slot: Number of its slot from 1, in the order of assignment.
        environment: Facts on the display, from the page.
        voids: Number of interrupted trials.
    """

    session: str
    rater: str
    algorithm: str
    slot: int
    state: str
    created: float
    finished: float | None
    consent_version: str | None
    browser: str
    environment: dict[str, Any]
    verified: bool
    source: str
    voids: int
    comment: str | None


def shown_trials(connection: Connection, study: int, now: float) -> list[ShownTrial]:
    """Shown trials of a study, by start of the session."""
    rows = connection.execute(
        select(
            sessions.c.id,
            sessions.c.rater,
            sessions.c.algorithm,
            state_at(now),
            trials.c.phase,
            trials.c.real,
            trials.c.fake,
            trials.c.fake_side,
            trials.c.void,
            trials.c.answered,
            trials.c.choice,
            trials.c.response_ms,
            trials.c.measured,
        )
        .join(sessions, sessions.c.id == trials.c.session)
        .join(slots, slots.c.id == sessions.c.slot)
        .where(sessions.c.study == study, trials.c.shown.is_not(None))
        # Ids break ties, so that an export does not depend on the order of rows in the database.
        .order_by(sessions.c.created, sessions.c.id, trials.c.shown, trials.c.position, trials.c.k)
    )
    return [ShownTrial._make([*row[:-1], json.loads(row[-1] or "{}")]) for row in rows]


def kept_sessions(connection: Connection, study: int, now: float) -> list[KeptSession]:
    """Sessions of a study in the order of their start."""
    # Counted in a subquery: a join with trials would repeat each session.
    voids = (
        select(func.count())
        .select_from(trials)
        .where(trials.c.session == sessions.c.id, trials.c.void.is_not(None))
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            sessions.c.id,
            sessions.c.rater,
            sessions.c.algorithm,
            slots.c.sequence + 1,
            state_at(now),
            sessions.c.created,
            sessions.c.finished,
            sessions.c.consent_version,
            sessions.c.browser,
            sessions.c.environment,
            sessions.c.verified,
            sessions.c.source,
            voids,
            sessions.c.comment,
        )
        .join(slots, slots.c.id == sessions.c.slot)
        .where(sessions.c.study == study)
        .order_by(sessions.c.created, sessions.c.id)
    )
    return [KeptSession._make([*row[:9], json.loads(row[9] or "{}"), *row[10:]]) for row in rows]


def codes(connection: Connection, study: int) -> list[str]:
    """Completion codes of a study, sorted so that their order identifies nobody."""
    return sorted(
        connection.scalars(
            select(sessions.c.code).where(
                sessions.c.study == study, sessions.c.state == "completed", sessions.c.code.is_not(None)
            )
        )
    )


def answer_table(database: Database, study: Study) -> pd.DataFrame:
    """Build the table of answers (see `amt.statistics.table`), by start of the session.

    A trial's number counts the shown trials of its phase from 1; a voided trial and its replacement have a number each.
    A running session whose lease is over is abandoned. Impossible measurements (an image that ended before it began)
    are missing. Sessions without consent have no rows.
    """
    with database.reading() as connection:
        pictures = studies.pictures_of(connection, study.id)
        shown = shown_trials(connection, study.id, time.time())
    numbers: Counter[tuple[str, str]] = Counter()
    rows = []
    for trial in shown:
        if trial.state not in _NO_CONSENT:
            numbers[trial.session, trial.phase] += 1
            rows.append(_answer(study, trial, numbers[trial.session, trial.phase], pictures))
    return table.build(rows)


def session_table(database: Database, study: Study, left_out: Exclusions | None = None) -> pd.DataFrame:
    """Build the table of sessions, by start, with times in UTC.

    `place` is the number of the slot from 1, in the order of assignment; `viewport` is in CSS pixels; `hertz` is the
    measured rate of the display; `verified` is whether the rater's id could not be forged; `voids` counts interrupted
    trials; `excluded` names the rules that exclude the session, separated by semicolons; `simulated` is 1 where the
    raters were programs.

    Args:
        database: Database of the study.
        study: The study.
        left_out: Its excluded sessions, if they are known already.
    """
    left_out = left_out or exclusions(answer_table(database, study), study.protocol)
    with database.reading() as connection:
        kept = kept_sessions(connection, study.id, time.time())
    reasons = {session.session: "; ".join(reason.rule for reason in session.reasons) for session in left_out.excluded}
    rows = [_session(study, session, reasons.get(session.session)) for session in kept]
    return pd.DataFrame(rows, columns=list(SESSIONS)).astype(SESSIONS)


def sessions_text(listed: pd.DataFrame) -> str:
    """Format the table of sessions as CSV, as the answers are."""
    return safe_csv.text(listed, SESSIONS)


def texts(database: Database, study: Study, folder: StudyFolder) -> dict[Path, str]:
    """Format answers and sessions as CSV, by file."""
    answers = answer_table(database, study)
    listed = session_table(database, study, exclusions(answers, study.protocol))
    return {folder.answers: table.text(answers), folder.sessions: sessions_text(listed)}


def iso(seconds: float | None) -> str | None:
    """Format seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _answer(study: Study, trial: ShownTrial, number: int, pictures: Mapping[int, Picture]) -> dict[str, object]:
    exposures = {side: trial.measured.get("exposures", {}).get(side, {}) for side in ("left", "right")}
    return {
        "study": study.name,
        "algorithm": trial.algorithm,
        "rater": trial.rater,
        "session": trial.session,
        "state": "ended" if trial.state in _ENDED else trial.state,
        "phase": trial.phase,
        "trial": number,
        "item": pictures[trial.fake].item,
        "real_item": pictures[trial.real].item,
        "fake_side": trial.fake_side,
        "choice": trial.choice,
        "fooled": None if trial.choice is None else int(trial.choice != trial.fake_side),
        "response_ms": trial.response_ms,
        "void": trial.void,
        "frame_ms": _frame(trial.measured),
        "left_ms": _duration(exposures["left"]),
        "right_ms": _duration(exposures["right"]),
        "left_gap_ms": exposures["left"].get("gap"),
        "right_gap_ms": exposures["right"].get("gap"),
        "answered_at": iso(trial.answered),
        "simulated": 1 if study.simulated else None,
        # By the item of the fake: it is the one that fools or not.
        "cluster": study.clusters.of[pictures[trial.fake].item] if study.clusters else None,
    }


def _duration(exposure: Mapping[str, float]) -> float | None:
    if not exposure or exposure["off"] < exposure["on"]:
        return None
    return exposure["off"] - exposure["on"]


def _frame(measured: Mapping[str, Any]) -> float | None:
    frame: float = measured.get("frame_ms", 0.0)
    return frame if frame >= _LEAST_FRAME_MS else None


def _session(study: Study, session: KeptSession, reasons: str | None) -> dict[str, Any]:
    viewport = session.environment.get("viewport")
    incomplete = None if session.state == "completed" else _NEVER_COMPLETED
    return {
        **{column: getattr(session, column) for column in SESSIONS if hasattr(session, column)},
        "place": session.slot,
        "created": iso(session.created),
        "finished": iso(session.finished),
        "viewport": None if viewport is None else "x".join(f"{length:g}" for length in viewport),
        "hertz": session.environment.get("hertz"),
        "excluded": reasons or incomplete,
        "simulated": 1 if study.simulated else None,
    }
