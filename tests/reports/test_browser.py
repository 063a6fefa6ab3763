"""The page in a real browser: what it looks like, what a click does, and that it asks nobody for anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

from reports import html
from reports.layout import Grid

INJECTION = '<img src=x onerror="alert(1)">'
LONG = "AnUnbreakableName" * 7


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.fail("no chromium or google-chrome: run `make test`, which installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


def test_the_page_works_in_a_browser_from_disk(build: Callable[..., Path], browser: Browser) -> None:
    cells = ["L1", INJECTION, LONG, "道路 & \"'", "e", "f", "g", "h", "i"]
    results = build(cells=cells, items=[INJECTION, LONG, *"cdefghijklmnop"], title=f"{INJECTION} {LONG}", seeds=(0, 1))
    (Grid(results / "losses").run("L1", 0).images / "d.png").unlink()
    index = html.write(results, results / "report")
    requests: list[str] = []
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    for width in (1440, 1024, 390):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(index.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, width
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)")
        assert broken == [], width
        assert page.evaluate("document.images.length") == 12 * 11 - 1 + 1
        page.close()
    assert complaints == []
    assert len(requests) > 3
    assert {request.split(":")[0] for request in requests} == {"file"}


@pytest.mark.parametrize("width", [1440, 390])
def test_the_heads_of_the_gallery_stay_in_view(build: Callable[..., Path], browser: Browser, width: int) -> None:
    results = build(items=[f"item-{number:02}" for number in range(12)])
    page = browser.new_page(viewport={"width": width, "height": 600})
    page.goto(html.write(results, results / "report").as_uri())
    page.evaluate("document.querySelector('.pictures tbody tr:nth-child(9)').scrollIntoView({block: 'center'})")
    head, box, row = page.evaluate(
        "['.pictures thead th:nth-child(2)', '.gallery', '.pictures tbody tr:nth-child(9)']"
        ".map(name => document.querySelector(name).getBoundingClientRect().top)"
    )
    assert 0 <= row <= 600
    if width == 1440:  # the whole row fits: the heads stay in the window
        assert box < 0
        assert head == pytest.approx(0, abs=1)
    else:  # the gallery scrolls in its box, and the heads stay in that
        assert box >= 0
        assert head == pytest.approx(box, abs=1)
