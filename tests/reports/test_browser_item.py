"""The view of one item, used: opened and left in every way, walked through, and its two pictures divided."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from reports.store.layout import Grid
from reports.store.metrics import describe
from tests.reports import rich as rich_results
from tests.reports.browsing import Visits, expect_address, expect_item, focused, leave_item
from tests.reports.rich import CELLS, GRIDS, ITEMS, UNLABELLED

COLUMNS = ["input", *CELLS, "real"]
TILE = "#grid0/7/2"
"""A picture among the first twelve: GAN, as it is the third column."""


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def title(page: Page) -> str:
    """The item that is open, or nothing."""
    return dialog(page).locator("h2").inner_text() if dialog(page).is_visible() else ""


def sides(page: Page) -> list[str]:
    """The files below the slider: left, right."""
    names = [picture.get_attribute("src") or "" for picture in dialog(page).locator(".stage img").all()]
    assert "over" in (dialog(page).locator(".stage img").nth(1).get_attribute("class") or "")
    return [names[1].split("/")[-1], names[0].split("/")[-1]]


@pytest.mark.parametrize("leave", ["Escape", "button", "Back"])
@pytest.mark.parametrize("enter", ["click", "keyboard"])
def test_a_picture_opens_its_item_and_leaving_goes_back_to_it(
    rich: Path, visit: Visits, enter: str, leave: str
) -> None:
    page = visit(rich)
    tile = page.locator(f"a[href='{TILE}']")
    if enter == "click":
        tile.click()
    else:
        tile.focus()
        page.keyboard.press("Enter")
    expect_item(page, ITEMS[7])
    expect_address(page, TILE)
    assert sides(page) == ["02-0007.jpg", "05-0007.jpg"]
    if leave == "Escape":
        page.keyboard.press("Escape")
    elif leave == "button":
        dialog(page).get_by_role("button", name="Close").click()
    else:
        page.go_back()
    dialog(page).wait_for(state="hidden")
    page.wait_for_function("!location.hash")
    assert focused(page) == TILE


def test_an_address_opens_its_item_and_back_and_forward_follow(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment="#grid0/3/2")
    assert title(page) == ITEMS[3]
    assert sides(page) == ["02-0003.jpg", "05-0003.jpg"]
    leave_item(page)
    page.locator(f"a[href='{TILE}']").click()
    expect_item(page, ITEMS[7])
    page.go_back()
    dialog(page).wait_for(state="hidden")
    page.go_forward()
    expect_item(page, ITEMS[7])
    page.evaluate("location.hash = '#grid1/2/5'")
    expect_item(page, "street-02")
    assert [picture.get_attribute("src") for picture in dialog(page).locator(".stage img").all()] == [
        "assets/grid1/04-0002.jpg",
        "assets/grid1/05-0002.jpg",
    ]


def test_forward_right_after_back_shows_the_item_again(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment="#grid0/3/2")
    page.evaluate("""() => {  // the dialog's close event comes later than both
        document.getElementById("item").addEventListener("close", () => { window.heard = true; });
        location.hash = "";
        window.addEventListener("hashchange", () => { location.hash = "#grid0/3/2"; }, { once: true });
    }""")
    page.wait_for_function("window.heard")  # which is after the page's own reporter
    expect_item(page, ITEMS[3])
    assert page.evaluate("location.hash") == "#grid0/3/2"
    assert dialog(page).is_visible()


@pytest.mark.parametrize("by", ["button", "arrow"])
def test_previous_and_next_follow_the_order_of_the_gallery(rich: Path, visit: Visits, by: str) -> None:
    page = visit(rich)
    for select, label in enumerate(["L1", "L1+cGAN"]):
        page.locator("#grid0 .controls select").nth(select).select_option(label=label)
    scored = rich_results.of_item(Grid(rich.parent.parent / GRIDS[0]), "L1+cGAN", "l1")
    order = sorted(scored, key=scored.__getitem__, reverse=True)  # lower is better: the worst first
    previous, after = (dialog(page).get_by_role("button", name=name) for name in ("previous", "next"))

    def step(way: int) -> None:
        if by == "button":
            (after if way > 0 else previous).click()
        else:
            page.keyboard.press("ArrowRight" if way > 0 else "ArrowLeft")

    page.locator("#grid0 .pictures tbody tr").first.locator("a").nth(3).click()
    expect_item(page, order[0])
    assert previous.is_disabled()
    for item in order[1:14]:
        step(1)
        assert title(page) == item
        expect_address(page, f"#grid0/{ITEMS.index(item)}/3")
        assert sides(page)[0] == f"03-{ITEMS.index(item):04}.jpg"
    step(-1)
    assert title(page) == order[12]
    page.evaluate("(number) => { location.hash = `#grid0/${number}/3`; }", ITEMS.index(order[-1]))
    expect_item(page, order[-1])
    assert after.is_disabled()
    assert not previous.is_disabled()
    page.keyboard.press("ArrowRight")
    assert title(page) == order[-1]
    leave_item(page)
    assert focused(page) == f"#grid0/{ITEMS.index(order[0])}/3"


def test_an_item_outside_of_the_order_is_among_all_items(rich: Path, visit: Visits) -> None:
    page = visit(rich)
    for select, label in enumerate(["L1", "L1", "worst, median and best"]):
        page.locator("#grid0 .controls select").nth(select).select_option(label=label)
    shown = page.locator("#grid0 .pictures .item").all_inner_texts()
    item = next(number for number in range(1, 38) if not {ITEMS[number], ITEMS[number + 1]} & set(shown))
    page.evaluate("(number) => { location.hash = `#grid0/${number}/1`; }", item)
    expect_item(page, ITEMS[item])
    page.keyboard.press("ArrowRight")
    assert title(page) == ITEMS[item + 1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert title(page) == ITEMS[item - 1]


def test_arrows_with_another_key_or_on_a_control_do_not_leave_the_item(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment=TILE)
    for keys in ("Control+ArrowRight", "Shift+ArrowRight", "Meta+ArrowLeft"):
        page.keyboard.press(keys)
        assert title(page) == ITEMS[7], keys
    dialog(page).get_by_label("Left").focus()
    page.keyboard.press("ArrowRight")
    dialog(page).get_by_label("Divide").focus()
    page.keyboard.press("ArrowRight")
    assert title(page) == ITEMS[7]


def test_the_slider_moves_the_divide(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment=TILE)
    slider = dialog(page).get_by_label("Divide")
    over = dialog(page).locator(".stage .over")

    def divide() -> float:
        """Where the left picture ends, in percent of the width; the line must be there too."""
        clip, line = page.evaluate(
            """() => {
              const stage = document.querySelector(".stage");
              const line = stage.querySelector(".divider").getBoundingClientRect();
              const box = stage.getBoundingClientRect();
              const clip = getComputedStyle(stage.querySelector(".over")).clipPath;
              return [clip, 100 * (line.left + line.width / 2 - box.left) / box.width];
            }"""
        )
        cut = re.fullmatch(r"inset\(0px ([\d.]+)% 0px 0px\)", clip)
        assert cut, clip
        assert line == pytest.approx(100 - float(cut[1]), abs=0.5)
        return 100 - float(cut[1])

    over.wait_for()
    assert divide() == 50
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert divide() == 60
    page.keyboard.press("Home")
    assert divide() == 0
    assert slider.get_attribute("aria-valuetext") == "0 percent GAN, the rest real"
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    moved = divide()
    assert moved == int(slider.input_value())
    assert 65 < moved < 85
    leave_item(page)
    page.locator(f"a[href='{TILE}']").click()
    expect_item(page, ITEMS[7])
    assert divide() == moved  # who compares many items need not move it for each


def test_both_sides_can_be_any_column(rich: Path, visit: Visits) -> None:
    page = visit(rich, fragment=TILE)
    left, right = dialog(page).get_by_label("Left"), dialog(page).get_by_label("Right")
    assert left.locator("option").all_inner_texts() == COLUMNS
    left.select_option(label="L1")
    assert sides(page) == ["01-0007.jpg", "05-0007.jpg"]
    right.select_option(label="input")
    assert sides(page) == ["01-0007.jpg", "00-0007.jpg"]
    dialog(page).get_by_role("button", name="next").click()
    assert [name[:3] for name in sides(page)] == ["01-", "00-"]
    assert title(page) != ITEMS[7]


@pytest.mark.parametrize("item", [ITEMS[3], UNLABELLED])
def test_a_card_a_column_has_label_maps_and_scores_of_the_item(rich: Path, visit: Visits, item: str) -> None:
    number = ITEMS.index(item)
    page = visit(rich, fragment=f"#grid0/{number}/1")
    cards = dialog(page).locator(".card")
    grid = Grid(rich.parent.parent / GRIDS[0])
    assert cards.locator("h3").all_inner_texts() == COLUMNS
    for place, column in enumerate(COLUMNS):
        card = cards.nth(place)
        sources = [picture.get_attribute("src") for picture in card.locator("img").all()]
        maps = {f"s{place:02}-{number:04}.png": "segmentation"} if column != "input" else {}
        if maps and item != UNLABELLED:
            maps[f"e{place:02}-{number:04}.png"] = "errors"
            if column == "real":
                maps[f"t-{number:04}.png"] = "true labels"
        assert sources == [f"assets/grid0/{name}" for name in (f"{place:02}-{number:04}.jpg", *maps)]
        assert card.locator("figcaption").all_inner_texts() == list(maps.values())
        expected = {}
        for scorer, metric in (
            ("image", "l1"),
            ("image", "psnr"),
            ("image", "sharpness"),
            ("amt-first", "fooling_rate"),
        ):
            if column == "input" or (scorer == "amt-first" and column not in {"L1", "L1+cGAN"}):
                continue
            scored = rich_results.of_item(grid, column, metric, scorer)
            if item in scored:
                expected[describe(metric).label] = f"{scored[item]:.{describe(metric).digits}f}"
        names = card.locator("dt").all_inner_texts()
        assert dict(zip(names, card.locator("dd").all_inner_texts(), strict=True)) == expected
    assert cards.filter(has_text="Fooling rate (%)").count() == 2
