"""A study on a real server, and a researcher who is logged in there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import pytest
from argon2 import PasswordHasher

from amt.folders import Studies
from amt.store import logins
from amt.store import studies as studies_of
from amt.store.database import Database, open_database
from amt.store.studies import Study
from tests.amt.researcher_study import EVIL, fill
from tests.amt.served import served

OWN = "correct horse battery"
# The rates of `fill`, their complements, and the same as shares; not as a part of another number.
RATES = re.compile(r"(?<![\d.])(41\.7|8\.3|58\.3|91\.7|0?\.4166\d*|0?\.083\d*)(?![\d])")
GETS = [
    "",
    "small/",
    "small/counts",
    "small/results",
    *(f"small/{name}.csv" for name in ("answers", "sessions", "codes")),
]
POSTS = ["small/state", "small/links", "small/reveal", "small/forget", "logout"]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real argon2 that costs little."""
    monkeypatch.setattr(logins, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def database(studies: Studies) -> Iterator[Database]:
    """SQLite: what talks to the database is tested on both elsewhere."""
    opened = open_database(studies.database, create=True)
    yield opened
    opened.close()


class Site(NamedTuple):
    """A study on a server, and a researcher who is logged in there."""

    http: httpx.Client
    database: Database
    study: Study

    def get(self, path: str) -> httpx.Response:
        return self.http.get(f"/admin/{path}")

    def post(self, path: str, **fields: str) -> httpx.Response:
        return post(self.http, path, **fields)

    def reveals(self) -> list[str]:
        """Where something is shown from which the rates can be read."""
        pages = [*GETS, "small/study.json"]
        return [path for path in pages if RATES.search(text := self.get(path).text) or ",choice,fooled," in text]

    def now(self) -> Study:
        with self.database.reading() as connection:
            return studies_of.get(connection, self.study.id)


@pytest.fixture
def site(database: Database, studies: Studies, study: Study) -> Iterator[Site]:
    """A study whose raters have all finished."""
    fill(database, study, ["All was well.", EVIL])
    with served(database, studies) as http:
        enter(http, database)
        yield Site(http, database, study)


def form_token(http: httpx.Client, path: str = "") -> str:
    found = re.search(r'name="form" value="(\w{64})"', http.get(f"/admin/{path}").text)
    assert found
    return found[1]


def post(http: httpx.Client, path: str, **fields: str) -> httpx.Response:
    return http.post(f"/admin/{path}", data={"form": form_token(http)} | fields)


def enter(http: httpx.Client, database: Database) -> None:
    """Log in for the first time."""
    first = logins.one_time(database, renew=True)
    http.post("/admin/login", data={"password": first})
    fields = {"form": form_token(http, "password"), "password": OWN, "again": OWN}
    assert http.post("/admin/password", data=fields).status_code == 303


@contextmanager
def behind_proxy(http: httpx.Client, public: str, prefix: str) -> Iterator[httpx.Client]:
    """A client that sees the server at `public`, whose path the proxy takes off."""

    class Proxy(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            path = request.url.raw_path.decode()
            assert path.startswith(f"{prefix}/"), path
            sent = http.request(
                request.method,
                path.removeprefix(prefix),
                content=request.read(),
                headers={name: value for name, value in request.headers.items() if name != "host"},
            )
            http.cookies.clear()
            return httpx.Response(sent.status_code, headers=sent.headers, content=sent.content, request=request)

    with httpx.Client(base_url=public, transport=Proxy()) as client:
        yield client


# A module that uses them says so: cheap, database, site = FIXTURES
FIXTURES = cheap, database, site
