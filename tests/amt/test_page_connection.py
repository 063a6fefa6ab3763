"""Connections fail, pages are reloaded, browsers forget: no answer is lost or doubled."""

from __future__ import annotations

import httpx
from playwright.sync_api import Route

from tests.amt.page_driver import FIXTURES, Rater, Studio, Visit

chromium, studio, visit = FIXTURES

LOST = "Connection lost, retrying. Your answers are kept"
RESPONSES = "**/response"
BLOCKED = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });"""


def since(rater: Rater, count: int) -> list[str]:
    """Method and last word of the requests to the session after the first `count`."""
    requests = [request for request in rater.requests[count:] if "/api/" in request]
    return [f"{request.split()[0]} {request.rsplit('/', 1)[1]}" for request in requests]


def test_an_answer_that_was_not_acknowledged_is_sent_first_after_a_reload(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study, held=True)  # so that it is not sent again before the reload
    rater.page.route(RESPONSES, lambda route: route.abort())
    rater.answers("right")
    rater.says(LOST)
    assert studio.trials(study)[0].choice is None
    rater.page.unroute(RESPONSES)
    before = len(rater.requests)
    rater.page.reload()
    rater.lets_go()
    rater.reads("Welcome back")
    assert studio.trials(study)[0].choice == "right"
    assert since(rater, before) == [
        f"GET {study}",
        "POST sessions",
        "POST environment",
        "PUT response",
        "GET next",
    ]
    assert rater.page.evaluate("Object.keys(sessionStorage).filter(key => key.startsWith('answers'))") == []
    rater.press("Continue")
    rater.finishes()
    assert [trial.void for trial in studio.trials(study)] == [None] * 9
    rater.expects("ERR_FAILED")


def test_an_acknowledgement_that_is_lost_stores_the_answer_once(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study)
    lost: list[str | None] = []

    def lose(route: Route) -> None:
        lost.append(route.request.post_data)
        if len(lost) > 2:
            route.continue_()
        else:
            answer = httpx.put(
                route.request.url, content=route.request.post_data or "", headers=route.request.all_headers()
            )
            assert answer.status_code == 200
            route.abort()

    rater.page.route(RESPONSES, lose)
    rater.sees("prompt")
    rater.holds()
    rater.answers("right")
    rater.sees("feedback")
    assert len(lost) == 3
    assert len(set(lost)) == 1
    rater.lets_go()
    rater.finishes()
    assert [trial.choice for trial in studio.trials(study)] == ["right", *["left"] * 3, *[None] * 5]
    rater.expects("ERR_FAILED")


def test_offline_for_some_seconds(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study)
    rater.answers()
    rater.answers()
    rater.reads("The practice is over")
    rater.holds()
    rater.press("Start")
    rater.sees("prompt")
    rater.page.context.set_offline(True)
    rater.answers("right")
    rater.says(LOST)
    rater.page.clock.run_for(2500)
    rater.sees("blank")
    rater.page.context.set_offline(False)
    rater.sees("left")
    assert rater.note() == ""
    rater.lets_go()
    rater.finishes()
    trials = studio.trials(study)
    assert [trial.choice for trial in trials][:4] == ["left", "left", "right", "left"]
    assert [trial.void for trial in trials] == [None] * 9
    rater.expects("ERR_INTERNET_DISCONNECTED")


def test_the_left_image_waits_until_the_server_knows(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    held: list[Route] = []
    rater.page.route("**/shown", lambda route: held.append(route))
    rater.starts(study, held=True)
    rater.sees("blank")
    rater.page.clock.run_for(600)
    rater.sees("blank")
    assert [trial.shown for trial in studio.trials(study)] == [False] * 9
    held[0].continue_()
    rater.sees("left")
    assert studio.trials(study)[0].shown


def test_a_server_that_is_busy_is_asked_again(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    answers = iter([503, 429])

    def busy(route: Route) -> None:
        status = next(answers, None)
        if status:
            route.fulfill(status=status, body="<h1>busy</h1>")
        else:
            route.continue_()

    rater.page.route("**/next", busy)
    rater.starts(study)
    rater.answers()
    assert rater.note() == ""
    rater.expects("503", "429")


def test_blocked_storage(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.page.add_init_script(BLOCKED)
    rater.starts(study)
    rater.page.route(RESPONSES, lambda route: route.abort())
    rater.answers("right")
    rater.says(LOST)
    rater.page.unroute(RESPONSES)
    rater.page.reload()
    rater.reads("Welcome back")
    assert studio.trials(study)[0].choice == "right"
    rater.press("Continue")
    rater.finishes()
    assert len(studio.sessions(study)) == 1
    rater.expects("ERR_FAILED")


def test_two_tabs(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    first = visit()
    first.starts(study)
    first.answers()
    first.sees("prompt")
    second = visit(first.page.context)
    second.open(study)
    second.press("Begin")
    second.reads("Welcome back")
    first.page.keyboard.press("f")
    first.reads("This study was opened in another tab or window")
    first.press("Continue here")
    first.reads("Welcome back")
    second.press("Continue")
    second.reads("This study was opened in another tab or window")
    first.page.bring_to_front()
    first.press("Continue")
    first.finishes()
    assert [trial.void for trial in studio.trials(study)] == [None, "reload", *[None] * 7]
    assert len(studio.sessions(study)) == 1
    first.expects("401", "409")
    second.expects("401", "404")
