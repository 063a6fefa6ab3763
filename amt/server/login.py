"""Logging in and out: the login's cookie, what guards the forms, and the pages of the password."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from amt import identity
from amt.server.context import Context, Means
from amt.server.researcher_pages import Elsewhere, PageRoute, render, see
from amt.store import logins
from amt.store.logins import Entry
from amt.store.schema import Refusal

PATH = "/admin"
_MOST_FIELDS = 20
_WRONG = "This is not the password."
_DIFFER = "The two passwords differ."

router = APIRouter(route_class=PageRoute)


def cookie_name(means: Context) -> str:
    """Of the login's cookie; not the same for two servers on one machine, whose cookies browsers do not keep apart."""
    return f"login_{identity.digest(means.public_url)[:8]}"


def form_token(token: str) -> str:
    """What every form of a login carries, and no other site can know."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


def _cookie(request: Request, means: Means) -> str:
    return request.cookies.get(cookie_name(means), "")


Cookie = Annotated[str, Depends(_cookie)]


def _login(means: Means, token: Cookie) -> str:
    with means.database.reading() as connection:
        if not logins.valid(connection, token, time.time()):
            raise Elsewhere("admin/login")
    return token


def _choosing(means: Means, token: Cookie) -> str:
    with means.database.reading() as connection:
        if not logins.may_choose(connection, token, time.time()):
            raise Elsewhere("admin/login")
    return token


async def _fields(request: Request) -> dict[str, str]:
    try:
        body = (await request.body()).decode()
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Refusal(400, "form", "This is no form of these pages.") from None


Login = Annotated[str, Depends(_login)]
Choosing = Annotated[str, Depends(_choosing)]
Fields = Annotated[Mapping[str, str], Depends(_fields)]


def check_form(token: str, fields: Mapping[str, str]) -> None:
    """Refuse a form that is not from a page of this login. Raises Refusal 403."""
    if not hmac.compare_digest(fields.get("form", "").encode(), form_token(token).encode()):
        raise Refusal(403, "form", "This form is from an earlier login or another site. Go back, reload, try again.")


def _posted(token: Login, fields: Fields) -> Mapping[str, str]:
    check_form(token, fields)
    return fields


Posted = Annotated[Mapping[str, str], Depends(_posted)]
"""The fields of a form that a page of this login sent."""


@router.get("/login", response_model=None)
def login_page(request: Request, means: Means, token: Cookie) -> Response:
    """Ask for the password."""
    with means.database.reading() as connection:
        if logins.valid(connection, token, time.time()):
            return see("./")
    return _ask(request, means)


@router.post("/login", response_model=None)
def log_in(request: Request, means: Means, fields: Fields) -> Response:
    """Log in; with the one-time password, only to choose another."""
    try:
        entry = logins.log_in(means.database, fields.get("password", ""), time.time())
    except Refusal as refusal:
        return _ask(request, means, str(refusal), refusal)
    if entry is None:
        return _ask(request, means, _WRONG)
    return _with_cookie(see("password" if entry.must_choose else "./"), means, entry)


@router.get("/password", response_model=None)
def password_page(request: Request, token: Choosing) -> Response:
    """Ask for a password of the researcher's own."""
    return _ask_new(request, token, None)


@router.post("/password", response_model=None)
def choose(request: Request, means: Means, token: Choosing, fields: Fields) -> Response:
    """Take it, and go on with it."""
    check_form(token, fields)
    if fields.get("password") != fields.get("again"):
        return _ask_new(request, token, _DIFFER)
    try:
        entry = logins.choose(means.database, token, fields.get("password", ""), time.time())
    except Refusal as refusal:
        return _ask_new(request, token, str(refusal))
    return see("login") if entry is None else _with_cookie(see("./"), means, entry)


@router.post("/logout", response_model=None)
def log_out(means: Means, token: Login, fields: Posted) -> Response:
    """End the login, here and in the database."""
    with means.database.writing() as connection:
        logins.log_out(connection, token)
    response = see("login")
    response.delete_cookie(cookie_name(means), path=_path(means))
    return response


def _ask(request: Request, means: Context, problem: str | None = None, refusal: Refusal | None = None) -> Response:
    public = urlsplit(means.public_url)
    here = request.headers.get("host", "") == public.netloc and public.path in {"", "/"}
    elsewhere = None if here else f"{means.public_url}{PATH}/"  # elsewhere browsers would not send the cookie back
    status = refusal.status if refusal else 403 if problem else 200
    page = render(request, "login.html", status, problem=problem, elsewhere=elsewhere)
    if refusal:
        page.headers["retry-after"] = str(refusal.more["retry_after"])
    return page


def _ask_new(request: Request, token: str, problem: str | None) -> Response:
    return render(
        request,
        "password.html",
        422 if problem else 200,
        problem=problem,
        form=form_token(token),
        least=logins.LEAST_CHARACTERS,
    )


def _with_cookie(response: Response, means: Context, entry: Entry) -> Response:
    response.set_cookie(
        cookie_name(means),
        entry.token,
        max_age=logins.CHOICE_SECONDS if entry.must_choose else logins.LOGIN_SECONDS,
        path=_path(means),
        secure=urlsplit(means.public_url).scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _path(means: Context) -> str:
    return urlsplit(means.public_url).path.rstrip("/") + PATH
