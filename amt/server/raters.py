"""The raters' API, idempotent, and the researcher's preview of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from amt import identity
from amt.protocol import Protocol
from amt.recruitment import Recruitment
from amt.server import schemas
from amt.server.context import Context, Means, in_place
from amt.store import sessions, studies, trials
from amt.store.schema import Refusal
from amt.store.sessions import Session, State
from amt.store.studies import Study
from amt.store.trials import Trial

Json = dict[str, Any]


Name = Annotated[str, Path(max_length=40)]


Id = Annotated[str, Path(max_length=64)]


K = Annotated[int, Path(ge=0, le=100_000)]


Bearer = Annotated[str, Header(alias="authorization", max_length=200)]


Agent = Annotated[str, Header(alias="user-agent")]


REQUIREMENTS = {"width": 800, "height": 600, "hertz": 50}


_SECONDS_BESIDE_TRIALS = 60.0


_SECONDS_TO_ANSWER = 1.5


_INTERRUPTED = "This study ended for you, because images were interrupted too often."


router = APIRouter(prefix="/api")


@router.get("/studies/{name}")
@in_place
def about(name: Name, means: Means) -> Json:
    """What the page must know before there is a session; nothing of algorithms or items."""
    study = means.find(name)
    protocol = study.protocol
    return {
        "name": study.name,
        "title": study.title,
        "state": study.state,
        "simulated": study.simulated,
        "consent": {"version": study.consent.version, "paragraphs": study.consent.paragraphs},
        "contact": study.consent.contact,
        "recruitment": study.recruitment.by,
        "practice": protocol.practice,
        "scored": protocol.scored + protocol.attention,
        "width": protocol.width,
        "height": protocol.height,
        "minutes": minutes(protocol),
        "timing": protocol.timing.model_dump(),
        "requirements": REQUIREMENTS,
    }


@router.post("/studies/{name}/sessions")
@in_place
def start(name: Name, body: schemas.Start, means: Means, agent: Agent = "") -> JSONResponse:
    """Find or create the session of a rater: 201 for a new one."""
    study = means.find(name)
    started = sessions.start(means.database, study, body.rater, body.rater_source, agent)
    answer = {
        "session": started.session,
        "token": started.token,
        "consented": started.consented,
        "practice": study.protocol.practice,
        "scored": study.protocol.scored + study.protocol.attention,
    }
    return JSONResponse(answer, 201 if started.new else 200)


@router.post("/sessions/{id}/environment")
@in_place
def environment(id: Id, body: schemas.Environment, means: Means, bearer: Bearer = "") -> Json:
    """Keep what the page found out about the device."""
    with _writing(means, id, bearer) as (connection, session):
        state = sessions.environment(connection, session, body.model_dump(), eligible=body.eligible)
        recruitment = means.settled(connection, session.study).recruitment
    return _state(recruitment, state)


@router.post("/sessions/{id}/consent")
@in_place
def consent(id: Id, body: schemas.Consent, means: Means, bearer: Bearer = "") -> Json:
    """Keep that the rater agrees, or lets it be."""
    with _writing(means, id, bearer) as (connection, session):
        study = means.settled(connection, session.study)
        if body.version != (current := study.consent.version):
            raise Refusal(409, "version", f"The text is of version {current}; load the page again.")
        state = sessions.consent(connection, session, body.version, agreed=body.agreed)
    return _state(study.recruitment, state)


@router.get("/sessions/{id}/next")
@in_place
def upcoming(id: Id, means: Means, bearer: Bearer = "") -> Json:
    """Where the rater is."""
    with _writing(means, id, bearer) as (connection, session):
        left = trials.to_come(connection, session)
        protocol = means.settled(connection, session.study).protocol
    if left is None:
        raise Refusal(409, "ended", _INTERRUPTED)
    if not left:
        return {"trial": None, "done": True}
    ahead = [{"k": trial.k, "left": trial.left, "right": trial.right} for trial in left[1:]]
    return {"trial": _shown_at(left[0], protocol), "ahead": ahead}


@router.post("/sessions/{id}/trials/{k}/shown")
@in_place
def shown(id: Id, k: K, means: Means, bearer: Bearer = "") -> Json:
    """Keep that a trial is about to be shown."""
    with _writing(means, id, bearer) as (connection, session):
        trials.show(connection, session, k, time.time())
    return {}


@router.post("/sessions/{id}/trials/{k}/void")
@in_place
def void(id: Id, k: K, body: schemas.Void, means: Means, bearer: Bearer = "") -> Json:
    """Void a trial that was interrupted."""
    with _writing(means, id, bearer) as (connection, session):
        protocol = means.settled(connection, session.study).protocol
        goes_on = trials.interrupt(connection, session, k, body.reason, protocol)
    return {"ended": not goes_on}


@router.put("/sessions/{id}/trials/{k}/response")
@in_place
def respond(id: Id, k: K, body: schemas.Response, means: Means, bearer: Bearer = "") -> Json:
    """Keep an answer. Practice says whether it was right, a scored trial never."""
    given = trials.Answer(body.choice, body.response_ms, body.measured())
    with _writing(means, id, bearer) as (connection, session):
        study = means.settled(connection, session.study)
        least = 0 if study.simulated else study.protocol.timing.least  # programs see nothing, and need no time for it
        trial = trials.answer(connection, session, k, given, least, time.time())
    if trial.phase != "practice":
        return {}
    return {"correct": trial.fake_side == body.choice, "fake": trial.fake_side}


@router.post("/sessions/{id}/heartbeat")
@in_place
def heartbeat(id: Id, means: Means, bearer: Bearer = "") -> Json:
    """Keep the place."""
    with _writing(means, id, bearer) as (_, session):
        sessions.require(session, "running", "completed")
    return {}


@router.post("/sessions/{id}/comment")
@in_place
def comment(id: Id, body: schemas.Comment, means: Means, bearer: Bearer = "") -> Json:
    """Keep a comment."""
    with _writing(means, id, bearer) as (connection, session):
        sessions.comment(connection, session, body.text)
    return {}


@router.post("/sessions/{id}/complete")
@in_place
def complete(id: Id, means: Means, bearer: Bearer = "") -> Json:
    """End a session: always the same code."""
    with _writing(means, id, bearer) as (connection, session):
        recruitment = means.settled(connection, session.study).recruitment
        code = recruitment.codes.get("completed") or identity.new_code()
        done = trials.complete(connection, session, code)
    return {
        "code": done.code,
        "redirect": recruitment.redirect("completed"),
        "correct": done.correct,
        "of": done.of,
    }


@router.post("/sessions/{id}/withdraw")
@in_place
def withdraw(id: Id, means: Means, bearer: Bearer = "") -> Json:
    """Delete the rater's answers and free the place."""
    with _writing(means, id, bearer) as (connection, session):
        if session.state != "withdrawn":
            sessions.withdraw(connection, session)
    return {}


def minutes(protocol: Protocol) -> int:
    """About how long a session takes, rounded up."""
    timing = protocol.timing
    trial = timing.blank / 1000 + timing.least / 1000 + _SECONDS_TO_ANSWER
    feedback = protocol.practice * timing.feedback / 1000
    count = protocol.practice + protocol.scored + protocol.attention
    return int((count * trial + feedback + _SECONDS_BESIDE_TRIALS) // 60) + 1


def token_of(bearer: str) -> str:
    """The token of an Authorization header. Raises Refusal 401."""
    scheme, _, token = bearer.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "token", "Expected the header Authorization: Bearer TOKEN.")
    return token


@contextmanager
def _writing(means: Context, id: str, bearer: str) -> Iterator[tuple[Connection, Session]]:
    token = token_of(bearer)
    with means.database.writing() as connection:
        session = sessions.identify(connection, id, token)
        sessions.renew(connection, session, time.time())
        yield connection, session


def _state(recruitment: Recruitment, state: State) -> Json:
    redirect = recruitment.redirect("ineligible") if state == "ineligible" else None
    return {"state": state, "redirect": recruitment.redirect("no_consent") if state == "declined" else redirect}


def _shown_at(trial: Trial, protocol: Protocol) -> Json:
    practice = trial.phase == "practice"
    return {
        "k": trial.k,
        "phase": "practice" if practice else "scored",  # an attention check looks like any other
        "number": trial.position + 1 - (0 if practice else protocol.practice),
        "of": protocol.practice if practice else protocol.scored + protocol.attention,
        "left": trial.left,
        "right": trial.right,
    }


PRACTICE, SCORED = 2, 4


_MARK = "preview"


_SIDES = ("left", "right")


preview_router = APIRouter(prefix="/api")


@preview_router.get("/studies/{name}/preview")
def preview(name: str, means: Means) -> dict[str, Any]:
    """A few trials of the first place, their pictures named by tokens that need no session.

    The same few for everybody, and of the scored ones no truth: who looks here before taking part learns as little
    as can be.
    """
    study = means.find(name)
    trials = [_shown(study, k, trial[0], trial[3]) for k, trial in enumerate(_trials(means, study))]
    return {"token": _MARK, "trials": trials}


def preview_picture(means: Context, token: str) -> tuple[str, int] | None:
    """The study and the number of the picture that a preview's token names; None for all other tokens."""
    mark, _, rest = token.partition(".")
    if mark != _MARK:
        return None
    name, _, _ = rest.partition(".")
    study = means.find(name)
    for k, (_, real, fake, fake_side) in enumerate(_trials(means, study)):
        for side in _SIDES:
            if hmac.compare_digest(token.encode(), _token(study, k, side).encode()):
                return study.name, fake if side == fake_side else real
    raise Refusal(404, "image", "There is no such image.")


def _trials(means: Context, study: Study) -> list[tuple[str, int, int, str]]:
    with means.database.reading() as connection:
        schedule = json.loads(studies.first_schedule(connection, study.id))
    practice = [trial for trial in schedule if trial[0] == "practice"]
    return [*practice[:PRACTICE], *[trial for trial in schedule if trial[0] == "scored"][:SCORED]]


def _shown(study: Study, k: int, phase: str, fake_side: str) -> dict[str, Any]:
    practice = phase == "practice"
    shown = {
        "k": k,
        "phase": phase,
        "number": k + 1 if practice else k + 1 - PRACTICE,
        "of": PRACTICE if practice else SCORED,
        **{side: _token(study, k, side) for side in _SIDES},
    }
    return shown | ({"fake": fake_side} if practice else {})


def _token(study: Study, k: int, side: str) -> str:
    mac = hmac.new(bytes.fromhex(study.key), f"{_MARK}:{k}:{side}".encode(), hashlib.sha256).hexdigest()[:32]
    return f"{_MARK}.{study.name}.{mac}"
