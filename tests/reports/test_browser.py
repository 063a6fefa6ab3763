"""The page in a real browser: that all of it shows, at any width, whatever names are in it, and that it opens fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from reports import html
from reports.store.layout import Grid
from tests.browser import WHOLE
from tests.reports.browsing import Visits, expect_item, leave_item, load_pictures, overflow

INJECTION = '<img src=x onerror="alert(1)">'
LONG = "AnUnbreakableName" * 7
RIGHT_TO_LEFT = "شارع"
HOSTILE = (INJECTION, LONG, "道路 & \"'", RIGHT_TO_LEFT, "👩\N{ZERO WIDTH JOINER}🔬")


@pytest.fixture
def hostile(build: Callable[..., Path]) -> Path:
    """The page of a report whose cells, items and title have names that could do harm."""
    items = [*HOSTILE, *"abcdefghijk"]
    results = build(cells=[*HOSTILE, *"fgh", "L1"], items=items, title=f"{INJECTION} {LONG}", seeds=(0, 1))
    (Grid(results / "losses").run("L1", 0).images / "d.png").unlink()
    return html.write_report(results, results / "report")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_is_wider_than_the_window_and_every_picture_shows(rich: Path, visit: Visits, width: int) -> None:
    page = visit(rich, width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert overflow(page) <= 0
    assert load_pictures(page) > 2 * 12 * 6
    page.locator(".tile").first.click()
    expect_item(page, "street-00")
    assert overflow(page) <= 0
    assert overflow(page, "dialog") <= 0
    assert load_pictures(page, "dialog") == 2 + 6 + 2 * 5 + 1


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_moves_when_pictures_come(rich: Path, visit: Visits, width: int) -> None:
    page = visit(rich, width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    boxes = """() => [...document.querySelectorAll("img")].filter((image) => image.checkVisibility())
        .map((image) => Math.round(image.getBoundingClientRect().top + scrollY))"""
    out_of_view = "[...document.images].filter((image) => !image.complete).length"
    assert page.evaluate(out_of_view) > 20
    before = page.evaluate(boxes)
    load_pictures(page)
    assert page.evaluate(out_of_view) == 0
    after = page.evaluate(boxes)
    assert max(abs(one - other) for one, other in zip(before, after, strict=True)) <= 4  # sizes are whole pixels


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_names_that_could_do_harm_show_as_text(hostile: Path, visit: Visits, width: int) -> None:
    page = visit(hostile, width)
    assert overflow(page) <= 0
    assert load_pictures(page) == 12 * 11 - 1 + 1
    page.locator(".controls select").nth(0).select_option(label="L1")
    cells = page.locator(".controls select").nth(1)
    assert cells.locator("option").all_inner_texts()[1:6] == list(HOSTILE)
    cells.select_option(label=INJECTION)
    page.locator(".controls select").nth(2).select_option(label="best first")  # those with the names to look at
    assert page.locator("table.scores tbody th").all_inner_texts()[:5] == list(HOSTILE)
    assert page.locator(".pictures thead th").all_inner_texts()[1:6] == list(HOSTILE)
    assert set(HOSTILE) <= set(page.locator(".pictures .item").all_inner_texts())
    assert overflow(page) <= 0
    for item in HOSTILE:
        page.locator(".pictures tr", has=page.get_by_text(item, exact=True)).locator("a").first.click()
        expect_item(page, item)
        assert page.locator("dialog h3").all_inner_texts()[1:6] == list(HOSTILE)
        assert page.locator("dialog select").first.locator("option").all_inner_texts()[1:6] == list(HOSTILE)
        assert overflow(page, "dialog") <= 0
        leave_item(page)
    assert page.locator("h2").first.inner_text() == f"{INJECTION} {LONG}"


def test_an_address_that_names_no_picture_opens_the_page(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment="#constructor/0/0")
    assert page.locator(".controls").first.is_visible()
    for fragment in ("#grid0/40/0", "#grid0/0/6", "#grid0/-1/0", "#grid9/0/0", "#/", "#constructor/0/0"):
        page.goto(rich.as_uri() + fragment)
        assert not page.locator("dialog").is_visible()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_heads_of_the_gallery_stay_in_view(build: Callable[..., Path], visit: Visits, width: int) -> None:
    results = build(items=[f"item-{number:02}" for number in range(12)])
    page = visit(html.write_report(results, results / "report"), width)
    page.evaluate("document.querySelector('.pictures tbody tr:nth-child(9)').scrollIntoView({block: 'center'})")
    head, box, row = page.evaluate(
        "['.pictures thead th:nth-child(2)', '.gallery', '.pictures tbody tr:nth-child(9)']"
        ".map(name => document.querySelector(name).getBoundingClientRect().top)"
    )
    assert 0 <= row <= 800
    if width == 1440:  # the whole row fits: the heads stay in the window
        assert box < 0
        assert head == pytest.approx(0, abs=1)
    else:  # the gallery scrolls in its box, and the heads stay in that
        assert box >= 0
        assert head == pytest.approx(box, abs=1)


@pytest.mark.parametrize("browser", [WHOLE], indirect=True)
def test_a_large_report_opens_fast_and_asks_for_no_picture_out_of_view(
    build: Callable[..., Path], visit: Visits
) -> None:
    results = build(
        cells=[f"cell-{number:02}" for number in range(20)], items=[f"i{number:02}" for number in range(40)]
    )
    index = html.write_report(results, results / "report")
    page = visit(index)
    assert page.locator(".controls").is_visible()
    page.wait_for_function("[...document.images].some(image => image.complete && image.naturalWidth)")  # the near ones
    page.wait_for_function(  # what is asked for is asked for by then
        "[...document.images].every(image => image.complete || image.getBoundingClientRect().top > innerHeight)"
    )
    asked = {Path(unquote(urlparse(request).path)) for request in visit.requests}
    assert sum(path.stat().st_size for path in asked) < 3_000_000
    pictures = [path for path in asked if path.suffix == ".png"]
    assert 0 < len(pictures) < 22 * 12  # the last items of the first twelve are far below
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # of the processor, whatever else it does
    page.reload()
    measured = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    assert 0 < measured["TaskDuration"] < 0.5
