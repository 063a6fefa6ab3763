"""The report as one file: all is in it, byte by byte, and its folder is not needed; links of the folder lead on."""

from __future__ import annotations

import base64
import json
import re
import shutil
import tracemalloc
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reports import html
from reports.store.errors import ReportError
from reports.store.layout import Report
from tests.reports import analysed
from tests.reports.parsed import Page

HOSTILE_GRIDS = ("two words", "a\"b'c", "100 %41 #1", "道路", "<b>&amp;", "a--b", "x?y=z", "tables")


def payload(data: str | None) -> bytes:
    """What a data URI holds."""
    assert data
    kind, _, content = data.partition(";base64,")
    assert re.fullmatch(r"data:[a-z]+/[a-z0-9.+-]+", kind)
    return base64.b64decode(content, validate=True)


def files_of_script(text: str) -> dict[str, str]:
    """The table of pictures that only the script shows."""
    (found,) = re.findall(r"<script>window\.files = (\{.*?\});</script>", text)
    value = json.loads(found)
    assert isinstance(value, dict)
    return value


def folder_of(results: Path, out: Path, items: int = html.SINGLE_ITEMS) -> Path:
    return html.write_report(results, out, items=items).parent


@pytest.mark.long
def test_every_file_of_the_report_is_in_it(build: Callable[..., Path], tmp_path: Path) -> None:
    results = build(items=[f"{number:02}" for number in range(20)])
    algorithms = [analysed.algorithm("L1", 0.2, {f"{number:02}": (3, number % 3) for number in range(20)})]
    analysed.write(results, analysed.document(algorithms))
    analysed.rate(results, "L1", tuple(f"{number:02}" for number in range(20)))
    folder = folder_of(results, tmp_path / "report")
    one = html.write_report(results, tmp_path / "one/report.html", single_file=True)
    text, page = one.read_text("utf-8"), Page(one)
    held = {payload(image["src"]) for image in page.named("img")}
    held |= {payload(link["href"]) for link in page.named("a") if (link["href"] or "").startswith("data:")}
    held |= {payload(data) for data in files_of_script(text).values()}
    beside = {path for path in folder.rglob("*") if path.is_file()} - {folder / "index.html", folder / "made.jsonl"}
    assert {path.suffix for path in beside} == {".png", ".svg", ".js", ".csv", ".tex", ".toml"}
    for path in beside:
        if path.suffix == ".js":
            assert f"<script>{path.read_text('utf-8')}</script>" in text
        elif path.name != "paper.csv":  # which no page links to yet
            assert path.read_bytes() in held, path


def test_it_names_nothing_outside(results: Path, tmp_path: Path) -> None:
    page = Page(html.write_report(results, tmp_path / "report.html", single_file=True))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            reference = attributes.get(name)
            assert not reference or reference.startswith(("data:", "#")), (tag, reference)
    assert [path.name for path in tmp_path.iterdir() if path.name != "results"] == ["report.html"]


@pytest.mark.long
def test_a_link_saves_its_table_under_its_name(results: Path, tmp_path: Path) -> None:
    shutil.move(results / "losses", results / "道路 1")
    folder = folder_of(results, tmp_path / "report")
    page = Page(html.write_report(results, tmp_path / "report.html", single_file=True))
    saved = {link["download"]: payload(link["href"]) for link in page.named("a") if "download" in link}
    written = {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
    assert saved == {name: content for name, content in written.items() if name in saved}
    assert written.keys() - saved.keys() <= {"paper.csv"}  # which the page need not link to


@pytest.mark.parametrize("name", HOSTILE_GRIDS)
def test_a_grid_of_any_name_has_links_that_lead_to_files(results: Path, tmp_path: Path, name: str) -> None:
    shutil.move(results / "losses", results / name)
    folder = folder_of(results, tmp_path / "report")
    page = Page(folder / "index.html")
    references = [link["href"] or "" for link in page.named("a")] + [image["src"] or "" for image in page.named("img")]
    files = [reference for reference in references if not reference.startswith(("#", "data:"))]
    assert len(files) > 17
    for reference in files:
        parts = urllib.parse.urlsplit(reference)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", ""), reference
        assert (folder / urllib.parse.unquote(parts.path)).is_file(), reference
    one = Page(html.write_report(results, tmp_path / "report.html", single_file=True))
    assert not [link for link in one.named("a") if not (link["href"] or "").startswith(("#", "data:"))]
    ((toml,),) = [[link for link in one.named("a") if (link.get("download") or "").endswith(".toml")]]
    assert b"[settings]" in payload(toml["href"])
    assert f"p2pbench train-ablation {toml['download']} " in one.text + Page(folder / "index.html").text


def test_text_that_looks_like_a_file_of_the_report_stays_text(build: Callable[..., Path], tmp_path: Path) -> None:
    title = 'a src="assets/grid0.js" href="tables/scores.csv" <!-- files --> <script src="x" defer></script>'
    results = build(cells=(title.replace("/", "-"), "b"), title=title, items=["a src=", "b href=", "c"])
    page = Page(html.write_report(results, tmp_path / "report.html", single_file=True))
    assert title in page.text
    assert len(page.named("script")) == 3


def test_memory_is_a_few_times_the_file(results: Path, tmp_path: Path) -> None:
    folder = folder_of(results, tmp_path / "report")
    noise = np.random.default_rng(0)
    for number in range(80):
        (folder / f"assets/grid0/more-{number}.png").write_bytes(noise.bytes(100_000))
    tracemalloc.start()
    size = len(html.inlined(Report(folder)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 10_000_000
    assert peak < 4 * size  # the pieces, and the page at two bytes a character


@pytest.mark.long
def test_a_page_that_was_changed_by_hand_is_not_lost(results: Path, tmp_path: Path) -> None:
    path = html.write_report(results, tmp_path / "report.html", single_file=True)
    ours = path.read_bytes()
    assert html.write_report(results, path, single_file=True).read_bytes() == ours
    for theirs in (ours.replace(b"</h1>", b" (draft)</h1>", 1), ours + b"<!-- my note -->\n"):
        path.write_bytes(theirs)
        with pytest.raises(ReportError, match=r"report\.html: was changed since the report was written") as error:
            html.write_report(results, path, single_file=True)
        assert "\n" not in str(error.value)
        assert path.read_bytes() == theirs
    path.write_bytes(ours[: ours.rindex(b"<!-- SHA-256")])  # as of an older version
    assert html.write_report(results, path, single_file=True).read_bytes() == ours
