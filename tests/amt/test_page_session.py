"""A rater goes through a whole study, by keyboard and by mouse."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from tests.amt.page_driver import FIXTURES, QUICK, SMALL, Phase, Studio, Trial, Visit
from tests.patience import PATIENCE

chromium, studio, visit = FIXTURES


def test_by_keyboard_alone(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.open(study)
    rater.reads("Streets, real and fake")
    keyboard = rater.page.keyboard
    keyboard.press("Enter")
    rater.reads("Your consent")
    keyboard.press("Enter")  # agrees to nothing
    rater.page.wait_for_timeout(100)
    rater.reads("Your consent")
    keyboard.press("Tab")
    keyboard.press("Enter")
    rater.reads("How it works")
    keyboard.press("Space")
    keys = ["f", "J", "ArrowLeft", "ArrowRight"]
    for number, key in enumerate(keys):
        if number == SMALL.practice:
            rater.reads("The practice is over")
            keyboard.press("Space")
        rater.sees("prompt")
        keyboard.press(key)
    rater.reads("Almost done")
    keyboard.press("Tab")
    keyboard.type("All was well.\nThank you")
    keyboard.press("Tab")
    keyboard.press("Enter")
    rater.reads("Thank you!")
    (session,) = studio.sessions(study)
    assert session["state"] == "completed"
    assert session["comment"] == "All was well.\nThank you"
    assert session["code"] == rater.page.locator("code").inner_text()
    answered = [trial for trial in studio.trials(study) if trial.choice]
    assert [trial.choice for trial in answered] == ["left", "right"] * 2
    scored = answered[SMALL.practice :]
    found = sum(trial.choice == trial.fake_side for trial in scored)
    assert rater.page.get_by_text(f"You found the fake in {found} of 2 pairs.").is_visible()
    logged = rater.page.evaluate("p2pbench.exposures()")
    check_measurements(answered, [each["left"]["on"] for each in logged])
    rater.page.reload()
    rater.reads("You have taken part already")
    assert session["code"] == rater.page.locator("code").inner_text()
    rater.expects("409")
    assert len(studio.sessions(study)) == 1


def test_by_mouse_alone(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit(permissions=["clipboard-read", "clipboard-write"])
    rater.starts(study, held=True)
    for number in range(4):
        if number == SMALL.practice:
            rater.reads("The practice is over")
            rater.press("Start")
        rater.sees("prompt")
        rater.press("Left")
        if number < SMALL.practice:
            rater.sees("feedback")
            trial = studio.trials(study)[number]
            verdict = "✓ Correct" if trial.fake_side == "left" else "✗ Not this time"
            assert rater.page.locator("#verdict").inner_text() == verdict
            left, right = (text.split("\n") for text in rater.page.locator(".place .label").all_inner_texts())
            assert left == (["Fake", "✓ your answer"] if trial.fake_side == "left" else ["Real", "✗ your answer"])
            assert right[0] == ("Real" if trial.fake_side == "left" else "Fake")
            assert rater.page.get_by_role("img").count() == 2
    rater.reads("Almost done")
    rater.press("Finish")
    rater.press("Copy")
    rater.page.get_by_role("button", name="Copied").wait_for()
    (session,) = studio.sessions(study)
    assert rater.page.evaluate("navigator.clipboard.readText()") == session["code"]
    assert session["comment"] is None
    trials = studio.trials(study)
    assert [trial.choice for trial in trials] == ["left"] * 4 + [None] * 5
    assert [trial.void for trial in trials] == [None] * 9


def test_one_image_is_shown_at_a_time_and_it_is_the_right_one(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    answer: dict[str, str] = {}
    rater.page.on(
        "response",
        lambda response: answer.update(response.json().get("trial") or {}) if "/next" in response.url else None,
    )
    rater.starts(study, held=True)
    sides: list[tuple[Phase, Phase]] = [("left", "right"), ("right", "left")]
    for side, other in sides:
        rater.sees(side)
        shown, hidden = _seen(rater.page, side), _seen(rater.page, other)
        np.testing.assert_array_equal(shown, np.asarray(studio.picture(answer[side])))
        assert np.unique(hidden).tolist() == [128]


def test_keys_before_the_prompt_and_repeats_answer_nothing(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.starts(study, held=True)
    rater.sees("left")
    rater.page.keyboard.press("j")
    rater.sees("right")
    rater.page.keyboard.down("f")  # and held: the browser repeats it
    rater.sees("prompt")
    rater.page.keyboard.down("f")
    rater.page.keyboard.press("Control+f")
    rater.page.keyboard.press("Enter")
    rater.page.clock.run_for(300)
    rater.sees("prompt")
    assert not any("/response" in request for request in rater.requests)
    rater.page.keyboard.up("f")
    rater.answers("right")
    rater.sees("feedback")
    assert [trial.choice for trial in studio.trials(study)][:2] == ["right", None]


def test_two_clicks_on_begin_make_one_session(studio: Studio, visit: Visit) -> None:
    study = studio.study()
    rater = visit()
    rater.open(study)
    rater.page.get_by_role("button", name="Begin").dblclick()
    rater.reads("Your consent")
    assert len(studio.sessions(study)) == 1
    assert sum(request.endswith("/sessions") for request in rater.requests) == 1


def _seen(page: Page, side: str) -> NDArray[np.uint8]:
    """What a screenshot shows in an image's place."""
    box = page.locator(f".place[data-side={side}]").bounding_box()
    assert box is not None
    shot = page.screenshot(clip={"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def check_measurements(trials: list[Trial], onsets: list[float]) -> None:
    assert len(trials) == len(onsets)
    for trial, onset in zip(trials, onsets, strict=True):
        assert trial.measured is not None
        frame = trial.measured["frame_ms"]
        assert trial.measured["hertz"] == pytest.approx(1000 / frame, abs=0.01)
        left, right = trial.measured["exposures"]["left"], trial.measured["exposures"]["right"]
        assert left["on"] == pytest.approx(onset, abs=0.001)
        for exposure in (left, right):
            late = exposure["off"] - exposure["on"] - QUICK.exposure
            assert -frame / 2 - 0.01 <= late <= exposure["gap"]  # by no more than the frame that came late
            assert exposure["frames"] >= 1
        assert right["on"] - left["off"] >= QUICK.gap - frame / 2 - 0.01
        assert trial.response_ms is not None
        assert 0 <= trial.response_ms < 1000 * PATIENCE
