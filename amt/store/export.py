"""A study's sessions and trials as tables without secrets, and as CSV files."""

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

from amt import csv
from amt.layout import StudyFolder
from amt.protocol import Side
from amt.statistics import table
from amt.statistics.exclusions import Exclusions, exclusions
from amt.store import studies
from amt.store.counts import state_at
from amt.store.database import Database
from amt.store.schema import places, sessions, trials
from amt.store.studies import Picture, Study


class ShownTrial(NamedTuple):
    """A trial that was shown, with whose it was; times in seconds since 1970, pictures by number.

    `measured` is the answer as it came from the page.
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
    """A session; times in seconds since 1970.

    Attributes:
        place: From 1, in the order in which places are given out.
        environment: What the page found out about the display.
        voids: Trials that were interrupted.
    """

    session: str
    rater: str
    algorithm: str
    place: int
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
    """All trials of a study that were shown: sessions in the order in which they began, trials as they were shown."""
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
        .join(places, places.c.id == sessions.c.place)
        .where(sessions.c.study == study, trials.c.shown.is_not(None))
        .order_by(sessions.c.created, sessions.c.id, trials.c.shown, trials.c.position, trials.c.k)
    )
    return [ShownTrial._make([*row[:-1], json.loads(row[-1] or "{}")]) for row in rows]


def kept_sessions(connection: Connection, study: int, now: float) -> list[KeptSession]:
    """All sessions of a study, in the order in which they began."""
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
            places.c.sequence + 1,
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
        .join(places, places.c.id == sessions.c.place)
        .where(sessions.c.study == study)
        .order_by(sessions.c.created, sessions.c.id)
    )
    return [KeptSession._make([*row[:9], json.loads(row[9] or "{}"), *row[10:]]) for row in rows]


def codes(connection: Connection, study: int) -> list[str]:
    """The completion codes of a study in alphabetical order, which says nothing of whose they are."""
    return sorted(
        connection.scalars(
            select(sessions.c.code).where(
                sessions.c.study == study, sessions.c.state == "completed", sessions.c.code.is_not(None)
            )
        )
    )


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


_LEAST_FRAME_MS = 1.0  # no display shows 1000 frames a second


# Whoever leaves after images were shown has answers; to the table of answers such a session has ended.
_ENDED = ("ineligible",)


_NO_CONSENT = ("declined",)


def answer_table(database: Database, study: Study) -> pd.DataFrame:
    """The table of answers (see `amt.statistics.table`): one row a trial that was shown, sessions as they began.

    A trial's number is its place in the order shown within its phase, from 1; a voided trial and the one that stood
    in for it have a number each. A running session whose lease is over is abandoned. Measurements that cannot be
    (an image that went before it came) are missing. Sessions that took back their consent have no rows.
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


def session_table(database: Database, study: Study, found: Exclusions | None = None) -> pd.DataFrame:
    """One row a session, in the order in which they began; times are ISO 8601, UTC.

    `place` counts from 1 in the order in which places are given out; `viewport` is in CSS pixels; `hertz` is the
    display's rate as measured; `verified` is whether the rater's id could not be forged; `voids` counts interrupted
    trials; `excluded` names the rules by which the session does not count, with semicolons between them; `simulated` is
    1 where the raters were programs.

    Args:
        database: Where the study is.
        study: Which.
        found: What the rules leave out, if it is known already.
    """
    found = found or exclusions(answer_table(database, study), study.protocol)
    with database.reading() as connection:
        kept = kept_sessions(connection, study.id, time.time())
    reasons = {each.session: "; ".join(reason.rule for reason in each.reasons) for each in found.excluded}
    rows = [_session(study, each, reasons.get(each.session)) for each in kept]
    return pd.DataFrame(rows, columns=list(SESSIONS)).astype(SESSIONS)


def sessions_text(listed: pd.DataFrame) -> str:
    """The table of sessions as CSV: formulas escaped as in the answers, missing cells empty."""
    return csv.text(listed, SESSIONS)


def texts(database: Database, study: Study, folder: StudyFolder) -> dict[Path, str]:
    """`answers.csv` and `sessions.csv` as CSV, by their places in the study's folder."""
    found = answer_table(database, study)
    listed = session_table(database, study, exclusions(found, study.protocol))
    return {folder.answers: table.text(found), folder.sessions: sessions_text(listed)}


def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _answer(study: Study, trial: ShownTrial, number: int, pictures: Mapping[int, Picture]) -> dict[str, object]:
    timed = {side: trial.measured.get("exposures", {}).get(side, {}) for side in ("left", "right")}
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
        "left_ms": _lasted(timed["left"]),
        "right_ms": _lasted(timed["right"]),
        "left_gap_ms": timed["left"].get("gap"),
        "right_gap_ms": timed["right"].get("gap"),
        "answered_at": iso(trial.answered),
        "simulated": 1 if study.simulated else None,
        "cluster": study.clusters.of[pictures[trial.fake].item] if study.clusters else None,
    }


def _lasted(exposure: Mapping[str, float]) -> float | None:
    if not exposure or exposure["off"] < exposure["on"]:
        return None
    return exposure["off"] - exposure["on"]


def _frame(measured: Mapping[str, Any]) -> float | None:
    frame: float = measured.get("frame_ms", 0.0)
    return frame if frame >= _LEAST_FRAME_MS else None


def _session(study: Study, each: KeptSession, reasons: str | None) -> dict[str, Any]:
    viewport = each.environment.get("viewport")
    never = None if each.state == "completed" else _NEVER_COMPLETED
    return {
        **{column: getattr(each, column) for column in SESSIONS if hasattr(each, column)},
        "created": iso(each.created),
        "finished": iso(each.finished),
        "viewport": None if viewport is None else "x".join(f"{length:g}" for length in viewport),
        "hertz": each.environment.get("hertz"),
        "excluded": reasons or never,
        "simulated": 1 if study.simulated else None,
    }
