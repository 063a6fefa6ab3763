"""Researcher's pages: list of studies, and a study's counts, links and state."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from amt.errors import Refusal
from amt.protocol import Protocol
from amt.recruitment import links_csv, rater_link
from amt.server import login, researcher_results
from amt.server.context import CurrentContext
from amt.server.login import Login, Posted, form_token
from amt.server.researcher_pages import PageRoute, download, render, see
from amt.server.researcher_results import quality
from amt.statistics.exclusions import exclusions
from amt.store import counts, export, reveals, sessions, studies
from amt.store.sessions import LEASE_SECONDS

MOST_LINKS = 1000
_MOST_LABEL = 100

router = APIRouter(prefix=login.PATH, route_class=PageRoute)
router.include_router(login.router)


@router.get("", response_model=None)
def _with_slash() -> Response:
    return see("admin/")


@router.get("/", response_model=None)
def index(request: Request, context: CurrentContext, token: Login) -> Response:
    """Show all studies."""
    with context.database.reading() as connection:
        known = [studies.find(connection, name) for name in studies.names(connection)]
        listed = [(study, counts.total(counts.tallies(connection, study.id, time.time()))) for study in known if study]
    return render(request, "studies.html", studies=listed, form=form_token(token))


@router.get("/{name}", response_model=None)
def _study_with_slash(name: str) -> Response:
    return see(f"{name}/")


@router.get("/{name}/", response_model=None)
def study_page(request: Request, name: str, context: CurrentContext, token: Login) -> Response:
    """Show one study."""
    study = context.find(name)
    # Built once and shared by the page's parts, as it is the most expensive step.
    answers = export.answer_table(context.database, study)
    left_out = exclusions(answers, study.protocol)
    listed = export.session_table(context.database, study, left_out)
    with context.database.reading() as connection:
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
        link=rater_link(context.public_url, study.name, study.recruitment),
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
def live(name: str, context: CurrentContext, token: Login) -> dict[str, Any]:
    """Current counts of a study's page by their names in it."""
    study = context.find(name)
    with context.database.reading() as connection:
        tallied = counts.tallies(connection, study.id, time.time())
        invited = counts.links_of(connection, study.id)
    groups: list[tuple[object, dict[str, int]]] = [(i, tally.document()) for i, tally in enumerate(tallied.values())]
    groups += [("all", counts.total(tallied).document()), ("links", invited._asdict())]
    numbers = {f"{group}.{key}": count for group, group_counts in groups for key, count in group_counts.items()}
    return {"state": study.state, "counts": numbers}


@router.post("/{name}/state", response_model=None)
def set_state(name: str, context: CurrentContext, fields: Posted) -> Response:
    """Close a study to new raters, or reopen it."""
    study = context.find(name)
    with context.database.writing() as connection:
        if fields.get("state") == "closed":
            reveals.close(connection, study)
        elif fields.get("state") == "open":
            reveals.reopen(connection, study)
    return see("./")


@router.post("/{name}/links", response_model=None)
def make_links(name: str, context: CurrentContext, fields: Posted) -> Response:
    """Make single-use links, shown only once, as CSV."""
    study = context.find(name)
    label, count = _links_wanted(fields)
    with context.database.writing() as connection:
        secrets = sessions.make_links(connection, study, count, label)
    return download(links_csv(context.public_url, study.name, secrets), f"{study.name}-links.csv")


@router.post("/{name}/forget", response_model=None)
def forget(name: str, context: CurrentContext, fields: Posted) -> Response:
    """Delete the identities of a study's raters."""
    study = context.find(name)
    # The browser's own check of a required box can be bypassed.
    if fields.get("sure") != "yes":
        raise Refusal(422, "sure", "Deleting identities cannot be undone; tick the box to confirm.")
    reveals.forget(context.database, study)
    return see("./")


router.include_router(researcher_results.router)


def _links_wanted(fields: Posted) -> tuple[str, int]:
    label, count = fields.get("label", "").strip(), fields.get("count", "")
    if not label or len(label) > _MOST_LABEL:
        raise Refusal(422, "label", f"Give the links a label of 1 to {_MOST_LABEL} characters.")
    if not count.isdecimal() or len(count) > len(str(MOST_LINKS)) or not 1 <= int(count) <= MOST_LINKS:
        raise Refusal(422, "count", f"Ask for 1 to {MOST_LINKS} links.")
    return label, int(count)


def _settings(protocol: Protocol) -> list[tuple[str, object, str]]:
    """Name, value and description of each setting of a protocol."""
    settings: list[tuple[str, object, str]] = []
    for part, prefix in ((protocol, ""), (protocol.timing, "timing "), (protocol.rules, "rules ")):
        for name, field in type(part).model_fields.items():
            if field.description:
                settings.append((prefix + name.replace("_", " "), getattr(part, name), field.description))
    return settings
