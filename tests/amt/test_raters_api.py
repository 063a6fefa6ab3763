"""The raters' API over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from amt.folders import Studies
from amt.protocol import Protocol, Timing
from amt.recruitment import Recruitment
from amt.server.middleware import BURST, MOST_BYTES, RateLimiter
from amt.server.raters import minutes
from amt.store.database import open_database
from tests.amt.served import RESPONSE, Client, served
from tests.amt.study import SMALL, make_study

QUICK = Timing(blank=1, exposure=1, gap=1, prompt=1, feedback=1)
PROTOCOL = SMALL.model_copy(update={"timing": QUICK, "raters": 12})
CODES = {"completed": "DONE", "no_consent": "NO THANKS", "ineligible": "PHONE"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[httpx.Client]:
    """A server with a quick study, one for Prolific, and one whose trials take hours."""
    folder = Studies(tmp_path_factory.mktemp("study"))
    database = open_database(folder.database, create=True)
    make_study(database, folder, pictures, PROTOCOL, name="quick")
    prolific = Recruitment.model_validate({"by": "prolific", "codes": CODES})
    make_study(database, folder, pictures, PROTOCOL, name="prolific", recruitment=prolific)
    hours = SMALL.model_copy(update={"timing": SMALL.timing.model_copy(update={"exposure": 3_600_000})})
    make_study(database, folder, pictures, hours, name="slow")
    make_study(database, folder, pictures, PROTOCOL.model_copy(update={"raters": 1}), name="tiny")
    with served(database, folder) as found:
        yield found
    database.close()


def error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["message"]
    return response.status_code, body["error"]


def test_a_whole_session(http: httpx.Client) -> None:
    rater = Client(http, "quick", "whole")
    assert rater.started.status_code == 201
    rater.agree()
    again = Client(http, "quick", "whole")
    assert [one.started.json()["consented"] for one in (rater, again)] == [False, True]
    assert error(rater.post("heartbeat")) == (401, "token")
    rater = again
    first = rater.next()
    assert first["trial"] | {"left": "", "right": ""} == {
        "k": 0, "phase": "practice", "number": 1, "of": 2, "left": "", "right": "",
    }  # fmt: skip
    assert [trial["k"] for trial in first["ahead"]] == [1, 2, 3, 4, 5]
    assert rater.show(0).json() == {}
    feedback = rater.answer(0).json()
    assert feedback["correct"] == (feedback["fake"] == "left")
    done = rater.finish()
    assert done.json() | {"code": ""} == {"code": "", "redirect": None, "correct": 2, "of": 4}
    assert rater.next() == {"error": "finished", "message": "You have finished this study before."}
    assert rater.post("complete").json() == done.json()
    late = Client(http, "quick", "whole")
    assert error(late.started) == (409, "finished")
    assert late.started.json()["code"] == done.json()["code"]


def test_scored_answers_tell_nothing(http: httpx.Client) -> None:
    rater = Client(http, "quick", "curious").agree()
    told = []
    while (found := rater.next())["trial"]:
        rater.show(found["trial"]["k"])
        told.append((found["trial"]["phase"], rater.answer(found["trial"]["k"]).content))
    assert {content for phase, content in told if phase == "scored"} == {b"{}"}


def test_every_step_may_come_twice(http: httpx.Client) -> None:
    rater = Client(http, "quick", "stutters").agree().agree()
    for _ in range(2):
        assert rater.show(0).status_code == 200
    assert rater.answer(0).content == rater.answer(0).content
    assert error(rater.answer(0, choice="right")) == (409, "conflict")
    assert rater.answer(0, choice="right").json()["stored"] == RESPONSE
    assert rater.post("heartbeat").json() == {}
    rater.finish()
    for _ in range(2):
        assert rater.post("comment", {"text": "nice"}).status_code == 200
    for _ in range(2):
        assert rater.post("withdraw").status_code == 200
    assert error(rater.post("complete")) == (409, "withdrawn")


def test_answers_too_soon_are_refused(http: httpx.Client) -> None:
    rater = Client(http, "slow", "hasty").agree()
    rater.show(0)
    assert error(rater.answer(0)) == (409, "early")


def test_prolific_gets_its_codes(http: httpx.Client) -> None:
    begin = "https://app.prolific.com/submissions/complete?cc="
    declines = Client(http, "prolific", "a", "prolific")
    version = declines.about["consent"]["version"]
    assert declines.post("consent", {"version": version, "agreed": False}).json()["redirect"] == f"{begin}NO%20THANKS"
    phone = Client(http, "prolific", "b", "prolific")
    said = phone.post("environment", ENVIRONMENT_OF_A_PHONE)
    assert said.json() == {"state": "ineligible", "redirect": f"{begin}PHONE"}
    done = Client(http, "prolific", "c", "prolific").agree().finish().json()
    assert (done["code"], done["redirect"]) == ("DONE", f"{begin}DONE")
    assert error(Client(http, "prolific", "c", "open").started) == (403, "link")


ENVIRONMENT_OF_A_PHONE = {
    "eligible": False,
    "reasons": ["touch"],
    "viewport": [390, 700],
    "screen": [390, 844],
    "pixel_ratio": 3,
    "hertz": 60,
    "frame_ms": 16.7,
    "touch": True,
    "language": "de",
}


def test_a_full_study_says_so(http: httpx.Client) -> None:
    assert [Client(http, "tiny", str(number)).started.status_code for number in range(3)] == [201, 201, 410]


def test_consent_is_to_the_text_that_is_shown(http: httpx.Client) -> None:
    rater = Client(http, "quick", "old page")
    assert error(rater.post("consent", {"version": "older", "agreed": True})) == (409, "version")
    assert rater.next()["error"] == "consent"


def test_sessions_cannot_reach_into_each_other(http: httpx.Client) -> None:
    one, two = Client(http, "quick", "one").agree(), Client(http, "quick", "two").agree()
    mine = one.next()["trial"]
    assert one.image(mine["left"]).status_code == 200
    assert error(two.image(mine["left"])) == (404, "image")
    assert error(one.image("unknown")) == (404, "image")
    assert error(one.http.get(f"/images/{mine['left']}")) == (401, "token")
    two.session = one.session
    for response in (two.show(0), two.answer(0), two.post("complete"), two.post("withdraw"), two.post("heartbeat")):
        assert error(response) == (401, "token")
    assert one.next()["trial"] == mine


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"choice": "middle"}, "choice"),
        ({"response_ms": -1}, "response_ms"),
        ({"response_ms": 1e12}, "response_ms"),
        ({"response_ms": "soon"}, "response_ms"),
        ({"truth": "left"}, "truth"),
        ({"exposures": {}}, "exposures"),
    ],
)
def test_malformed_answers_are_named(http: httpx.Client, change: dict[str, object], where: str) -> None:
    rater = Client(http, "quick", "malformed").agree()
    response = rater.answer(0, **change)
    assert error(response) == (422, "malformed")
    assert where in response.json()["message"]


def test_what_is_no_json_is_refused(http: httpx.Client) -> None:
    rater = Client(http, "quick", "garbage")
    path = f"/api/sessions/{rater.session}/consent"
    for content in (b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{" * 20_000, b'{"version": NaN, "agreed": true}'):
        response = rater.http.post(path, content=content, headers=rater.headers)
        assert response.status_code == 422, content[:20]
    number = json.dumps(RESPONSE).replace("512.0", "Infinity").encode()
    path = f"/api/sessions/{rater.session}/trials/0/response"
    assert rater.http.put(path, content=number, headers=rater.headers).status_code == 422


def test_large_bodies_are_refused_unread(http: httpx.Client) -> None:
    rater = Client(http, "quick", "large")
    assert error(rater.post("comment", {"text": "x" * MOST_BYTES})) == (413, "size")
    assert error(rater.post("comment", {"text": "x" * 3000})) == (422, "malformed")
    chunks = iter([b"x"])
    endless = http.post(f"/api/sessions/{rater.session}/comment", content=chunks, headers=rater.headers)
    assert error(endless) == (413, "size")


def test_a_token_that_asks_too_often_is_slowed_down() -> None:
    rates = RateLimiter()
    assert all(rates.allow("one", 0.0) for _ in range(int(BURST)))
    assert not rates.allow("one", 0.0)
    assert rates.allow("another", 0.0)
    assert rates.allow("one", 1.0)
    assert not all(rates.allow("one", 1.0) for _ in range(100))


def test_unknown_places_are_404(http: httpx.Client) -> None:
    assert error(http.get("/api/studies/none")) == (404, "study")
    assert error(http.get("/s/none/")) == (404, "study")
    for path in ("/", "/nothing", "/page/nothing.js", "/page/../app.py", "/page/%2e%2e/protocol.py", "/api/sessions"):
        assert http.get(path).status_code in {404, 405}, path


def test_headers_keep_strangers_out(http: httpx.Client) -> None:
    for path in ("/s/quick/", "/api/studies/quick", "/images/none", "/page/style.css", "/none"):
        headers = http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_page_is_found_without_its_slash(http: httpx.Client) -> None:
    found = http.get("/s/quick?link=abc", follow_redirects=True)
    assert found.status_code == 200
    assert found.url.raw_path.decode() == "/s/quick/?link=abc"


def test_the_minutes_are_those_of_the_paper(http: httpx.Client) -> None:
    assert minutes(Protocol()) == 6


def test_the_preview_stores_nothing_and_keeps_the_scored_truth(http: httpx.Client) -> None:
    found = http.get("/api/studies/quick/preview").json()
    assert [trial["phase"] for trial in found["trials"]] == ["practice"] * 2 + ["scored"] * 4
    assert all(("fake" in trial) == (trial["phase"] == "practice") for trial in found["trials"])
    for trial in found["trials"]:
        for side in ("left", "right"):
            picture = http.get(f"/images/{trial[side]}")
            assert picture.content.startswith(b"\x89PNG")
    for forged in ("preview", "preview.quick", "preview.quick.0", "preview.none.00"):
        assert http.get(f"/images/{forged}").status_code == 404
