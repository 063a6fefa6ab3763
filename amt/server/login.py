"""Login of the researcher: cookie, form tokens, and password pages."""

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
from amt.errors import Refusal
from amt.server.context import Context, CurrentContext
from amt.server.researcher_pages import PageRoute, Redirect, render, see
from amt.store import logins
from amt.store.logins import NewLogin

PATH = "/admin"
_MOST_FIELDS = 20
_WRONG = "This is not the password."
_DIFFER = "The two passwords differ."

router = APIRouter(route_class=PageRoute)


def cookie_name(context: Context) -> str:
    """Name of the login's cookie.

    It differs between two servers on one machine, as browsers share cookies between ports.
    """
    return f"login_{identity.digest(context.public_url)[:8]}"


def form_token(token: str) -> str:
    """Secret of a login's forms, unknown to other sites (CSRF protection)."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


def _cookie(request: Request, context: CurrentContext) -> str:
    return request.cookies.get(cookie_name(context), "")


Cookie = Annotated[str, Depends(_cookie)]


def _login(context: CurrentContext, token: Cookie) -> str:
    with context.database.reading() as connection:
        if not logins.valid(connection, token, time.time()):
            raise Redirect("admin/login")
    return token


def _choosing(context: CurrentContext, token: Cookie) -> str:
    with context.database.reading() as connection:
        if not logins.may_choose(connection, token, time.time()):
            raise Redirect("admin/login")
    return token


async def _fields(request: Request) -> dict[str, str]:
    try:
        body = (await request.body()).decode()
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    # UnicodeDecodeError is one too.
    except ValueError:
        raise Refusal(400, "form", "This is not a form of these pages.") from None


Login = Annotated[str, Depends(_login)]
Choosing = Annotated[str, Depends(_choosing)]
Fields = Annotated[Mapping[str, str], Depends(_fields)]


def check_form(token: str, fields: Mapping[str, str]) -> None:
    """Refuse a form of another login or site. Raises Refusal 403."""
    # In constant time, so that response times do not reveal the token.
    if not hmac.compare_digest(fields.get("form", "").encode(), form_token(token).encode()):
        raise Refusal(403, "form", "This form is from an earlier login or another site. Go back, reload, try again.")


def _posted(token: Login, fields: Fields) -> Mapping[str, str]:
    check_form(token, fields)
    return fields


Posted = Annotated[Mapping[str, str], Depends(_posted)]
"""Fields of a form sent by a page of this login."""


@router.get("/login", response_model=None)
def login_page(request: Request, context: CurrentContext, token: Cookie) -> Response:
    """Show the login page."""
    with context.database.reading() as connection:
        if logins.valid(connection, token, time.time()):
            return see("./")
    return _login_form(request, context)


@router.post("/login", response_model=None)
def log_in(request: Request, context: CurrentContext, fields: Fields) -> Response:
    """Log in; the one-time password only permits choosing another."""
    try:
        login = logins.log_in(context.database, fields.get("password", ""), time.time())
    except Refusal as refusal:
        return _login_form(request, context, str(refusal), refusal)
    if login is None:
        return _login_form(request, context, _WRONG)
    return _with_cookie(see("password" if login.must_choose else "./"), context, login)


@router.get("/password", response_model=None)
def password_page(request: Request, token: Choosing) -> Response:
    """Show the page for choosing a password."""
    return _password_form(request, token, None)


@router.post("/password", response_model=None)
def choose(request: Request, context: CurrentContext, token: Choosing, fields: Fields) -> Response:
    """Set the chosen password, and log in with it."""
    check_form(token, fields)
    if fields.get("password") != fields.get("again"):
        return _password_form(request, token, _DIFFER)
    try:
        login = logins.choose(context.database, token, fields.get("password", ""), time.time())
    except Refusal as refusal:
        return _password_form(request, token, str(refusal))
    return see("login") if login is None else _with_cookie(see("./"), context, login)


@router.post("/logout", response_model=None)
def log_out(context: CurrentContext, token: Login, fields: Posted) -> Response:
    """End the login in the browser and the database."""
    with context.database.writing() as connection:
        logins.log_out(connection, token)
    response = see("login")
    response.delete_cookie(cookie_name(context), path=_path(context))
    return response


def _login_form(
    request: Request, context: Context, problem: str | None = None, refusal: Refusal | None = None
) -> Response:
    public = urlsplit(context.public_url)
    here = request.headers.get("host", "") == public.netloc and public.path in {"", "/"}
    # Under another address the browser would not return the cookie.
    elsewhere = None if here else f"{context.public_url}{PATH}/"
    status = refusal.status if refusal else 403 if problem else 200
    page = render(request, "login.html", status, problem=problem, elsewhere=elsewhere)
    if refusal:
        page.headers["retry-after"] = str(refusal.more["retry_after"])
    return page


def _password_form(request: Request, token: str, problem: str | None) -> Response:
    return render(
        request,
        "password.html",
        422 if problem else 200,
        problem=problem,
        form=form_token(token),
        least=logins.LEAST_CHARACTERS,
    )


def _with_cookie(response: Response, context: Context, login: NewLogin) -> Response:
    response.set_cookie(
        cookie_name(context),
        login.token,
        max_age=logins.CHOICE_SECONDS if login.must_choose else logins.LOGIN_SECONDS,
        path=_path(context),
        secure=urlsplit(context.public_url).scheme == "https",
        # Scripts cannot read the cookie, so a script injected into a page could not send it away.
        httponly=True,
        samesite="strict",  # not sent with requests from other sites
    )
    return response


def _path(context: Context) -> str:
    return urlsplit(context.public_url).path.rstrip("/") + PATH
