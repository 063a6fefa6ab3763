"""What is under lock until a study is closed, or someone asks to look before: fooling rates and answers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from amt import export
from amt.create import describe
from amt.server.context import Context, Means
from amt.server.login import Login, Posted, form_token
from amt.server.researcher_page import PageRoute, download, render, see
from amt.statistics import table
from amt.statistics.analysis import analyse
from amt.store import exports, looks, studies
from amt.store.refusal import Refusal
from amt.store.studies import Study

router = APIRouter(prefix="/{name}", route_class=PageRoute)


@router.get("/results", response_model=None)
def results(request: Request, name: str, means: Means, token: Login) -> Response:
    """Fooling rates with their intervals, with and without exclusions, and all pairs."""
    study = _unlocked(means, name)
    given = export.answers(means.database, study)
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
    return download(table.text(export.answers(means.database, study)), f"{study.name}-answers.csv")


@router.get("/sessions.csv", response_model=None)
def sessions(name: str, means: Means, token: Login) -> Response:
    """One row a session; nothing of what was answered."""
    study = means.find(name)
    return download(export.sessions_text(export.sessions(means.database, study)), f"{study.name}-sessions.csv")


@router.get("/codes.csv", response_model=None)
def codes(name: str, means: Means, token: Login) -> Response:
    """The completion codes, to see whether one that a rater sends is genuine; not whose they are."""
    study = means.find(name)
    with means.database.reading() as connection:
        found = exports.codes(connection, study.id)
    return download("\n".join(["code", *found, ""]), f"{study.name}-codes.csv")


@router.get("/study.json", response_model=None)
def description(name: str, means: Means, token: Login) -> Response:
    """What the study is."""
    study = means.find(name)
    return download(describe(study, means.database.kind), f"{study.name}-study.json")


def _unlocked(means: Context, name: str) -> Study:
    study = means.find(name)
    if not looks.allowed(study):
        raise Refusal(403, "locked", "What was answered is under lock until the study is closed.")
    if study.state == "closed":
        with means.database.writing() as connection:
            looks.seen(connection, study)
    return study
