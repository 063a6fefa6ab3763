"""Where the work of a rater's request is done."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from starlette.concurrency import run_in_threadpool

from amt.store.database import Database

if TYPE_CHECKING:
    from amt.server.context import Context

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
