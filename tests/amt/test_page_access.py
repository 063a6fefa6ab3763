"""What the page is like to use: by keyboard, by assistive technology, on small windows, in any mode."""

from __future__ import annotations

from typing import Any

import pytest

from tests.amt.page_driver import FIXTURES, Rater, Studio, Visit

chromium, studio, visit = FIXTURES

LEAST_TARGET = 44
_BOXES = """() => Object.fromEntries(['.place[data-side=left]', '.place[data-side=right]', '#question', '#progress',
  '.place[data-side=left] canvas', '.place[data-side=left] button', '.place[data-side=right] button'].map(
    part => { const { x, y, width, height } = document.querySelector(part).getBoundingClientRect();
              return [part, [x, y, width, height]]; }))"""
_FOCUSED = """() => { const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return [document.activeElement.textContent.trim(), outlineStyle, outlineWidth]; }"""


def test_nothing_moves_between_the_phases_of_a_trial(studio: Studio, visit: Visit) -> None:
    rater = visit(viewport={"width": 800, "height": 600})
    rater.starts(studio.study(), held=True)
    boxes = []
    for phase in ("left", "right", "prompt", "feedback"):
        if phase == "feedback":
            rater.page.keyboard.press("f")
        rater.sees(phase)
        boxes.append(rater.page.evaluate(_BOXES))
    rater.page.evaluate("document.documentElement.dir = 'rtl'")  # where text runs from the right, left is left
    boxes.append(rater.page.evaluate(_BOXES))
    assert all(box == boxes[0] for box in boxes)
    left, right, *_ = boxes[0].values()
    assert left[2:] == right[2:] == [256, 256]
    assert boxes[0][".place[data-side=left] canvas"] == boxes[0][".place[data-side=left] button"] == left
    assert boxes[0][".place[data-side=right] button"] == right
    assert left[1] == right[1]
    assert left[0] + right[0] + 256 == 800  # in the middle
    for x, y, width, height in boxes[0].values():
        assert x >= 0
        assert y >= 0
        assert x + width <= 800
        assert y + height <= 600


def test_the_prompt_by_assistive_technology(studio: Studio, visit: Visit) -> None:
    rater = visit()
    rater.starts(studio.study(), held=True)
    rater.sees("left")
    assert rater.page.get_by_role("img", name="left image", exact=True).is_visible()
    assert rater.page.get_by_role("button").count() == 0
    rater.sees("prompt")
    assert rater.page.get_by_role("img").count() == 0
    assert rater.page.get_by_role("heading", name="Which image was fake?").is_visible()
    assert rater.page.locator("[aria-live]").inner_text() == "Which image was fake?"
    assert rater.page.get_by_role("button").all_inner_texts() == ["Left\nF  or  ←", "Right\nJ  or  →"]
    assert rater.page.evaluate("document.activeElement.id") == "stage"
    assert tabs_through(rater, 2) == ["Left", "Right"]
    rater.page.keyboard.press("Enter")
    rater.sees("feedback")
    assert rater.page.locator("[aria-live]").inner_text().split(".")[0] in {"Correct", "Not this time"}


def test_every_screen_has_a_title_names_and_an_order(studio: Studio, visit: Visit) -> None:
    rater = visit(viewport={"width": 800, "height": 600})
    rater.open(studio.study())
    page = rater.page
    rater.reads("Streets, real and fake")
    assert page.title() == "Streets, real and fake"
    assert page.locator("html").get_attribute("lang") == "en"
    contact = "study@example.org"
    withdraw = "Stop and withdraw my answers"
    for title, targets, way_on in [
        ("Streets, real and fake", ["Begin", contact], "Begin"),
        ("Your consent", ["I agree", "I do not agree", contact], "I agree"),
        ("How it works", ["Start the practice", contact, withdraw], "Start the practice"),
    ]:
        rater.reads(title)
        assert page.get_by_role("heading").all_inner_texts() == [title]
        assert page.locator("[aria-live]").inner_text() == title
        assert tabs_through(rater, len(targets)) == targets
        roomy_targets(rater)
        fits(rater)
        rater.press(way_on)
    rater.answers()
    rater.answers()
    rater.reads("The practice is over")
    rater.press(withdraw)
    assert page.get_by_role("dialog", name="Stop and withdraw?").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Continue the study"
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    rater.answers_all()
    assert page.get_by_role("textbox", name="Your comment").is_visible()
    roomy_targets(rater)
    fits(rater)
    rater.press("Finish")
    rater.reads("Thank you!")
    assert tabs_through(rater, 2) == ["Copy", contact]


@pytest.mark.parametrize(
    "settings",
    [
        {"color_scheme": "dark", "viewport": {"width": 800, "height": 600}},
        {"forced_colors": "active", "reduced_motion": "reduce", "device_scale_factor": 2},
    ],
)
def test_all_raters_see_the_same_grey(studio: Studio, visit: Visit, settings: dict[str, Any]) -> None:
    rater = visit(**settings)
    rater.open(studio.study())
    rater.reads("Streets, real and fake")
    grey = "getComputedStyle(document.querySelector('{}')).backgroundColor"
    assert rater.page.evaluate(grey.format("html")) == "rgb(128, 128, 128)"
    assert rater.page.evaluate(grey.format("body")) == "rgb(128, 128, 128)"
    assert rater.page.evaluate(grey.format("#stage")) == "rgb(128, 128, 128)"
    assert rater.page.evaluate(grey.format(".card")) == "rgb(245, 244, 241)"
    if settings.get("reduced_motion"):
        durations = "Array.from(document.querySelectorAll('*'), each => getComputedStyle(each).transitionDuration)"
        assert set(rater.page.evaluate(durations)) == {"0s"}
    fits(rater)


def tabs_through(rater: Rater, count: int) -> list[str]:
    """The first lines of what Tab comes to, each seen to have the focus."""
    found = []
    for _ in range(count):
        rater.page.keyboard.press("Tab")
        text, style, width = rater.page.evaluate(_FOCUSED)
        assert (style, width) == ("solid", "3px")
        found.append(text.removesuffix("F  or  ←").removesuffix("J  or  →"))
    return found


def roomy_targets(rater: Rater) -> None:
    for target in rater.page.locator("button:visible, a:visible, textarea:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert box["width"] >= LEAST_TARGET
        assert box["height"] >= LEAST_TARGET, target.inner_text()


def fits(rater: Rater) -> None:
    """Nothing is to be scrolled sideways, and on a laptop nothing at all."""
    wide, high = rater.page.evaluate(
        "[document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]"
    )
    assert wide <= 0
    assert high <= 0
