"""Running the server: its processes, its port, its end."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from amt.errors import AmtError
from amt.layout import Studies
from amt.server.app import create_app
from amt.server.context import Context
from amt.store.database import open_database

_DATABASE, _FOLDER, _URL, _PARENT = (f"P2PBENCH_STUDY_{name}" for name in ("DATABASE", "FOLDER", "URL", "PARENT"))
_GRACE_SECONDS = 10
_HEALTH_SECONDS = 30  # a worker that is merely busy is not replaced
_BACKLOG = 2048


def serve(folder: Studies, database: str | Path, sock: socket.socket, public_url: str, workers: int) -> None:
    """Serve the studies of a database until SIGINT or SIGTERM; requests that are under way are finished first.

    Args:
        folder: Where the pictures are.
        database: As for `open_database`.
        sock: A bound socket, from `bound`.
        public_url: As raters reach the server.
        workers: How many processes.
    """
    # Worker processes are started anew, not forked, so what they need goes through the environment.
    os.environ |= {
        _DATABASE: str(database),
        _FOLDER: str(folder.folder),
        _URL: public_url,
        _PARENT: str(os.getpid()),
    }
    config = uvicorn.Config(
        "amt.server.run:app",
        factory=True,
        workers=workers,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
        access_log=False,  # addresses of raters are kept nowhere
        log_level="warning",
        server_header=False,
        backlog=_BACKLOG,
    )
    if workers == 1:
        uvicorn.Server(config).run(sockets=[sock])
    else:
        Multiprocess(config, sockets=[sock]).run()


def app() -> FastAPI:
    """The application in a worker process."""
    where = os.environ[_DATABASE]
    parent = int(os.environ[_PARENT])
    if parent != os.getpid():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    database = open_database(where if "://" in where else Path(where))
    return create_app(Context(database, Studies(Path(os.environ[_FOLDER])), os.environ[_URL]))


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        AmtError: The port is in use, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        sock.close()
        raise AmtError(
            f"{host}:{port}: cannot listen there ({getattr(error, 'strerror', None) or error}); stop what uses it, or "
            "give another --port or --host"
        ) from None
    sock.set_inheritable(True)
    return sock


@contextmanager
def alone(folder: Studies, kind: str) -> Iterator[None]:
    """Hold the folder's SQLite file for one server; the system lets go of it when the process ends, however it ends.

    PostgreSQL takes as many servers as one likes.

    Raises:
        AmtError: Another server has it.
    """
    if kind != "sqlite":
        yield
        return
    with folder.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AmtError(
                f"{folder.database}: another server serves this file; stop that one, or let this one be. "
                "For several machines use --database postgresql+psycopg://..."
            ) from None
        yield


def _end_with(parent: int) -> None:
    """End this process when the one that supervises it was killed, so that the port is free for the next."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
