"""The researcher's pages: all studies, and one study with its live counts, its links and its state."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from amt.protocol import Protocol
from amt.recruitment import links_csv, rater_link
from amt.server import login, researcher_results
from amt.server.context import Means
from amt.server.login import Login, Posted, form_token
from amt.server.researcher_pages import PageRoute, download, render, see
from amt.server.researcher_results import quality
from amt.statistics.exclusions import exclusions
from amt.store import counts, export, reveals, sessions, studies
from amt.store.counts import Links, Tally
from amt.store.schema import Refusal
from amt.store.sessions import LEASE_SECONDS

MOST_LINKS = 1000
_MOST_LABEL = 100

router = APIRouter(prefix=login.PATH, route_class=PageRoute)
router.include_router(login.router)


@router.get("", response_model=None)
def _with_slash() -> Response:
    return see("admin/")


@router.get("/", response_model=None)
def index(request: Request, means: Means, token: Login) -> Response:
    """All studies."""
    with means.database.reading() as connection:
        listed = [studies.find(connection, name) for name in studies.names(connection)]
        found = [(study, counts.total(counts.tallies(connection, study.id, time.time()))) for study in listed if study]
    return render(request, "studies.html", studies=found, form=form_token(token))


@router.get("/{name}", response_model=None)
def _study_with_slash(name: str) -> Response:
    return see(f"{name}/")


@router.get("/{name}/", response_model=None)
def study_page(request: Request, name: str, means: Means, token: Login) -> Response:
    """One study."""
    study = means.find(name)
    answers = export.answer_table(means.database, study)
    left_out = exclusions(answers, study.protocol)
    listed = export.session_table(means.database, study, left_out)
    with means.database.reading() as connection:
        tallied = counts.tallies(connection, study.id, time.time())
        invited = counts.links_of(connection, study.id)
        forgotten = reveals.when(connection, study, "forgotten")
        seen = reveals.when(connection, study, "seen")
    return render(
        request,
        "study.html",
        study=study,
        tallies=tallied,
        total=counts.total(tallied),
        links=invited,
        link=rater_link(means.public_url, study.name, study.recruitment),
        quality=quality(answers, listed, left_out, study.protocol),
        settings=_settings(study.protocol),
        unlocked=reveals.results_allowed(study),
        forgotten=forgotten,
        seen=seen,
        now=time.time(),
        lease_minutes=LEASE_SECONDS // 60,
        most_links=MOST_LINKS,
        form=form_token(token),
    )


@router.get("/{name}/counts")
def live(name: str, means: Means, token: Login) -> dict[str, Any]:
    """The counts of the page by the names that it gives them, for its refreshing every few seconds."""
    study = means.find(name)
    with means.database.reading() as connection:
        tallied = counts.tallies(connection, study.id, time.time())
        invited = counts.links_of(connection, study.id)
    groups: list[tuple[object, Tally | Links]] = [*enumerate(tallied.values())]
    groups += [("all", counts.total(tallied)), ("links", invited)]
    numbers = {f"{group}.{key}": count for group, tally in groups for key, count in tally._asdict().items()}
    return {"state": study.state, "counts": numbers}


@router.post("/{name}/state", response_model=None)
def set_state(name: str, means: Means, fields: Posted) -> Response:
    """Close the study to new raters, or open it again."""
    study = means.find(name)
    with means.database.writing() as connection:
        if fields.get("state") == "closed":
            reveals.close(connection, study)
        elif fields.get("state") == "open":
            reveals.reopen(connection, study)
    return see("./")


@router.post("/{name}/links", response_model=None)
def make_links(name: str, means: Means, fields: Posted) -> Response:
    """More single-use links, as a CSV: this is the only time that they can be seen."""
    study = means.find(name)
    label, count = _wanted(fields)
    with means.database.writing() as connection:
        secrets = sessions.make_links(connection, study, count, label)
    return download(links_csv(means.public_url, study.name, secrets), f"{study.name}-links.csv")


@router.post("/{name}/forget", response_model=None)
def forget(name: str, means: Means, fields: Posted) -> Response:
    """Forget who was who."""
    study = means.find(name)
    if fields.get("sure") != "yes":
        raise Refusal(422, "sure", "Forgetting cannot be undone; tick the box that says so.")
    reveals.forget(means.database, study)
    return see("./")


router.include_router(researcher_results.router)


def _wanted(fields: Posted) -> tuple[str, int]:
    label, count = fields.get("label", "").strip(), fields.get("count", "")
    if not label or len(label) > _MOST_LABEL:
        raise Refusal(422, "label", f"Give the links a label of 1 to {_MOST_LABEL} characters.")
    if not count.isdecimal() or len(count) > len(str(MOST_LINKS)) or not 1 <= int(count) <= MOST_LINKS:
        raise Refusal(422, "count", f"Ask for 1 to {MOST_LINKS} links.")
    return label, int(count)


def _settings(protocol: Protocol) -> list[tuple[str, object, str]]:
    """Each setting of a protocol: its name, its value, and what it means."""
    found: list[tuple[str, object, str]] = []
    for part, prefix in ((protocol, ""), (protocol.timing, "timing "), (protocol.rules, "rules ")):
        for name, field in type(part).model_fields.items():
            if field.description:
                found.append((prefix + name.replace("_", " "), getattr(part, name), field.description))
    return found
