"""Results page, downloads, and data quality without answers."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pandas as pd
from fastapi import APIRouter, Request
from starlette.responses import Response

from amt.errors import Refusal
from amt.protocol import Protocol
from amt.server.context import Context, CurrentContext
from amt.server.login import Login, Posted, form_token
from amt.server.researcher_pages import PageRoute, download, render, see
from amt.statistics import curve, study_report, table
from amt.statistics.analysis import analyse
from amt.statistics.curve import ExposureQuality
from amt.statistics.exclusions import Excluded, Exclusions
from amt.statistics.rates import Quartiles, response_times
from amt.statistics.table import scored
from amt.store import export, reveals, studies
from amt.store.create import describe
from amt.store.studies import Study

_INCOMPLETE = "incomplete"
_MOST_COMMENTS = 100

router = APIRouter(prefix="/{name}", route_class=PageRoute)


class Browser(NamedTuple):
    """Timing quality in one kind of browser, with its number of sessions."""

    name: str
    sessions: int
    exposures: ExposureQuality


class RaterComment(NamedTuple):
    """Comment of a rater, without the algorithm, to avoid hints."""

    session: str
    text: str


class Quality(NamedTuple):
    """Data quality of a study.

    Attributes:
        exposures: Timing of the scored trials; None before there are answers.
        browsers: Timing by browser.
        response: Response times; None before there are answers.
        voids: Numbers of interrupted trials by reason.
        completed: Number of completed sessions.
        excluded: Completed sessions that the rules exclude.
        rules: Numbers of these by rule.
        notes: Rules that could not be applied.
        comments: Comments, the latest first.
        more_comments: Number of earlier comments that are left out.
        unverified: Number of sessions whose rater's id could be forged.
        sessions: Number of all sessions.
    """

    exposures: ExposureQuality | None
    browsers: tuple[Browser, ...]
    response: Quartiles | None
    voids: tuple[tuple[str, int], ...]
    completed: int
    excluded: tuple[Excluded, ...]
    rules: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    comments: tuple[RaterComment, ...]
    more_comments: int
    unverified: int
    sessions: int


@router.get("/results", response_model=None)
def results(request: Request, name: str, context: CurrentContext, token: Login) -> Response:
    """Show fooling rates with intervals, and comparisons of all pairs."""
    study = _unlocked(context, name)
    given = export.answer_table(context.database, study)
    analysis = None if scored(given).empty else analyse(given, study.protocol)
    kept = {algorithm.name: algorithm for algorithm in analysis.kept.algorithms} if analysis else {}
    text = study_report.text(analysis) if analysis else ""
    form = form_token(token)
    return render(request, "results.html", study=study, analysis=analysis, text=text, kept=kept, form=form)


@router.post("/reveal", response_model=None)
def reveal(name: str, context: CurrentContext, fields: Posted) -> Response:
    """Reveal results before the study is closed, and record it."""
    study = context.find(name)
    if study.state == "open":
        with context.database.writing() as connection:
            studies.reveal(connection, study.id)
    return see("results")


@router.get("/answers.csv", response_model=None)
def answers(name: str, context: CurrentContext, token: Login) -> Response:
    """Download the answers, one row per shown trial."""
    study = _unlocked(context, name)
    return download(table.text(export.answer_table(context.database, study)), f"{study.name}-answers.csv")


@router.get("/sessions.csv", response_model=None)
def sessions(name: str, context: CurrentContext, token: Login) -> Response:
    """Download the sessions, one row each, without answers."""
    study = context.find(name)
    return download(export.sessions_text(export.session_table(context.database, study)), f"{study.name}-sessions.csv")


@router.get("/codes.csv", response_model=None)
def codes(name: str, context: CurrentContext, token: Login) -> Response:
    """Download the completion codes, to verify those that raters send."""
    study = context.find(name)
    with context.database.reading() as connection:
        given = export.codes(connection, study.id)
    return download("\n".join(["code", *given, ""]), f"{study.name}-codes.csv")


@router.get("/study.json", response_model=None)
def description(name: str, context: CurrentContext, token: Login) -> Response:
    """Download the description of the study."""
    study = context.find(name)
    return download(describe(study, context.database.kind), f"{study.name}-study.json")


def quality(answers: pd.DataFrame, sessions: pd.DataFrame, left_out: Exclusions, protocol: Protocol) -> Quality:
    """Assess data quality without using whether answers are correct.

    Args:
        answers: The table of answers.
        sessions: The table of sessions.
        left_out: Sessions excluded by the protocol's rules.
        protocol: The study's protocol.
    """
    counted = scored(answers)
    excluded = tuple(
        session for session in left_out.excluded if all(reason.rule != _INCOMPLETE for reason in session.reasons)
    )
    rules = Counter(reason.rule for session in excluded for reason in session.reasons)
    written = sessions[sessions["comment"].fillna("").str.strip() != ""][::-1]
    comments = [RaterComment(*pair) for pair in zip(written["session"], written["comment"], strict=True)]
    return Quality(
        exposures=curve.exposure_quality(counted, protocol),
        browsers=_browsers(counted, sessions, protocol),
        response=response_times(counted),
        voids=tuple(Counter(answers["void"].dropna()).most_common()),
        completed=int((sessions["state"] == "completed").sum()),
        excluded=excluded,
        rules=tuple(rules.most_common()),
        notes=left_out.notes,
        comments=tuple(comments[:_MOST_COMMENTS]),
        more_comments=max(0, len(comments) - _MOST_COMMENTS),
        unverified=int((~sessions["verified"]).sum()),
        sessions=len(sessions),
    )


def _unlocked(context: Context, name: str) -> Study:
    study = context.find(name)
    if not reveals.results_allowed(study):
        raise Refusal(403, "locked", "Answers and results are hidden until the study is closed.")
    # Recorded once, so that a study that is reopened after its results were seen counts as revealed early.
    if study.state == "closed":
        with context.database.writing() as connection:
            reveals.seen(connection, study)
    return study


def _browsers(counted: pd.DataFrame, sessions: pd.DataFrame, protocol: Protocol) -> tuple[Browser, ...]:
    names = counted["session"].map(sessions.set_index("session")["browser"])
    browsers = []
    for name, rows in counted.groupby(names):
        timing = curve.exposure_quality(rows, protocol)
        if timing is not None:
            browsers.append(Browser(str(name), rows["session"].nunique(), timing))
    return tuple(sorted(browsers, key=lambda browser: -browser.sessions))
