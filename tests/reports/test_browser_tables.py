"""Tables of the page, used: sorted by their heads, copied as LaTeX, and followed to the pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from reports import html
from reports.store import ledger
from reports.store.layout import Grid
from tests.reports import rich as rich_results
from tests.reports.browsing import Visits, focused
from tests.reports.rich import APART, CELLS, METRICS, POOLED, WITHOUT_PSNR

COMPARED = [cell for cell in CELLS if cell != APART]


def table(page: Page) -> Locator:
    """The table of image scores."""
    return page.get_by_role("region", name="Image scores, first").locator("table")


def rows(page: Page) -> list[str]:
    """The names of its rows, from top to bottom."""
    return table(page).locator("tbody th[scope=row]").all_inner_texts()


def head(page: Page, title: str) -> Locator:
    return table(page).get_by_role("columnheader").filter(has_text=title)


def values(index: Path, metric: str) -> dict[str, float]:
    """What the compared cells scored, from the ledger."""
    grid = Grid(index.parent.parent / rich_results.GRIDS[0])
    scores = {cell: ledger.read_scorer(grid.run(cell, 0), "image").metrics for cell in COMPARED}
    return {cell: metrics[metric].value for cell, metrics in scores.items() if metric in metrics}


@pytest.mark.parametrize(
    ("title", "metric", "better", "by"),
    [
        ("PSNR", "psnr", "high", "click"),
        ("L1", "l1", "low", "click"),
        ("Sharpness", "sharpness", "", "click"),
        ("PSNR", "psnr", "high", "Enter"),
        ("L1", "l1", "low", "Space"),
    ],
)
def test_a_head_sorts_its_table_best_first_then_the_other_way_then_not(
    rich: Path, visit: Visits, title: str, metric: str, better: str, by: str
) -> None:
    page = visit(rich)
    original = rows(page)
    assert original == [*COMPARED, "real", APART]
    first, second = ("ascending", "descending") if better == "low" else ("descending", "ascending")
    found = values(rich, metric)
    ordered = sorted(found, key=found.__getitem__, reverse=first == "descending")
    missing = [cell for cell in COMPARED if cell not in found]
    assert missing == ([WITHOUT_PSNR] if metric == "psnr" else [])
    button = head(page, title).get_by_role("button")

    def press() -> None:
        if by == "click":
            button.click()
        else:
            button.focus()
            page.keyboard.press(by)

    press()
    assert rows(page) == [*ordered, *missing, "real", APART]
    assert head(page, title).get_attribute("aria-sort") == first
    press()
    assert rows(page) == [*reversed(ordered), *missing, "real", APART]
    assert head(page, title).get_attribute("aria-sort") == second
    press()
    assert rows(page) == original
    assert table(page).locator("[aria-sort]").count() == 0


def test_only_the_head_that_sorts_says_so_and_names_are_sorted_as_text(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    head(page, "Sharpness").get_by_role("button").click()
    head(page, "Cell").get_by_role("button").click()
    assert rows(page) == [*sorted(COMPARED), "real", APART]
    assert table(page).locator("[aria-sort]").count() == 1
    assert head(page, "Cell").get_attribute("aria-sort") == "ascending"


def test_the_tab_key_goes_from_head_to_head(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    head(page, "Cell").get_by_role("button").focus()
    names = [focused(page).strip()]
    while names[-1] != "Seeds":
        page.keyboard.press("Tab")
        names.append(focused(page).strip())
        assert len(names) < 20
    assert [name.split()[0] for name in names[:4]] == ["Cell", "PSNR", "L1", "Sharpness"]
    assert len(names) == len(METRICS) + len(POOLED) + 3


def test_a_table_of_classes_sorts_by_a_class_with_real_last(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    classes = page.get_by_role("region", name="IoU of each class").locator("table")
    sky = classes.get_by_role("columnheader").filter(has_text="sky")
    sky.get_by_role("button").click()
    place = rich_results.CLASSES.index("sky") + 2
    shown = [float(text) for text in classes.locator(f"tbody tr:not(.real) td:nth-child({place})").all_inner_texts()]
    assert len(shown) == len(CELLS)
    assert shown == sorted(shown, reverse=True)
    assert classes.locator("tbody tr").last.locator("th").inner_text() == "real"


def test_two_grids_with_the_same_cells_sort_apart(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    other = page.get_by_role("region", name="Image scores, second").locator("table")
    before = other.inner_html()
    head(page, "L1").get_by_role("button").click()
    assert rows(page)[: len(COMPARED)] != COMPARED
    assert other.inner_html() == before


@pytest.mark.parametrize("allowed", [True, False], ids=["clipboard", "selection"])
def test_latex_is_copied_as_it_is_in_its_file(rich: Path, visit: Visits, allowed: bool) -> None:
    page = visit(rich, permissions=["clipboard-read", "clipboard-write"])
    if not allowed:  # as on pages and in browsers that have no such interface
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 3600)  # what a button says lasts until the clock moves
    for grid in rich_results.GRIDS:
        tex = (rich.parent / "tables" / f"{grid}--image.tex").read_text("utf-8")
        button = page.locator(f"p:has(a[href='tables/{grid}--image.tex']) button")
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == tex
        assert focused(page) == "Copied"
    page.clock.run_for(2000)
    assert button.inner_text() == "Copy LaTeX"


def test_the_links_of_a_table_are_its_files(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    for link in page.locator(".files a[href^='tables/']").all():
        address = link.get_attribute("href")
        assert address is not None
        assert (rich.parent / address).is_file()
    assert page.locator(".files a").count() > 8


def test_the_page_of_one_cell_alone_has_tables_too(build: Callable[..., Path], visit: Visits) -> None:
    results = build(cells=["L1"])
    page = visit(html.write_report(results, results / "report"))
    page.get_by_role("columnheader").filter(has_text="L1").get_by_role("button").click()
    assert page.locator("table.scores").first.locator("tbody th").all_inner_texts() == ["L1", "real"]
