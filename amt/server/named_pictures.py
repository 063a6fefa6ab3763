"""What raters' picture tokens name, looked up for a whole session: a page fetches its pictures in one go."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping

from amt.server.in_place import done
from amt.store.database import Database
from amt.store.named_pictures import named_pictures

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
