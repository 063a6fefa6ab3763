"""Ways in, and ways out before the end."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Route

from amt.recruitment import PROLIFIC, Recruitment
from amt.store import studies
from tests.amt.page_driver import FIXTURES, SMALL, Rater, Studio, Visit

chromium, studio, visit = FIXTURES

PAID = Recruitment(by="prolific", codes={"completed": "DONE1", "no_consent": "NO1", "ineligible": "DEVICE1"})
FROM_PROLIFIC = "?PROLIFIC_PID=5f3a&STUDY_ID=s1&SESSION_ID=x1"


def stay_here(rater: Rater) -> list[str]:
    """Keep the browser from leaving for Prolific. Returns where it wanted to go."""
    wanted: list[str] = []

    def note(route: Route) -> None:
        wanted.append(route.request.url)
        route.fulfill(body="elsewhere")

    rater.page.route(re.compile("^https:"), note)
    return wanted


def gone(rater: Rater, url: str) -> None:
    rater.page.wait_for_url(url)
    rater.requests = [request for request in rater.requests if request != f"GET {url}"]


def test_a_window_that_is_too_small_can_be_mended(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit(viewport={"width": 780, "height": 640})
    rater.open(study)
    rater.press("Begin")
    rater.reads("This does not fit your screen yet")
    assert rater.page.get_by_text("room for 800 × 600 pixels and has 780 × 640").is_visible()
    assert studio.sessions(study) == []
    rater.page.set_viewport_size({"width": 800, "height": 600})
    rater.press("Check again")
    rater.reads("Your consent")
    assert studio.sessions(study)[0]["state"] == "running"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"device_scale_factor": 0.8}, "Set the zoom of this page to 100 %"),
        ({"has_touch": True, "is_mobile": True}, "this device has a touchscreen only"),
    ],
)
def test_a_device_that_does_not_fit(studio: Studio, visit: Visit, settings: dict[str, Any], reason: str) -> None:
    study = studio.study()
    rater = visit(**settings)
    rater.open(study)
    rater.press("Begin")
    rater.reads("This does not fit your screen yet")
    assert rater.page.get_by_text(reason).is_visible()
    rater.press("I cannot change this")
    rater.reads("Thank you for your interest")
    assert studio.sessions(study)[0]["state"] == "ineligible"


def test_who_does_not_agree_sees_no_image(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.open(study)
    rater.press("Begin")
    rater.press("I do not agree")
    rater.reads("You did not agree")
    assert studio.sessions(study)[0]["state"] == "declined"
    assert not any("/images/" in request for request in rater.requests)
    rater.page.reload()
    rater.reads("You did not agree")
    rater.expects("409")


def test_withdrawing_asks_once_more_and_deletes(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study)
    rater.answers()
    rater.answers()
    rater.reads("The practice is over")
    rater.press("Stop and withdraw my answers")
    rater.press("Continue the study")
    assert studio.sessions(study)[0]["state"] == "running"
    rater.press("Stop and withdraw my answers")
    rater.press("Withdraw my answers")
    rater.reads("You have withdrawn")
    assert studio.sessions(study)[0]["state"] == "withdrawn"
    assert studio.trials(study) == []


def test_full_closed_unknown(studio: Studio, visit: Visit) -> None:
    study = studio.study(SMALL.model_copy(update={"raters": 1}))
    first, second = visit(), visit()
    first.open(study)
    first.press("Begin")
    first.reads("Your consent")
    second.open(study)
    second.press("Begin")
    second.reads("The study is full")
    with studio.database.writing() as connection:
        found = studies.find(connection, study)
        assert found is not None
        studies.set_state(connection, found.id, "closed")
    third = visit()
    third.open(study)
    third.reads("The study is closed")
    first.page.reload()
    first.reads("Your consent")  # who has begun may go on
    third.page.route("**/s/nothing/", lambda route: route.fulfill(path=studio.page, content_type="text/html"))
    third.open("nothing")
    third.reads("There is no study here")
    second.expects("410")
    third.expects("404")


def test_prolific(studio: Studio, visit: Visit) -> None:
    study = studio.study(recruitment=PAID)
    rater = visit()
    elsewhere = stay_here(rater)
    rater.open(study)
    rater.reads("Please use Prolific")
    rater.starts(study, FROM_PROLIFIC)
    rater.page.route("**/complete", lambda route: route.abort())
    rater.answers_all()
    rater.press("Finish")
    rater.says("Connection lost")
    rater.reads("Almost done")  # and stays until the server has acknowledged the end
    rater.holds()
    rater.page.unroute("**/complete")
    rater.reads("Thank you!")
    assert rater.page.locator("code").inner_text() == "DONE1"
    assert elsewhere == []
    rater.lets_go()
    rater.expects("ERR_FAILED")
    gone(rater, f"{PROLIFIC}DONE1")
    assert studio.sessions(study)[0]["source"] == "prolific"


def test_prolific_without_consent(studio: Studio, visit: Visit) -> None:
    rater = visit()
    stay_here(rater)
    rater.open(studio.study(recruitment=PAID), FROM_PROLIFIC)
    rater.press("Begin")
    rater.reads("Your consent")
    rater.holds()
    rater.press("I do not agree")
    rater.reads("You did not agree")
    rater.page.get_by_role("link", name="Go back now").click()
    gone(rater, f"{PROLIFIC}NO1")


def test_personal_links(studio: Studio, visit: Visit) -> None:
    study = studio.study(recruitment=Recruitment(by="link"))
    rater = visit()
    rater.open(study)
    rater.reads("A personal link is needed")
    rater.open(study, "?link=guessed")
    rater.press("Begin")
    rater.reads("A personal link is needed")
    rater.expects("403")


def test_preview_stores_nothing(studio: Studio, visit: Visit) -> None:
    study = studio.study(SMALL.model_copy(update={"scored": 4}))
    rater = visit()
    rater.starts(study, "?preview")
    assert rater.page.get_by_text("Preview: nothing is stored").is_visible()
    rater.finishes()
    assert studio.sessions(study) == []
    assert {request.split()[0] for request in rater.requests} == {"GET"}
    assert rater.page.evaluate("[localStorage.length, sessionStorage.length, location.hash]") == [0, 0, ""]


def test_under_a_path_prefix(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    with behind_a_proxy(studio.url, "/lab/studies") as url:
        rater = visit(url=url)
        rater.page.goto(f"{url}/s/{study}?preview")  # without the slash at its end
        rater.reads("Streets, real and fake")
        rater.starts(study)
        rater.answers()
        rater.answers()
        rater.reads("The practice is over")
        rater.page.close()


@contextmanager
def behind_a_proxy(target: str, prefix: str) -> Iterator[str]:
    """A reverse proxy that serves `target` under a path prefix, and nothing beside it."""
    host = target.removeprefix("http://")

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection(host)
            upstream.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            upstream.close()

        do_GET = do_POST = do_PUT = forward  # noqa: N815 (named by the library)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
