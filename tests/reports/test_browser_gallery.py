"""The gallery, used: ordered by what items scored, continued, and reached from the numbers of a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from reports import html
from reports.store.layout import Grid
from reports.store.metrics import describe
from tests.reports import rich as rich_results
from tests.reports.browsing import Visits, expect_address, focused
from tests.reports.rich import APART, CELLS, GRIDS, ITEMS, WITHOUT_PSNR

ENDS = {"psnr": ("worst", "best"), "l1": ("worst", "best"), "sharpness": ("lowest", "highest")}
COLUMNS = ["input", *CELLS, "real"]


class Shown:
    """The gallery of one grid in an open page."""

    def __init__(self, page: Page, anchor: str = "grid0") -> None:
        section = page.locator(f"#{anchor}")
        self.metric, self.cell, self.how = section.locator(".controls select").all()
        self.rows: Locator = section.locator(".pictures tbody tr")
        self.caption = section.locator(".pictures caption")
        self.status = section.locator(".order-said")
        self.more = section.locator(".more button")

    def order(self, metric: str, cell: str | None = None, how: str = "worst") -> None:
        """Choose an order as a reader does."""
        self.metric.select_option(label=describe(metric).label)
        self.cell.select_option(label=cell or "mean of cells")
        self.how.select_option(value=how)

    def items(self) -> list[str]:
        """The items from top to bottom."""
        return self.rows.locator(".item").all_inner_texts()


def worst_first(index: Path, metric: str, cell: str | None, grid: str = GRIDS[0]) -> list[str]:
    """The items from the lowest score to the highest, or the other way where lower is better."""
    cells = [cell] if cell else CELLS
    scored = [rich_results.of_item(Grid(index.parent.parent / grid), each, metric) for each in cells]
    sign = -1 if metric == "l1" else 1

    def mean(item: str) -> float:
        found = [its[item] for its in scored if item in its]
        return reduce(add, found) / len(found)  # one after the other, as equal means may differ by the order

    known = [item for item in ITEMS if any(item in its for its in scored)]
    return sorted(known, key=lambda item: (sign * mean(item), item))


def test_the_page_begins_with_twelve_items_evenly_spaced_and_more_come_below(rich: Path, visit: Visits) -> None:
    shown = Shown(visit(rich))
    first = shown.items()
    assert (len(first), first[0], first[-1]) == (12, ITEMS[0], ITEMS[-1])
    assert shown.caption.inner_text().startswith("12 of 40 items, evenly spaced.")
    assert shown.cell.is_disabled()
    assert shown.how.is_disabled()
    rest = [item for item in ITEMS if item not in first]
    for count in (24, 36, 40):
        shown.more.click()
        assert shown.items() == [*first, *rest[: count - 12]]
        assert shown.caption.inner_text().startswith(f"{count} of 40 items.")
    assert not shown.more.is_visible()


@pytest.mark.parametrize("cell", [None, "L1+cGAN"])
@pytest.mark.parametrize("metric", ["psnr", "l1", "sharpness"])
def test_the_gallery_is_ordered_by_a_metric(rich: Path, visit: Visits, metric: str, cell: str | None) -> None:
    shown = Shown(visit(rich))
    expected = worst_first(rich, metric, cell)
    assert len(expected) == 40
    shown.order(metric, cell)
    low, high = ENDS[metric]
    texts = [f"{low} first", f"{high} first", f"{low}, median and {high}"]
    assert shown.how.locator("option").all_inner_texts() == texts
    assert shown.items() == expected[:12]
    assert shown.status.inner_text() == ""
    shown.how.select_option(label=texts[1])
    assert shown.items() == expected[::-1][:12]
    shown.more.click()
    assert shown.items() == expected[::-1][:24]
    shown.how.select_option(label=texts[2])
    assert shown.items() == [*expected[:4], *expected[18:22], *expected[-4:]]
    assert shown.rows.locator(".group").all_inner_texts() == [low] * 4 + ["median"] * 4 + [high] * 4
    assert not shown.more.is_visible()
    shown.metric.select_option(label="item")
    assert shown.items() == list(ITEMS[:12])


def test_numbers_below_the_pictures_are_those_of_item_and_cell(rich: Path, visit: Visits) -> None:
    shown = Shown(visit(rich))
    grid = Grid(rich.parent.parent / GRIDS[0])
    assert shown.rows.locator(".score").count() == 0
    shown.order("psnr", "L1", "best")
    scored = {cell: rich_results.of_item(grid, cell, "psnr") for cell in (*CELLS, "real")}
    for row in shown.rows.all():
        item = row.locator(".item").inner_text()
        numbers = [f"{its[item]:.2f}" for its in scored.values() if item in its]
        assert row.locator(".score").all_inner_texts() == numbers
        links = row.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
        assert links == [f"#grid0/{ITEMS.index(item)}/{place}" for place in range(len(COLUMNS))]
        pictures = row.locator("img").evaluate_all(
            "images => images.map(image => [image.getAttribute('src'), image.alt])"
        )
        stems = [f"assets/grid0/{place:02}-{ITEMS.index(item):04}" for place in range(len(COLUMNS))]
        assert pictures == [[f"{stem}.jpg", f"{column}, {item}"] for stem, column in zip(stems, COLUMNS, strict=True)]


def test_items_without_the_score_are_left_out_and_counted(rich: Path, visit: Visits) -> None:
    shown = Shown(visit(rich))
    shown.order("l1", APART)
    assert shown.status.inner_text() == "1 of 40 items lack this score and are omitted."
    for _ in range(3):
        shown.more.click()
    assert shown.items() == worst_first(rich, "l1", APART)
    assert ITEMS[-1] not in shown.items()
    shown.order("psnr", WITHOUT_PSNR)
    assert shown.items() == []
    assert shown.status.inner_text() == "40 of 40 items lack this score and are omitted."
    assert not shown.more.is_visible()


def test_a_number_of_a_table_leads_to_its_pictures_the_worst_first(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    shown = Shown(page)
    row = page.get_by_role("region", name="Image scores, first").get_by_role("row", name="L1+cGAN")
    for place, metric in ((0, "psnr"), (1, "l1"), (2, "sharpness")):
        row.get_by_role("link").nth(place).click()
        assert shown.items() == worst_first(rich, metric, "L1+cGAN")[:12]
        chosen = [
            each.evaluate("select => select.selectedOptions[0].textContent") for each in (shown.metric, shown.cell)
        ]
        assert chosen == [describe(metric).label, "L1+cGAN"]
        expect_address(page, "#grid0-pictures")
        page.wait_for_function("document.getElementById('grid0-pictures').getBoundingClientRect().top < 100")
    shown.how.select_option(value="best")
    row.get_by_role("link").nth(1).focus()
    page.keyboard.press("Enter")
    assert shown.items() == worst_first(rich, "l1", "L1+cGAN")[:12]


def test_the_keyboard_goes_on_with_the_first_of_the_new_items(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    shown = Shown(page)
    shown.order("l1", "L1")
    shown.more.focus()
    page.keyboard.press("Enter")
    assert focused(page) == f"#grid0/{ITEMS.index(shown.items()[12])}/0"


def test_new_pictures_have_their_room_before_they_are_there(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    heights = page.evaluate(
        """() => {
          const select = document.querySelector("#grid0 .controls select");
          select.selectedIndex = 1;
          select.dispatchEvent(new Event("change"));
          return [...document.querySelectorAll("#grid0 .pictures img")].map((image) =>
            [image.clientHeight / image.clientWidth, image.complete && image.naturalWidth > 0]);
        }"""
    )
    assert len(heights) == 12 * len(COLUMNS)
    assert not all(loaded for _, loaded in heights)
    assert {round(height, 1) for height, _ in heights} == {0.8}


def test_two_grids_in_one_page_are_ordered_apart(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    first, second = Shown(page), Shown(page, "grid1")
    before = second.items()
    first.order("l1", "L1")
    assert second.items() == before
    assert second.metric.input_value() == ""
    second.order("l1", "L1", "best")
    assert first.items() == worst_first(rich, "l1", "L1")[:12]
    assert second.items() == worst_first(rich, "l1", "L1", GRIDS[1])[::-1][:12]
    source = second.rows.first.locator("img").first.get_attribute("src")
    assert source is not None
    assert source.startswith("assets/grid1/")
    page.get_by_role("region", name="Image scores, second").get_by_role("row", name="GAN").first.get_by_role(
        "link"
    ).first.click()
    assert second.items() == worst_first(rich, "l1", "GAN", GRIDS[1])[:12]
    assert first.items() == worst_first(rich, "l1", "L1")[:12]


def test_a_grid_without_scores_by_item_has_pictures_and_no_order(build: Callable[..., Path], visit: Visits) -> None:
    results = build(items=[f"item-{number:02}" for number in range(14)])
    other = build(name="unscored", items=[f"item-{number:02}" for number in range(14)])
    for path in (other / "unscored").glob("**/scores/*"):
        path.unlink()
    page = visit(html.write_report(results, results / "report"))
    shown = Shown(page, "grid1")
    assert not page.locator("#grid1 .controls").is_visible()
    shown.more.click()
    assert len(shown.items()) == 14
