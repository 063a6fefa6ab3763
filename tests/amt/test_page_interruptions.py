"""Images that could not be seen as they should have been: the trial is void, and another pair stands in."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Route

from tests.amt.page_driver import FIXTURES, Phase, Rater, Studio, Visit
from tests.browser import WHOLE, shared_browser

_, studio, visit = FIXTURES


@pytest.fixture(scope="module")
def chromium() -> Browser:
    """A browser whose pages can be behind others."""
    return shared_browser(WHOLE)


def hide(rater: Rater) -> None:
    """A headless browser never hides a page, so the page is told that it did."""
    rater.page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', { value: true, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
        delete document.hidden;
    }""")


def look_elsewhere(rater: Rater) -> None:
    """Another window comes to the front, in earnest."""
    session = rater.page.context.new_cdp_session(rater.page)
    session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    other = rater.page.context.new_page()
    other.bring_to_front()
    rater.page.wait_for_function("() => !document.hasFocus()")
    other.close()
    rater.page.bring_to_front()
    session.send("Emulation.setFocusEmulationEnabled", {"enabled": True})


def narrow(rater: Rater) -> None:
    rater.page.set_viewport_size({"width": 1100, "height": 700})


def test_each_interruption_voids_and_the_fourth_ends_the_session(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study, held=True)
    phases: list[Phase] = ["left", "gap", "right"]
    for phase, interrupt in zip(phases, (hide, look_elsewhere, narrow), strict=True):
        rater.sees(phase)
        interrupt(rater)
        rater.reads("A short interruption")
        rater.press("Continue")
    rater.answers("right")
    rater.sees("left")
    hide(rater)
    rater.reads("The study ends here")
    trials = studio.trials(study)
    assert [trial.void for trial in trials][:5] == ["hidden", "blur", "resize", None, "hidden"]
    assert [trial.choice for trial in trials] == [None, None, None, "right", *[None] * 5]
    assert [trial.position for trial in trials][:5] == [0, 0, 0, 0, 1]
    assert studio.sessions(study)[0]["state"] == "ended"
    rater.lets_go()
    rater.page.reload()
    rater.reads("The study ends here")
    rater.expects("409")


def test_an_interruption_before_the_left_image_only_pauses(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study, held=True)
    rater.sees("blank")
    look_elsewhere(rater)
    rater.reads("Paused")
    rater.page.clock.run_for(200)
    rater.page.keyboard.press("Enter")
    rater.answers()
    rater.sees("feedback")
    first, *others = studio.trials(study)
    assert first.choice == "left"
    assert [trial.void for trial in others] == [None] * 8


def test_an_absence_in_the_very_moment_a_blank_began_pauses(studio: Studio, visit: Visit) -> None:
    rater = visit()
    held: list[Route] = []
    rater.page.route("**/shown", lambda request: held.append(request))
    rater.starts(studio.study(), held=True)
    rater.sees("blank")
    look_elsewhere(rater)
    rater.page.route("**/shown", lambda request: request.continue_())  # the later one comes first
    for request in held:
        request.continue_()
    rater.reads("Paused")


def test_at_the_prompt_nothing_interrupts_but_the_window_must_stay_large_enough(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study)
    rater.sees("prompt")
    hide(rater)
    look_elsewhere(rater)
    rater.page.set_viewport_size({"width": 700, "height": 700})
    rater.answers()
    rater.reads("The window is too small")
    rater.press("Continue")
    rater.reads("The window is too small")
    rater.page.set_viewport_size({"width": 800, "height": 600})
    rater.press("Continue")
    rater.answers("right")
    rater.reads("The practice is over")
    assert [trial.choice for trial in studio.trials(study)][:2] == ["left", "right"]


def test_a_reload_shows_another_pair(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study)
    rater.answers()
    late: list[tuple[Phase, ...]] = [("left", "gap", "right", "pause", "prompt"), ("prompt",)]
    for phases in late:
        rater.sees(*phases)
        rater.page.reload()
        rater.reads("Welcome back")
        rater.press("Continue")
    rater.finishes()
    trials = studio.trials(study)
    assert [trial.void for trial in trials] == [None, "reload", "reload", *[None] * 6]
    assert [trial.choice for trial in trials] == ["left", None, None, *["left"] * 3, *[None] * 3]
    shown = [request for request in rater.requests if request.endswith("/shown")]
    assert len(set(shown)) == len(shown) == 6
