"""Who gets to the researcher's pages over real HTTP, by which cookie, and whose forms count."""

from __future__ import annotations

import re

import httpx
import pytest

from amt.folders import Studies
from amt.store import logins
from amt.store import studies as studies_of
from amt.store.database import Database, open_database
from amt.store.studies import Study
from tests.amt.researcher_site import FIXTURES, GETS, OWN, POSTS, Site, behind_proxy, enter, form_token, post
from tests.amt.served import served

cheap, database, site = FIXTURES


def test_logging_in(database: Database, studies: Studies, study: Study) -> None:
    first = logins.one_time(database)
    assert first is not None
    with served(database, studies) as http:
        away = http.get("/admin")
        assert (away.status_code, away.headers["location"]) == (303, "admin/")
        assert http.get("/admin/").headers["location"] == "../admin/login"
        assert "one-time password" in http.get("/admin/login").text
        wrong = http.post("/admin/login", data={"password": "wrong"})
        assert (wrong.status_code, "This is not the password." in wrong.text) == (403, True)
        assert not http.cookies
        begun = http.post("/admin/login", data={"password": first})
        assert (begun.status_code, begun.headers["location"]) == (303, "password")
        assert http.get("/admin/").headers["location"] == "../admin/login"  # nothing but choosing is allowed
        form = form_token(http, "password")
        fields = {"form": form, "password": OWN, "again": OWN}
        assert http.post("/admin/password", data=fields | {"form": "0" * 64}).status_code == 403
        assert "differ" in http.post("/admin/password", data=fields | {"again": "else"}).text
        short = http.post("/admin/password", data=fields | {"password": "short", "again": "short"})
        assert (short.status_code, "at least 12" in short.text) == (422, True)
        entered = http.post("/admin/password", data=fields)
        assert (entered.status_code, entered.headers["location"]) == (303, "./")
        assert "Studies" in http.get("/admin/").text
        assert http.get("/admin/login").headers["location"] == "./"
        old = httpx.Cookies(http.cookies)
        assert post(http, "logout").headers["location"] == "login"
        assert not http.cookies
        http.cookies = old
        assert http.get("/admin/").status_code == 303
        assert http.post("/admin/login", data={"password": first}).status_code == 403
        assert http.post("/admin/login", data={"password": OWN}).headers["location"] == "./"


def test_logged_out_nothing_is_seen_or_done(database: Database, studies: Studies, study: Study) -> None:
    with served(database, studies) as http:
        for path in [*GETS, "small/study.json", "password"]:
            answered = http.get(f"/admin/{path}")
            assert (path, answered.status_code) == (path, 303)
            assert answered.next_request is not None
            assert answered.next_request.url.path == "/admin/login"
        for path in POSTS:
            assert (path, http.post(f"/admin/{path}", data={"state": "closed"}).status_code) == (path, 303)
    with database.reading() as connection:
        assert studies_of.get(connection, study.id) == study


def test_too_many_tries_on_any_server(database: Database, studies: Studies, study: Study) -> None:
    other = open_database(studies.database)
    with served(database, studies) as one, served(other, studies) as two:
        enter(one, database)
        one.cookies, inside = httpx.Cookies(), one.cookies
        assert [
            http.post("/admin/login", data={"password": "x"}).status_code for http in (one, two, one, two, one)
        ] == [403] * 5
        for http in (one, two):
            refused = http.post("/admin/login", data={"password": OWN})
            assert refused.status_code == 429
            assert 890 < int(refused.headers["retry-after"]) <= 900
            assert "Try again in 15 min" in refused.text
        one.cookies = inside
        assert one.get("/admin/").status_code == 200  # whoever is in stays in
    other.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("public", "prefix", "flags"),
    [
        ("http://lab.example.org", "", {"Path=/admin", "HttpOnly", "SameSite=strict"}),
        (
            "https://lab.example.org/our/study",
            "/our/study",
            {"Path=/our/study/admin", "HttpOnly", "Secure", "SameSite=strict"},
        ),
    ],
)
def test_cookies_and_links_are_right_behind_a_proxy(
    database: Database, studies: Studies, study: Study, public: str, prefix: str, flags: set[str]
) -> None:
    with served(database, studies, public) as direct, behind_proxy(direct, public, prefix) as http:
        enter(http, database)
        login = http.post("/admin/login", data={"password": OWN})
        cookie, *found = login.headers["set-cookie"].split("; ")
        assert set(found) == flags | {"Max-Age=43200"}
        assert re.fullmatch(r"login_\w{8}=[\w-]{43}", cookie)
        page = http.get("/admin/small", follow_redirects=True)
        assert page.url == f"{public}/admin/small/"
        assert f"{public}/s/small/" in page.text
        targets = set(re.findall(r'(?:href|src|action)="([^"]+)"', page.text))
        for target in targets - {"counts"}:
            assert not target.startswith("/"), target
            if target not in {"state", "reveal", "links", "forget", "../../admin/logout"}:
                assert http.get(page.url.join(target)).status_code == 200, target
        assert post(http, "small/state", state="closed").headers["location"] == "./"


@pytest.mark.long
def test_a_form_from_elsewhere_is_refused(site: Site) -> None:
    http = site.http
    other = httpx.Client(base_url=http.base_url, timeout=http.timeout)
    other.post("/admin/login", data={"password": OWN})
    fields = {"state": "closed", "sure": "yes", "count": "2", "label": "x"}
    for path in POSTS:
        for form in ({}, {"form": ""}, {"form": form_token(other)}, {"form": "\u00e9" * 64}):
            refused = http.post(f"/admin/{path}", data=fields | form)
            assert (path, refused.status_code) == (path, 403)
            assert "another site" in refused.text
    other.close()
    assert http.post("/admin/small/state", content=b"\xff", headers={"content-type": "x"}).status_code == 400
    assert site.now() == site.study
    assert site.get("").status_code == 200
