"""Results pages: fooling rates behind the lock, and data quality without answers."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pandas as pd
from fastapi import APIRouter, Request
from starlette.responses import Response

from amt.protocol import Protocol
from amt.server.context import Context, Means
from amt.server.login import Login, Posted, form_token
from amt.server.researcher_pages import PageRoute, download, render, see
from amt.statistics import curve, table
from amt.statistics.analysis import analyse
from amt.statistics.curve import Exposures
from amt.statistics.exclusions import Excluded, Exclusions
from amt.statistics.rates import Quartiles, response_times
from amt.statistics.table import scored
from amt.store import export, reveals, studies
from amt.store.create import describe
from amt.store.schema import Refusal
from amt.store.studies import Study

router = APIRouter(prefix="/{name}", route_class=PageRoute)


@router.get("/results", response_model=None)
def results(request: Request, name: str, means: Means, token: Login) -> Response:
    """Fooling rates with their intervals, with and without exclusions, and all pairs."""
    study = _unlocked(means, name)
    given = export.answer_table(means.database, study)
    found = None if table.scored(given).empty else analyse(given, study.protocol)
    kept = {algorithm.name: algorithm for algorithm in found.kept.algorithms} if found else {}
    return render(request, "results.html", study=study, analysis=found, kept=kept, form=form_token(token))


@router.post("/reveal", response_model=None)
def reveal(name: str, means: Means, fields: Posted) -> Response:
    """Look at the results before the study is closed; that it was done stays on record."""
    study = means.find(name)
    if study.state == "open":
        with means.database.writing() as connection:
            studies.reveal(connection, study.id)
    return see("results")


@router.get("/answers.csv", response_model=None)
def answers(name: str, means: Means, token: Login) -> Response:
    """One row a trial that was shown."""
    study = _unlocked(means, name)
    return download(table.text(export.answer_table(means.database, study)), f"{study.name}-answers.csv")


@router.get("/sessions.csv", response_model=None)
def sessions(name: str, means: Means, token: Login) -> Response:
    """One row a session; nothing of what was answered."""
    study = means.find(name)
    return download(export.sessions_text(export.session_table(means.database, study)), f"{study.name}-sessions.csv")


@router.get("/codes.csv", response_model=None)
def codes(name: str, means: Means, token: Login) -> Response:
    """The completion codes, to see whether one that a rater sends is genuine; not whose they are."""
    study = means.find(name)
    with means.database.reading() as connection:
        found = export.codes(connection, study.id)
    return download("\n".join(["code", *found, ""]), f"{study.name}-codes.csv")


@router.get("/study.json", response_model=None)
def description(name: str, means: Means, token: Login) -> Response:
    """What the study is."""
    study = means.find(name)
    return download(describe(study, means.database.kind), f"{study.name}-study.json")


def _unlocked(means: Context, name: str) -> Study:
    study = means.find(name)
    if not reveals.results_allowed(study):
        raise Refusal(403, "locked", "What was answered is under lock until the study is closed.")
    if study.state == "closed":
        with means.database.writing() as connection:
            reveals.seen(connection, study)
    return study


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
        exposures=curve.exposure_quality(counted, protocol),
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
        timing = curve.exposure_quality(rows, protocol)
        if timing is not None:
            found.append(Browser(str(name), rows["session"].nunique(), timing))
    return tuple(sorted(found, key=lambda browser: -browser.sessions))
