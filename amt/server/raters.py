"""API of the raters' page, idempotent, and of its preview."""

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
from amt.errors import Refusal
from amt.protocol import Protocol
from amt.recruitment import Recruitment
from amt.server import schemas
from amt.server.context import Context, CurrentContext, database_endpoint
from amt.store import sessions, studies, trials
from amt.store.sessions import Session, State
from amt.store.studies import Study
from amt.store.trials import Trial

Json = dict[str, Any]
Name = Annotated[str, Path(max_length=40)]
Id = Annotated[str, Path(max_length=64)]
K = Annotated[int, Path(ge=0, le=100_000)]
Bearer = Annotated[str, Header(alias="authorization", max_length=200)]
Agent = Annotated[str, Header(alias="user-agent")]

# Least window and frame rate: at 50 Hz a frame is 2 % of an exposure of one second.
REQUIREMENTS = {"width": 800, "height": 600, "hertz": 50}
PRACTICE, SCORED = 2, 4  # trials of a preview
_PREVIEW = "preview"
_SIDES = ("left", "right")
_SECONDS_BESIDE_TRIALS = 60.0
_SECONDS_TO_ANSWER = 1.5
_INTERRUPTED = "This study ended for you, because images were interrupted too often."

router = APIRouter(prefix="/api")
preview_router = APIRouter(prefix="/api")


@router.get("/studies/{name}")
@database_endpoint
def about(name: Name, context: CurrentContext) -> Json:
    """Settings of a study for its page, without algorithms and items."""
    study = context.find(name)
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
@database_endpoint
def start(name: Name, body: schemas.StartRequest, context: CurrentContext, agent: Agent = "") -> JSONResponse:
    """Find or create a rater's session; 201 for a new one."""
    study = context.find(name)
    started = sessions.start(context.database, study, body.rater, body.rater_source, agent)
    answer = {
        "session": started.session,
        "token": started.token,
        "consented": started.consented,
        "practice": study.protocol.practice,
        "scored": study.protocol.scored + study.protocol.attention,
    }
    return JSONResponse(answer, 201 if started.new else 200)


@router.post("/sessions/{id}/environment")
@database_endpoint
def environment(id: Id, body: schemas.EnvironmentRequest, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Store facts on the rater's device."""
    with _writing(context, id, bearer) as (connection, session):
        state = sessions.environment(connection, session, body.model_dump(), eligible=body.eligible)
        recruitment = context.settled(connection, session.study).recruitment
    return _state(recruitment, state)


@router.post("/sessions/{id}/consent")
@database_endpoint
def consent(id: Id, body: schemas.ConsentRequest, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Store the rater's consent or its refusal."""
    with _writing(context, id, bearer) as (connection, session):
        study = context.settled(connection, session.study)
        if body.version != (current := study.consent.version):
            raise Refusal(409, "version", f"The text is of version {current}; reload the page.")
        state = sessions.consent(connection, session, body.version, agreed=body.agreed)
    return _state(study.recruitment, state)


@router.get("/sessions/{id}/next")
@database_endpoint
def upcoming(id: Id, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Next trial of a session, and the pictures of those after it."""
    with _writing(context, id, bearer) as (connection, session):
        left = trials.to_come(connection, session)
        protocol = context.settled(connection, session.study).protocol
    if left is None:
        raise Refusal(409, "ended", _INTERRUPTED)
    if not left:
        return {"trial": None, "done": True}
    # Without phase and position: the page needs only the pictures of later trials.
    ahead = [{"k": trial.k, "left": trial.left, "right": trial.right} for trial in left[1:]]
    return {"trial": _upcoming(left[0], protocol), "ahead": ahead}


@router.post("/sessions/{id}/trials/{k}/shown")
@database_endpoint
def shown(id: Id, k: K, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Record the showing of a trial."""
    with _writing(context, id, bearer) as (connection, session):
        trials.show(connection, session, k, time.time())
    return {}


@router.post("/sessions/{id}/trials/{k}/void")
@database_endpoint
def void(id: Id, k: K, body: schemas.VoidRequest, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Void an interrupted trial."""
    with _writing(context, id, bearer) as (connection, session):
        protocol = context.settled(connection, session.study).protocol
        continues = trials.interrupt(connection, session, k, body.reason, protocol)
    return {"ended": not continues}


@router.put("/sessions/{id}/trials/{k}/response")
@database_endpoint
def respond(id: Id, k: K, body: schemas.AnswerRequest, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Store an answer; only practice trials return whether it was correct."""
    given = trials.TrialAnswer(body.choice, body.response_ms, body.measured())
    with _writing(context, id, bearer) as (connection, session):
        study = context.settled(connection, session.study)
        least = 0 if study.simulated else study.protocol.timing.least  # simulated raters need no time to see
        trial = trials.answer(connection, session, k, given, least, time.time())
    if trial.phase != "practice":
        return {}
    return {"correct": trial.fake_side == body.choice, "fake": trial.fake_side}


@router.post("/sessions/{id}/heartbeat")
@database_endpoint
def heartbeat(id: Id, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Extend the lease of the slot."""
    with _writing(context, id, bearer) as (_, session):
        sessions.require(session, "running", "completed")
    return {}


@router.post("/sessions/{id}/comment")
@database_endpoint
def comment(id: Id, body: schemas.CommentRequest, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Store a comment."""
    with _writing(context, id, bearer) as (connection, session):
        sessions.comment(connection, session, body.text)
    return {}


@router.post("/sessions/{id}/complete")
@database_endpoint
def complete(id: Id, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Complete a session; repeated, it returns the same code."""
    with _writing(context, id, bearer) as (connection, session):
        recruitment = context.settled(connection, session.study).recruitment
        code = recruitment.codes.get("completed") or identity.new_code()
        done = trials.complete(connection, session, code)
    return {
        "code": done.code,
        "redirect": recruitment.redirect("completed"),
        "correct": done.correct,
        "of": done.of,
    }


@router.post("/sessions/{id}/withdraw")
@database_endpoint
def withdraw(id: Id, context: CurrentContext, bearer: Bearer = "") -> Json:
    """Delete the rater's answers and free the slot."""
    with _writing(context, id, bearer) as (connection, session):
        # A repeated request is no error: its first reply may have been lost.
        if session.state != "withdrawn":
            sessions.withdraw(connection, session)
    return {}


def minutes(protocol: Protocol) -> int:
    """Estimate the duration of a session in minutes, rounded up."""
    timing = protocol.timing
    trial = timing.blank / 1000 + timing.least / 1000 + _SECONDS_TO_ANSWER
    feedback = protocol.practice * timing.feedback / 1000
    count = protocol.practice + protocol.scored + protocol.attention
    return int((count * trial + feedback + _SECONDS_BESIDE_TRIALS) // 60) + 1


def token_of(bearer: str) -> str:
    """Extract the token of an Authorization header. Raises Refusal 401."""
    scheme, _, token = bearer.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "token", "Expected the header Authorization: Bearer TOKEN.")
    return token


@contextmanager
def _writing(context: Context, id: str, bearer: str) -> Iterator[tuple[Connection, Session]]:
    """Open a writing transaction with the request's session, its lease extended."""
    token = token_of(bearer)
    with context.database.writing() as connection:
        session = sessions.identify(connection, id, token)
        sessions.renew(connection, session, time.time())
        yield connection, session


def _state(recruitment: Recruitment, state: State) -> Json:
    redirect = recruitment.redirect("ineligible") if state == "ineligible" else None
    return {"state": state, "redirect": recruitment.redirect("no_consent") if state == "declined" else redirect}


def _upcoming(trial: Trial, protocol: Protocol) -> Json:
    practice = trial.phase == "practice"
    return {
        "k": trial.k,
        "phase": "practice" if practice else "scored",  # an attention check looks like any other
        "number": trial.position + 1 - (0 if practice else protocol.practice),
        "of": protocol.practice if practice else protocol.scored + protocol.attention,
        "left": trial.left,
        "right": trial.right,
    }


@preview_router.get("/studies/{name}/preview")
def preview(name: str, context: CurrentContext) -> dict[str, Any]:
    """Serve some trials of the first slot, without a session.

    Everyone gets the same trials, without the truth of scored ones, so a rater who previews the study learns little.
    """
    study = context.find(name)
    trials = [_previewed(study, k, trial[0], trial[3]) for k, trial in enumerate(_trials(context, study))]
    return {"token": _PREVIEW, "trials": trials}


def preview_picture(context: Context, token: str) -> tuple[str, int] | None:
    """Study and picture number behind a preview's token, or None."""
    mark, _, rest = token.partition(".")
    if mark != _PREVIEW:
        return None
    name, _, _ = rest.partition(".")
    study = context.find(name)
    for k, (_, real, fake, fake_side) in enumerate(_trials(context, study)):
        for side in _SIDES:  # nothing is stored, so the token is compared with all that there can be
            if hmac.compare_digest(token.encode(), _token(study, k, side).encode()):
                return study.name, fake if side == fake_side else real
    raise Refusal(404, "image", "There is no such image.")


def _trials(context: Context, study: Study) -> list[tuple[str, int, int, str]]:
    with context.database.reading() as connection:
        schedule = json.loads(studies.first_schedule(connection, study.id))
    practice = [trial for trial in schedule if trial[0] == "practice"]
    return [*practice[:PRACTICE], *[trial for trial in schedule if trial[0] == "scored"][:SCORED]]


def _previewed(study: Study, k: int, phase: str, fake_side: str) -> dict[str, Any]:
    practice = phase == "practice"
    trial = {
        "k": k,
        "phase": phase,
        "number": k + 1 if practice else k + 1 - PRACTICE,
        "of": PRACTICE if practice else SCORED,
        **{side: _token(study, k, side) for side in _SIDES},
    }
    return trial | ({"fake": fake_side} if practice else {})


def _token(study: Study, k: int, side: str) -> str:
    """Derive a preview's picture token from the study's key."""
    mac = hmac.new(bytes.fromhex(study.key), f"{_PREVIEW}:{k}:{side}".encode(), hashlib.sha256).hexdigest()[:32]
    return f"{_PREVIEW}.{study.name}.{mac}"
