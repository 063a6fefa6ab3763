"""How well a study goes, without what its answers say: timing, speed, interruptions, who does not count, comments."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pandas as pd

from amt.protocol import Protocol
from amt.statistics import exposures
from amt.statistics.exclusions import Excluded, Exclusions
from amt.statistics.exposures import Exposures
from amt.statistics.signal import Quartiles, response_times
from amt.statistics.table import scored

_INCOMPLETE = "incomplete"
_MOST_COMMENTS = 100


class Browser(NamedTuple):
    """One kind of browser: how many sessions have answers, and how long images were on screen in them."""

    name: str
    sessions: int
    exposures: Exposures


class Comment(NamedTuple):
    """What a rater wrote; the algorithm is not said, as it would tell how well its fakes do."""

    session: str
    text: str


class Quality(NamedTuple):
    """How well a study goes.

    Attributes:
        exposures: Timing of the scored trials; None before there are answers.
        browsers: The same by browser.
        response: Response times; None before there are answers.
        voids: Interrupted trials by reason.
        completed: Completed sessions.
        excluded: Those of them that the rules leave out.
        rules: How many of those each rule leaves out.
        notes: Rules that could not be applied.
        comments: The latest first.
        more_comments: How many earlier ones are not among them.
        unverified: Sessions whose rater's id could be forged.
        sessions: All of them.
    """

    exposures: Exposures | None
    browsers: tuple[Browser, ...]
    response: Quartiles | None
    voids: tuple[tuple[str, int], ...]
    completed: int
    excluded: tuple[Excluded, ...]
    rules: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    comments: tuple[Comment, ...]
    more_comments: int
    unverified: int
    sessions: int


def quality(answers: pd.DataFrame, sessions: pd.DataFrame, found: Exclusions, protocol: Protocol) -> Quality:
    """Look at a study's answers without looking at what they say.

    Args:
        answers: The table of answers.
        sessions: The table of sessions.
        found: What the protocol's rules leave out.
        protocol: Of the study.
    """
    counted = scored(answers)
    excluded = tuple(each for each in found.excluded if all(reason.rule != _INCOMPLETE for reason in each.reasons))
    rules = Counter(reason.rule for each in excluded for reason in each.reasons)
    written = sessions[sessions["comment"].fillna("").str.strip() != ""][::-1]
    comments = [Comment(*pair) for pair in zip(written["session"], written["comment"], strict=True)]
    return Quality(
        exposures=exposures.quality(counted, protocol),
        browsers=_browsers(counted, sessions, protocol),
        response=response_times(counted),
        voids=tuple(Counter(answers["void"].dropna()).most_common()),
        completed=int((sessions["state"] == "completed").sum()),
        excluded=excluded,
        rules=tuple(rules.most_common()),
        notes=found.notes,
        comments=tuple(comments[:_MOST_COMMENTS]),
        more_comments=max(0, len(comments) - _MOST_COMMENTS),
        unverified=int((~sessions["verified"]).sum()),
        sessions=len(sessions),
    )


def _browsers(counted: pd.DataFrame, sessions: pd.DataFrame, protocol: Protocol) -> tuple[Browser, ...]:
    names = counted["session"].map(sessions.set_index("session")["browser"])
    found = []
    for name, rows in counted.groupby(names):
        timing = exposures.quality(rows, protocol)
        if timing is not None:
            found.append(Browser(str(name), rows["session"].nunique(), timing))
    return tuple(sorted(found, key=lambda browser: -browser.sessions))
