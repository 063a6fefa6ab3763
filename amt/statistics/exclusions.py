"""Exclusion of sessions by the protocol's rules, none of which uses `fooled`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from amt.errors import counted
from amt.protocol import Protocol
from amt.statistics import curve
from amt.statistics.table import scored

ROUNDING = 1e-9  # shares such as 0.9 x 40 are not exact in binary


class Reason(NamedTuple):
    """Rule that excludes a session, and a sentence with the value found."""

    rule: str
    sentence: str


class Excluded(NamedTuple):
    """Excluded session with its rater, algorithms and all reasons."""

    session: str
    rater: str
    algorithms: tuple[str, ...]
    reasons: tuple[Reason, ...]


class Exclusions(NamedTuple):
    """Sessions excluded by a protocol's rules.

    Attributes:
        sessions: Number of all sessions.
        excluded: The excluded ones, by id.
        notes: One sentence per rule that could not be applied to some sessions, with their number.
    """

    sessions: int
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]

    def kept(self, table: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of sessions that count."""
        return table[~table["session"].isin([session.session for session in self.excluded])]


def exclusions(table: pd.DataFrame, protocol: Protocol) -> Exclusions:
    """Apply a protocol's rules to every session of a table of answers.

    A rule is skipped for sessions without its measurements: old batches have no times.
    """
    # Only scored trials are judged; sessions without one still appear below, by `nothing`.
    answers = dict(list(scored(table).groupby("session")))
    nothing = table.iloc[:0]
    repeated = _repeated(table)
    excluded = []
    unmeasured = {"exposures were measured: the timing rule": 0, "response times were measured: the speed rule": 0}
    for session, rows in table.groupby("session"):
        trials = answers.get(session, nothing)
        timing, speed = _timing(trials, protocol), _speed(trials, protocol)
        for note, broken in zip(unmeasured, (timing, speed), strict=True):
            unmeasured[note] += broken is None and len(trials) > 0
        reasons = [
            *_incomplete(rows),
            *_few(trials, protocol),
            *(timing or []),
            *(speed or []),
            *_one_side(trials, protocol),
            *repeated.get(str(session), []),
        ]
        if reasons:
            names = tuple(sorted(rows["algorithm"].unique()))
            excluded.append(Excluded(str(session), str(rows["rater"].iloc[0]), names, tuple(reasons)))
    sessions = table["session"].nunique()
    notes = tuple(
        f"In {count} of {counted(sessions, 'session')} no {what} was not applied to them."
        for what, count in unmeasured.items()
        if count
    )
    return Exclusions(sessions, tuple(excluded), notes)


def _incomplete(rows: pd.DataFrame) -> list[Reason]:
    state = rows["state"].iloc[0]
    return [] if state == "completed" else [Reason("incomplete", f"The session is {state}, not completed.")]


def _few(trials: pd.DataFrame, protocol: Protocol) -> list[Reason]:
    least = _least(protocol)
    if len(trials) >= least:
        return []
    return [
        Reason("few trials", f"{len(trials)} of {protocol.scored} scored trials are valid; at least {least} must be.")
    ]


def _least(protocol: Protocol) -> int:
    return int(np.ceil(protocol.rules.least_valid * protocol.scored - ROUNDING))


def _timing(trials: pd.DataFrame, protocol: Protocol) -> list[Reason] | None:
    quality, rules = curve.exposure_quality(trials, protocol), protocol.rules
    if quality is None:
        return None
    if quality.off <= rules.most_off + ROUNDING:
        return []
    return [
        Reason(
            "timing",
            f"{100 * quality.off:.1f} % of {quality.measured} exposures are off by more than {rules.frames_off:g} "
            f"frames; at most {100 * rules.most_off:g} % may be.",
        )
    ]


def _speed(trials: pd.DataFrame, protocol: Protocol) -> list[Reason] | None:
    median, least = trials["response_ms"].median(), protocol.rules.least_median_ms
    if pd.isna(median):
        return None
    if median >= least:
        return []
    return [Reason("speed", f"The median response took {median:.0f} ms; expected at least {least:g} ms.")]


def _one_side(trials: pd.DataFrame, protocol: Protocol) -> list[Reason]:
    # With few answers one side can dominate by chance; such sessions are excluded anyway.
    if trials.empty or len(trials) < _least(protocol):
        return []
    counts = trials["choice"].value_counts()
    side, count = counts.index[0], int(counts.iloc[0])
    if count < protocol.rules.one_side * len(trials) - ROUNDING:
        return []
    return [
        Reason(
            "one side",
            f"{count} of {len(trials)} answers are {side}; {100 * protocol.rules.one_side:g} % on a side is too many.",
        )
    ]


def _repeated(table: pd.DataFrame) -> dict[str, list[Reason]]:
    """Find repeated sessions of a rater, by first answer, then table order."""
    firsts = pd.DataFrame(
        {
            "session": table["session"].to_numpy(object),
            "rater": table["rater"].to_numpy(object),
            "at": pd.to_datetime(table["answered_at"], utc=True, format="ISO8601"),
        }
    )
    sessions = firsts.groupby("session", sort=False).agg(rater=("rater", "first"), at=("at", "min"))
    in_order = sessions.sort_values("at", kind="stable", na_position="last")
    earlier = in_order.reset_index().groupby("rater")["session"].first()
    return {
        str(session): [Reason("twice", f"The rater had an earlier session, {earlier[rater]}.")]
        for session, rater in in_order["rater"].items()
        if earlier[rater] != session
    }
