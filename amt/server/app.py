"""Web application, and the processes that serve it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from uvicorn.supervisors import Multiprocess

from amt.errors import AmtError, Refusal
from amt.folders import Studies
from amt.server import raters, researcher
from amt.server.context import Context, CurrentContext
from amt.server.middleware import PathPrefix, RequestLimits
from amt.store.database import open_database

PAGE = Path(__file__).parent.parent / "page"
RESEARCHER = Path(__file__).parent / "static"
_DATABASE, _FOLDER, _URL, _PARENT = (f"P2PBENCH_STUDY_{name}" for name in ("DATABASE", "FOLDER", "URL", "PARENT"))
# For requests in progress, whose answers must not get lost.
_GRACE_SECONDS = 10
_HEALTH_SECONDS = 30  # a worker that is merely busy is not replaced
# A recruitment platform may send hundreds of raters within a second; the system may lower this number.
_BACKLOG = 2048


def create_app(context: Context) -> FastAPI:
    """Create the application for all studies in a database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        context.database.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.context = context
    app.add_middleware(RequestLimits)
    # Starlette runs the middleware that was added last first: the prefix is there before any route is matched.
    app.add_middleware(PathPrefix, prefix=urlsplit(context.public_url).path.rstrip("/"))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.include_router(raters.router)
    app.include_router(raters.preview_router)
    app.include_router(researcher.router)
    app.add_api_route("/images/{token}", picture, methods=["GET"], response_model=None)
    app.add_api_route("/s/{name}", _with_slash, methods=["GET"], response_model=None)
    app.add_api_route("/s/{name}/", rater_page, methods=["GET"], response_model=None)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/researcher", StaticFiles(directory=RESEARCHER))
    return app


async def picture(
    token: str, context: CurrentContext, authorization: Annotated[str, Header(max_length=200)] = ""
) -> Response:
    """Serve a picture of this session.

    All pictures of a study have the same length and headers, so that neither reveals which are real.
    """
    named = raters.preview_picture(context, token)
    if named is None:
        named = await context.pictures.find(raters.token_of(authorization), token)
    if named is None:
        raise Refusal(404, "image", "There is no such image for this session.")
    name, number = named
    # Read per request: pictures are small, and the system's page cache holds them.
    content = context.folder.study(name).picture(number).read_bytes()
    return Response(content, media_type="image/png", headers={"cache-control": "no-store, no-transform"})


def rater_page(name: str, context: CurrentContext) -> Response:
    """Serve the raters' page, which is the same for every study."""
    context.find(name)
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


def serve(folder: Studies, database: str | Path, sock: socket.socket, public_url: str, workers: int) -> None:
    """Serve the studies of a database until SIGINT or SIGTERM.

    Requests in progress are finished first.

    Args:
        folder: Folder of the pictures.
        database: The database, as for `open_database`.
        sock: Socket from `listening_socket`.
        public_url: URL for raters.
        workers: Number of processes.
    """
    # uvicorn spawns workers and imports the application by name, so its arguments go through the environment.
    os.environ |= {
        _DATABASE: str(database),
        _FOLDER: str(folder.folder),
        _URL: public_url,
        _PARENT: str(os.getpid()),
    }
    config = uvicorn.Config(
        "amt.server.app:app",
        factory=True,
        workers=workers,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
        access_log=False,  # raters' addresses are stored nowhere
        log_level="warning",
        server_header=False,
        backlog=_BACKLOG,
    )
    if workers == 1:
        uvicorn.Server(config).run(sockets=[sock])
    else:
        Multiprocess(config, sockets=[sock]).run()


def app() -> FastAPI:
    """Create the application in a worker process."""
    where = os.environ[_DATABASE]
    parent = int(os.environ[_PARENT])
    # With one worker the application runs in the process of `serve` itself.
    if parent != os.getpid():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    database = open_database(where if "://" in where else Path(where))
    return create_app(Context(database, Studies(Path(os.environ[_FOLDER])), os.environ[_URL]))


def listening_socket(host: str, port: int) -> socket.socket:
    """Open a listening socket that child processes inherit.

    Raises:
        AmtError: The port is in use, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    # A server that restarts must not wait for old connections of its port to time out.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        sock.close()
        raise AmtError(
            f"{host}:{port}: cannot listen there ({getattr(error, 'strerror', None) or error}); stop the program "
            "that uses it, or give another --port or --host"
        ) from None
    sock.set_inheritable(True)
    return sock


@contextmanager
def serving_lock(folder: Studies, kind: str) -> Iterator[None]:
    """Lock the folder's SQLite file for one server; PostgreSQL allows any number.

    The system releases the lock when the process ends, even if it is killed.

    Raises:
        AmtError: Another server holds it.
    """
    if kind != "sqlite":
        yield
        return
    with folder.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AmtError(
                f"{folder.database}: another server serves this file; stop that one, or use it. "
                "For several machines use --database postgresql+psycopg://..."
            ) from None
        yield


def _end_with(parent: int) -> None:
    """End this worker after its supervisor was killed, to free the port."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
