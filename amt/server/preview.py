"""The preview: the researcher tries the page, and nothing is stored."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from fastapi import APIRouter

from amt.server.context import Context, Means
from amt.store import studies
from amt.store.refusal import Refusal
from amt.store.studies import Study

PRACTICE, SCORED = 2, 4
_MARK = "preview"
_SIDES = ("left", "right")

router = APIRouter(prefix="/api")


@router.get("/studies/{name}/preview")
def preview(name: str, means: Means) -> dict[str, Any]:
    """A few trials of the first place, their pictures named by tokens that need no session.

    The same few for everybody, and of the scored ones no truth: who looks here before taking part learns as little
    as can be.
    """
    study = means.find(name)
    trials = [_shown(study, k, trial[0], trial[3]) for k, trial in enumerate(_trials(means, study))]
    return {"token": _MARK, "trials": trials}


def picture(means: Context, token: str) -> tuple[str, int] | None:
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
