"""Rendering of the researcher's pages: templates, relative addresses, refusals."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from amt.errors import Refusal, counted

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Redirect(Exception):
    """Redirect to a path below the server's root."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class PageRoute(APIRoute):
    """Route that renders refusals as pages and redirects to the login."""

    def get_route_handler(self) -> _Handler:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except Redirect as redirect:
                return see(root(request) + redirect.path)
            except Refusal as refusal:
                return refused(request, refusal)

        return handle_for_people


def render(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Render a template, with `root` as address of the server's root."""
    return HTMLResponse(_templates.get_template(template).render(root=root(request), **values), status)


def refused(request: Request, refusal: Refusal) -> HTMLResponse:
    """Render a refusal as a page."""
    back = "name" in request.path_params and refusal.word != "study"
    page = render(request, "refused.html", refusal.status, message=str(refusal), back=back)
    if "retry_after" in refusal.more:
        page.headers["retry-after"] = str(refusal.more["retry_after"])
    return page


def see(location: str) -> RedirectResponse:
    """Redirect to a relative address with GET."""
    return RedirectResponse(location, 303)


def download(content: str, name: str) -> Response:
    """Respond with a file to download."""
    kind = "application/json" if name.endswith(".json") else "text/csv; charset=utf-8"
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


def root(request: Request) -> str:
    """Relative address of the server's root, valid under any path prefix."""
    # `../` for each folder below the root.
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1) or "./"


def moment(seconds: float) -> str:
    """Format a time, such as 3 October 2026, 14:05 UTC."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


_templates = Environment(
    loader=PackageLoader("amt.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_templates.filters |= {"moment": moment, "percent": _percent, "thousands": "{:,}".format, "minus": _minus}


_templates.globals["counted"] = counted
