"""Database, pictures and threads of a running server."""

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

from amt.layout import Studies
from amt.store import studies
from amt.store.database import Database
from amt.store.schema import Refusal
from amt.store.studies import Study, named_pictures


@dataclass
class Context:
    """One server's means.

    Attributes:
        database: Where the studies are.
        folder: Where their pictures are.
        public_url: As raters reach it, with the path prefix if there is one, without a slash at the end.
        pictures: What raters' picture tokens name.
    """

    database: Database
    folder: Studies
    public_url: str
    _studies: dict[int, Study] = field(default_factory=dict)
    pictures: NamedPictures = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = NamedPictures(self.database)

    def find(self, name: str) -> Study:
        """A study by name, as it is now. Raises Refusal 404."""
        with self.database.reading() as connection:
            study = studies.find(connection, name)
        if study is None:
            raise Refusal(404, "study", f"There is no study {name}.")
        return study

    def settled(self, connection: Connection, number: int) -> Study:
        """A study by number, for what never changes of it.

        By the connection that the request has: one that waited for a second could wait for itself.
        """
        if number not in self._studies:
            self._studies[number] = studies.get(connection, number)
        return self._studies[number]


async def _context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Means = Annotated[Context, Depends(_context)]


_P = ParamSpec("_P")


_R = TypeVar("_R")


def in_place(endpoint: Callable[_P, _R]) -> Callable[_P, Awaitable[_R]]:
    """An endpoint, which has `means`, whose database work is `done` where that is best."""

    @functools.wraps(endpoint)
    async def answered(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        means = cast("Context", kwargs["means"])
        return await done(means.database, endpoint, *args, **kwargs)

    return answered


async def done(database: Database, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Do some work with a database: at once with SQLite, in another thread with PostgreSQL.

    SQLite is done in less time than it takes to wake a thread and to take turns with it. PostgreSQL may be far away
    and waits for its disk, and others are served meanwhile.
    """
    if database.kind == "sqlite":
        return work(*args, **kwargs)
    return await run_in_threadpool(work, *args, **kwargs)


_SECONDS = 2.0  # so long pictures are still given out after a withdrawal


_MOST_SESSIONS = 1000


class NamedPictures:
    """The pictures of the sessions that fetched some within the last moments."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: OrderedDict[str, tuple[float, Mapping[str, tuple[str, int]]]] = OrderedDict()

    async def find(self, session_token: str, token: str) -> tuple[str, int] | None:
        """The study and the number of the picture that a token names to a session; None if it names none."""
        now = time.monotonic()
        until, named = self._found.pop(session_token, (0.0, {}))
        if now >= until or token not in named:
            until, named = now + _SECONDS, await done(self._database, self._look_up, session_token)
        self._found[session_token] = until, named
        if len(self._found) > _MOST_SESSIONS:
            self._found.popitem(last=False)
        return named.get(token)

    def _look_up(self, session_token: str) -> Mapping[str, tuple[str, int]]:
        with self._database.reading() as connection:
            return named_pictures(connection, session_token)
