"""The deciding functions of the page's modules, in the browser that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.amt.page_driver import FIXTURES, Studio

chromium, studio, _ = FIXTURES

TIMING = {"blank": 900, "exposure": 1000, "gap": 600, "prompt": 100, "feedback": 2400}
COURSE = """async ([timing, frame, times]) => {
  const { Course } = await import('/page/frames.js');
  const course = new Course(timing, frame, 0);
  return [times.map(ts => course.at(ts)), course.exposures];
}"""


@pytest.fixture(scope="module")
def page(chromium: Browser, studio: Studio) -> Iterator[Page]:
    """A page that the server's modules can be loaded into."""
    page = chromium.new_page()
    page.goto(f"{studio.url}/s/{studio.study()}/")
    yield page
    page.close()


def frames(hertz: float, seconds: float = 4.5, start: float = 3.0) -> list[float]:
    return [start + number * 1000 / hertz for number in range(int(seconds * hertz))]


@pytest.mark.parametrize("hertz", [50, 59.94, 60, 72, 75, 85, 100, 120, 143.98, 144, 165, 240])
def test_exposures_are_right_at_any_refresh_rate(page: Page, hertz: float) -> None:
    frame = 1000 / hertz
    times = frames(hertz)
    phases, exposures = page.evaluate(COURSE, [TIMING, frame, times])
    assert list(dict.fromkeys(phases)) == ["blank", "left", "gap", "right", "pause", "prompt"]
    first = times[phases.index("left")]
    assert 900 <= first < 900 + frame + 1e-6  # the first frame after the blank
    assert exposures["left"]["on"] == first
    for side in ("left", "right"):
        exposure = exposures[side]
        assert abs(exposure["off"] - exposure["on"] - 1000) <= frame / 2 + 1e-6
        assert exposure["frames"] == round(1000 / frame)
        assert exposure["gap"] == pytest.approx(frame)
    assert abs(exposures["right"]["on"] - exposures["left"]["off"] - 600) <= frame / 2 + 1e-6
    assert abs(times[phases.index("prompt")] - exposures["right"]["off"] - 100) <= frame / 2 + 1e-6


def test_a_clock_of_whole_milliseconds_counts_right_too(page: Page) -> None:
    times = [float(round(ts)) for ts in frames(60)]
    _, exposures = page.evaluate(COURSE, [TIMING, 17, times])
    assert exposures["left"]["frames"] == exposures["right"]["frames"] == 60


def test_a_late_frame_is_logged_and_skips_nothing(page: Page) -> None:
    frame = 1000 / 60
    times = [ts + (700 if ts > 1700 else 0) for ts in frames(60)]
    phases, exposures = page.evaluate(COURSE, [TIMING, frame, times])
    assert list(dict.fromkeys(phases)) == ["blank", "left", "gap", "right", "pause", "prompt"]
    assert exposures["left"]["gap"] == pytest.approx(700 + frame)
    assert exposures["left"]["off"] - exposures["left"]["on"] == pytest.approx(1500, abs=2 * frame)
    assert exposures["right"]["gap"] == pytest.approx(frame)


def test_the_frame_is_the_median(page: Page) -> None:
    median = "async values => (await import('/page/frames.js')).median(values)"
    assert page.evaluate(median, [16.7, 16.6, 250, 16.7, 33.4]) == 16.7
    assert page.evaluate(median, [4, 1, 3, 2]) == 2.5
    measured = page.evaluate("async () => (await import('/page/frames.js')).measureFrame(30)")
    assert measured > 4  # how much more depends on what else the machine does


def test_retries_wait_longer_and_longer_but_never_over_ten_seconds(page: Page) -> None:
    waits = """async () => { const { backoff } = await import('/page/api.js');
        return [1, 2, 3, 4, 5, 6, 7, 50].map(failed => [backoff(failed, 0), backoff(failed, 1)]); }"""
    longest = [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]
    assert page.evaluate(waits) == [[wait, wait / 2] for wait in longest]
    passing = "async statuses => { const { passing } = await import('/page/api.js'); return statuses.filter(passing); }"
    assert page.evaluate(passing, [200, 400, 401, 404, 408, 409, 410, 422, 429, 500, 502, 503]) == [
        408, 429, 500, 502, 503,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("inner", "outer", "ratio", "zoomed"),
    [
        (1280, 1280, 1, False),
        (1264, 1280, 1, False),  # borders of a window
        (1280, 1280, 1.5, False),  # the system's scaling
        (1280, 1280, 2, False),
        (1164, 1280, 1.1, True),
        (1024, 1280, 1.25, True),
        (853, 1280, 1.5, True),
        (640, 1280, 4, True),  # 200 % on a display of scale 2
        (1024, 1280, 1, False),  # a docked panel, no zoom: the pixel ratio says so
        (900, 1280, 1, False),
        (1422, 1280, 0.9, True),
        (1600, 1280, 1.6, True),  # 80 % on a display of scale 2
        (1280, 0, 1, False),  # not told
    ],
)
def test_zoom(page: Page, inner: int, outer: int, ratio: float, zoomed: bool) -> None:
    seen: dict[str, Any] = {"inner": inner, "outer": outer, "pixelRatio": ratio, "pinch": 1}
    call = "async seen => (await import('/page/eligibility.js')).zoomed(seen)"
    assert page.evaluate(call, seen) is zoomed
    assert page.evaluate(call, {**seen, "pinch": 1.4}) is True


def test_obstacles(page: Page) -> None:
    required = {"width": 800, "height": 600, "hertz": 50}
    fine = {"viewport": [800, 600], "hertz": 50, "zoomed": False, "touchOnly": False}
    call = "async ([seen, required]) => (await import('/page/eligibility.js')).obstacles(seen, required)"

    def obstacles(**changed: object) -> Any:  # noqa: ANN401 (JSON)
        return page.evaluate(call, [fine | changed, required])

    assert obstacles() == []
    assert obstacles(hertz=49.95) == []
    assert obstacles(hertz=48) == ["slow"]
    assert obstacles(viewport=[799, 900]) == ["small"]
    assert obstacles(viewport=[900, 599]) == ["small"]
    assert obstacles(zoomed=True, touchOnly=True, viewport=[400, 300], hertz=30) == ["touch", "zoomed", "small", "slow"]


def test_what_is_decoded_before_the_first_trial(page: Page) -> None:
    gate = "async trial => (await import('/page/pictures.js')).gate(trial)"
    assert page.evaluate(gate, {"phase": "practice", "number": 1, "of": 10}) == 20
    assert page.evaluate(gate, {"phase": "practice", "number": 9, "of": 10}) == 12
    assert page.evaluate(gate, {"phase": "scored", "number": 31, "of": 40}) == 10


def test_an_unknown_language_reads_english(page: Page) -> None:
    texts = "async languages => (await import('/page/texts.js')).textsFor(languages)"
    found = page.evaluate(texts.replace("textsFor(languages)", "textsFor(languages).consent.agree"), ["tlh", "en-GB"])
    assert found == "I agree"
    assert page.evaluate(texts.replace("textsFor(languages)", "textsFor(languages).language"), []) == "en"


def test_who_a_rater_is(page: Page) -> None:
    call = """async ([by, query, id]) =>
        (await import('/page/rater.js')).identify(by, new URLSearchParams(query), id)"""
    prolific = page.evaluate(call, ["prolific", "PROLIFIC_PID=p1&STUDY_ID=s1&SESSION_ID=x1", None])
    assert prolific == {"rater": "p1", "rater_source": "prolific", "platform": {"STUDY_ID": "s1", "SESSION_ID": "x1"}}
    assert page.evaluate(call, ["prolific", "", "abc"]) is None
    assert page.evaluate(call, ["link", "link=secret", None]) == {"rater": "secret", "rater_source": "link"}
    assert page.evaluate(call, ["link", "PROLIFIC_PID=p1", "abc"]) is None
    assert page.evaluate(call, ["open", "link=secret", "abc"]) == {"rater": "abc", "rater_source": "open"}
    first, second = (page.evaluate(call, ["open", "", None])["rater"] for _ in range(2))
    assert len(first) == 32
    assert first != second
