"""The page for everybody: by axe, in light and dark, without JavaScript, and on paper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

from tests.reports.browsing import Visits, expect_item, overflow


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds wrong: rule, and the first element that breaks it."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(each["id"], f"{each['nodes'][0]['html'][:300]} {each['nodes'][0]['failureSummary']}") for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_wrong(rich: Path, visit: Visits, width: int, scheme: Literal["light", "dark"]) -> None:
    page = visit(rich, width, color_scheme=scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.locator("#grid0 .controls select").first.select_option(label="L1")
    page.locator("#grid0 .sort").nth(1).click()
    assert violations(page) == []
    item = page.locator(".pictures .item").first.inner_text()
    page.locator(".tile").first.click()
    expect_item(page, item)
    assert violations(page) == []


def test_light_and_dark_differ(rich: Path, visit: Visits) -> None:
    pages = visit(rich, color_scheme="light"), visit(rich, color_scheme="dark")
    colours = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in pages]
    light, dark = (sum(map(int, re.findall(r"\d+", colour))) for colour in colours)
    assert light > 700
    assert dark < 100


def test_without_javascript_the_page_is_whole_and_has_no_dead_control(rich: Path, visit: Visits) -> None:
    page = visit(rich, java_script_enabled=False)
    assert page.locator("#grid0 table.scores").count() > 2
    assert page.locator("#grid0 .pictures tbody tr").count() == 12
    assert page.locator("#grid0 .figures img").count() > 4
    assert page.get_by_role("region", name="Image scores, first").locator("tbody th[scope=row]").count() == 5
    for control in ("button", "select", "input", "textarea", "dialog", ".controls", ".more", ".scripted"):
        assert page.locator(control).count() > 0, control
        for each in page.locator(control).all():
            assert not each.is_visible(), control


def test_on_paper_there_are_pictures_and_whole_tables_and_no_controls(rich: Path, visit: Visits) -> None:
    page = visit(rich, 907)  # A4 between margins of 15 mm, at three quarters, as Chromium prints all pages
    page.emulate_media(media="print")
    heads = page.get_by_role("region", name="Image scores, first").locator("thead th")
    assert [head.split()[0] for head in heads.all_inner_texts()][:4] == ["Cell", "PSNR", "L1", "Sharpness"]
    for control in ("button:not(.sort)", "select", "input", "dialog", "nav", ".controls", ".more"):
        for each in page.locator(control).all():
            assert not each.is_visible(), control
    for box in (".scroll", ".gallery"):
        for each in page.locator(box).all():
            assert each.evaluate("box => getComputedStyle(box).overflow") == "visible"
            assert each.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
    assert overflow(page, "#grid0 .gallery") <= 0
    assert overflow(page) <= 0
    paper = page.pdf(format="A4")
    assert len(re.findall(rb"/Subtype\s*/Image", paper)) >= 12 * 6 * 2
