"""The application: the raters' page and API, the researcher's pages, and how refusals look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from amt.server import preview, raters, researcher
from amt.server.context import Context, Means
from amt.server.guard import Guard
from amt.server.prefix import Prefix
from amt.store.refusal import Refusal

PAGE = Path(__file__).parent.parent / "page"
RESEARCHER = Path(__file__).parent / "static"


def create_app(context: Context) -> FastAPI:
    """The server of all studies in a database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        context.database.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.context = context
    app.add_middleware(Guard)
    app.add_middleware(Prefix, prefix=urlsplit(context.public_url).path.rstrip("/"))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.include_router(raters.router)
    app.include_router(preview.router)
    app.include_router(researcher.router)
    app.add_api_route("/images/{token}", picture, methods=["GET"], response_model=None)
    app.add_api_route("/s/{name}", _with_slash, methods=["GET"], response_model=None)
    app.add_api_route("/s/{name}/", rater_page, methods=["GET"], response_model=None)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/researcher", StaticFiles(directory=RESEARCHER))
    return app


async def picture(token: str, means: Means, authorization: Annotated[str, Header(max_length=200)] = "") -> Response:
    """A picture that this session may see. All of a study's have the same length and the same headers."""
    found = preview.picture(means, token)
    if found is None:
        found = await means.pictures.find(raters.token_of(authorization), token)
    if found is None:
        raise Refusal(404, "image", "There is no such image for this session.")
    name, number = found
    content = means.folder.study(name).picture(number).read_bytes()
    return Response(content, media_type="image/png", headers={"cache-control": "no-store, no-transform"})


def rater_page(name: str, means: Means) -> Response:
    """The page, the same for every study."""
    means.find(name)
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


def _with_slash(name: str, request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{name}/{query}", 308)  # relative, and so right under any prefix


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"retry-after": "30"} if error.status == 429 else None
    return JSONResponse({"error": error.word, "message": str(error), **error.more}, error.status, headers=headers)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": "malformed", "message": f"{where}: {first['msg']}"}, 422)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": "http", "message": str(error.detail)}, error.status_code, headers=error.headers)
