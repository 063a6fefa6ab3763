"""Shared state of a server, and dispatch of its database work."""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from amt.errors import Refusal
from amt.folders import Studies
from amt.store import studies
from amt.store.database import Database
from amt.store.studies import Study, named_pictures

_NAMED_SECONDS = 2.0  # for so long pictures are still served after a withdrawal
# Bounds the cache; more sessions at once only cost more look-ups.
_MOST_SESSIONS = 1000
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass
class Context:
    """Shared state of one server process.

    Attributes:
        database: Database of the studies.
        folder: Folder of their pictures.
        public_url: URL for raters, with any path prefix and without a trailing slash.
        pictures: Pictures behind the tokens of recent sessions.
    """

    database: Database
    folder: Studies
    public_url: str
    _studies: dict[int, Study] = field(default_factory=dict)
    pictures: NamedPictures = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = NamedPictures(self.database)

    def find(self, name: str) -> Study:
        """Read a study by name. Raises Refusal 404."""
        with self.database.reading() as connection:
            study = studies.find(connection, name)
        if study is None:
            raise Refusal(404, "study", f"There is no study {name}.")
        return study

    def settled(self, connection: Connection, number: int) -> Study:
        """Cached study by number, for its settings that never change.

        It is read through the request's own connection: a request that waited for a second one could deadlock with
        others that do the same, once the pool is empty.
        """
        if number not in self._studies:
            self._studies[number] = studies.get(connection, number)
        return self._studies[number]


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


CurrentContext = Annotated[Context, Depends(_context)]


def database_endpoint(endpoint: Callable[_P, _R]) -> Callable[_P, Awaitable[_R]]:
    """Make an endpoint with a parameter `context` asynchronous, see `run_database_work`."""

    @functools.wraps(endpoint)
    async def handle(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = cast("Context", kwargs["context"])
        return await run_database_work(context.database, endpoint, *args, **kwargs)

    return handle


async def run_database_work(database: Database, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run database work: inline with SQLite, in another thread with PostgreSQL.

    SQLite takes less time than waking a thread. PostgreSQL may be remote and waits for its disk, while the server
    handles other requests.
    """
    if database.kind == "sqlite":
        return work(*args, **kwargs)
    return await run_in_threadpool(work, *args, **kwargs)


class NamedPictures:
    """Cache of picture tokens, by session, for sessions that recently fetched pictures."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: OrderedDict[str, tuple[float, Mapping[str, tuple[str, int]]]] = OrderedDict()

    async def find(self, session_token: str, token: str) -> tuple[str, int] | None:
        """Study and picture number behind a session's picture token, or None."""
        now = time.monotonic()
        until, named = self._cache.pop(session_token, (0.0, {}))
        # An unknown token may be that of a trial whose spare was drawn since.
        if now >= until or token not in named:
            until, named = now + _NAMED_SECONDS, await run_database_work(self._database, self._look_up, session_token)
        self._cache[session_token] = until, named  # the latest last, so that the first is the one to evict
        if len(self._cache) > _MOST_SESSIONS:
            self._cache.popitem(last=False)
        return named.get(token)

    def _look_up(self, session_token: str) -> Mapping[str, tuple[str, int]]:
        with self._database.reading() as connection:
            return named_pictures(connection, session_token)
