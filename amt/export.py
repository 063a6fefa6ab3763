"""A study's answers and sessions as tables, and as the CSV files of its folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from amt.layout import StudyFolder
from amt.statistics import cells, table
from amt.statistics.exclusions import Exclusions, exclusions
from amt.store import exports, studies
from amt.store.database import Database
from amt.store.exports import KeptSession, ShownTrial
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
_LEAST_FRAME_MS = 1.0  # no display shows 1000 frames a second
# Whoever leaves after images were shown has answers; to the table of answers such a session has ended.
_ENDED = ("ineligible",)
_NO_CONSENT = ("declined",)


def answers(database: Database, study: Study) -> pd.DataFrame:
    """The table of answers (see `amt.statistics.table`): one row a trial that was shown, sessions as they began.

    A trial's number is its place in the order shown within its phase, from 1; a voided trial and the one that stood
    in for it have a number each. A running session whose lease is over is abandoned. Measurements that cannot be
    (an image that went before it came) are missing. Sessions that took back their consent have no rows.
    """
    with database.reading() as connection:
        pictures = studies.pictures_of(connection, study.id)
        shown = exports.shown_trials(connection, study.id, time.time())
    numbers: Counter[tuple[str, str]] = Counter()
    rows = []
    for trial in shown:
        if trial.state not in _NO_CONSENT:
            numbers[trial.session, trial.phase] += 1
            rows.append(_answer(study, trial, numbers[trial.session, trial.phase], pictures))
    return table.build(rows)


def sessions(database: Database, study: Study, found: Exclusions | None = None) -> pd.DataFrame:
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
    found = found or exclusions(answers(database, study), study.protocol)
    with database.reading() as connection:
        kept = exports.kept_sessions(connection, study.id, time.time())
    reasons = {each.session: "; ".join(reason.rule for reason in each.reasons) for each in found.excluded}
    rows = [_session(study, each, reasons.get(each.session)) for each in kept]
    return pd.DataFrame(rows, columns=list(SESSIONS)).astype(SESSIONS)


def sessions_text(listed: pd.DataFrame) -> str:
    """The table of sessions as CSV: formulas escaped as in the answers, missing cells empty."""
    return cells.text(listed, SESSIONS)


def texts(database: Database, study: Study, folder: StudyFolder) -> dict[Path, str]:
    """`answers.csv` and `sessions.csv` as CSV, by their places in the study's folder."""
    found = answers(database, study)
    listed = sessions(database, study, exclusions(found, study.protocol))
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
