"""What the server works with: the database, the pictures' folder, and where it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection

from amt.layout import Studies
from amt.server.named_pictures import NamedPictures
from amt.store import studies
from amt.store.database import Database
from amt.store.refusal import Refusal
from amt.store.studies import Study


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
