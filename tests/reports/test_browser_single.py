"""The report as one file, moved away from all that it was made of."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reports import html
from tests.reports.browsing import Visits, expect_item, load_pictures
from tests.reports.rich import GRIDS

TABLES = [f"{grid}--image.{ending}" for grid in GRIDS for ending in ("csv", "tex")]


@pytest.fixture(scope="module")
def alone(rich: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file, in a folder of its own."""
    written = html.write_report(rich.parent.parent, tmp_path_factory.mktemp("made") / "report.html", single_file=True)
    folder = tmp_path_factory.mktemp("sent")
    yield Path(shutil.move(written, folder / "a report.html"))
    assert [path.name for path in folder.iterdir()] == ["a report.html"]


def test_every_picture_is_in_the_file(alone: Path, visit: Visits) -> None:
    page = visit(alone)
    assert load_pictures(page) > 2 * 12 * 6
    for anchor in ("grid0", "grid1"):
        page.locator(f"#{anchor} .controls select").first.select_option(label="L1")
        page.locator(f"#{anchor} .controls select").nth(2).select_option(value="best")
        while page.locator(f"#{anchor} .more button").is_visible():
            page.locator(f"#{anchor} .more button").click()
    assert page.locator("#grid0 .pictures tbody tr").count() == 24
    assert page.locator("#grid1 .pictures tbody tr").count() == 14
    sources = page.locator(".pictures img").evaluate_all("images => images.map(image => image.src)")
    assert len(set(sources)) == len(sources) == (24 + 14) * 6
    assert load_pictures(page) > 38 * 6
    first = page.locator("#grid0 .item").first.inner_text()
    page.locator("#grid0 .tile").first.click()
    expect_item(page, first)
    for _ in range(24):
        assert load_pictures(page, "dialog") in {2 + 6 + 10 + 1, 2 + 6 + 5}
        page.keyboard.press("ArrowRight")
    assert {request.split(":")[0] for request in visit.requests} <= {"file", "data"}
    assert sum(request.startswith("file:") for request in visit.requests) == 1


@pytest.mark.parametrize("name", TABLES)
def test_its_tables_are_saved_as_they_are(rich: Path, alone: Path, visit: Visits, name: str) -> None:
    page = visit(alone)
    with page.expect_download() as saved:
        page.locator(f"a[download='{name}']").first.click()
    assert saved.value.suggested_filename == name
    assert saved.value.path().read_bytes() == (rich.parent / "tables" / name).read_bytes()


def test_nothing_in_it_leads_to_another_file(alone: Path) -> None:
    text = alone.read_text("utf-8")
    page = re.sub(r"<(script|style|textarea).*?</\1>", "", text, flags=re.DOTALL)
    links = re.findall(r'\s(?:href|src)="([^"]*)"', page)
    assert len(links) > 100
    assert {link.split(":")[0] if link[0] != "#" else "#" for link in links} == {"data", "#"}
