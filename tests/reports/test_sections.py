"""A grid's section with its files: every number in a table of the page is in a CSV."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reports import html, sections
from reports.html import GLOSSARY, term
from reports.plots import Drawing, PlotFile, svg, write_drawings
from reports.store import analyses
from reports.store.layout import Grid
from reports.store.metrics import describe, describe_scorer
from tests.reports.parsed import Page, rows
from tests.reports.scored import (
    CITYSCAPES,
    MAPS,
    NAMES,
    PUBLISHED,
    STREETS,
    label_scores,
    put_grid,
    put_study,
    score,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three grids: the paper's own images by every scorer with two seeds; its maps with raters; other images."""
    folder = tmp_path_factory.mktemp("rich") / "results"
    paper = Grid(folder / "cityscapes")
    for run in [*put_grid(paper, CITYSCAPES, ("L1", "cGAN", "L1+cGAN"), (0, 1)), paper.real]:
        other = {**PUBLISHED, "image_size": 64} if (run.cell, run.seed) == ("cGAN", 1) else PUBLISHED
        for salt, scorer in enumerate(("fcn-official", "fcn-strict")):
            score(run, scorer, other, salt, "pixel_accuracy", "class_accuracy", "class_iou")
        score(run, "image", {"scale": "0..1"}, 3, "l1", "psnr", "histogram_l", items=5 if run.cell == "L1+cGAN" else 6)
        label_scores(run)
        lab = [f"{channel},{low},{low + 1},{low + 1},{2 * low + 1}" for channel in "Lab" for low in range(2)]
        run.lab_histograms.write_text("\n".join(["channel,low,high,output,target", *lab]))
    maps = Grid(folder / "losses")
    put_grid(maps, MAPS, ("L1", "L1+cGAN"), (0,))
    streets = Grid(folder / "streets")
    for run in [*put_grid(streets, STREETS, ("L1", "L1+cGAN"), (0,)), streets.real]:
        score(run, "fcn-official", PUBLISHED, 0, "pixel_accuracy", "class_accuracy", "class_iou")
        score(run, "image", {"scale": "0..1"}, 1, "l1", "psnr", "histogram_l")
    for grid, name in ((maps, "first"), (streets, "second")):
        put_study(folder, grid, name, ("L1", "L1+cGAN"))
    for run in maps.runs():
        score(run, "image", {"scale": "0..1"}, 1, "l1", "psnr", "histogram_l")
    html.write_report(folder, folder / "report")
    return folder


@dataclass
class Line:
    """A row of a table: its head, its cells, and the other text in it."""

    name: str = ""
    cells: list[str] = field(default_factory=list)


@dataclass
class ScoreTable:
    """A table of the page: the last heading with a place, the last summary before it, and what it says."""

    place: str
    summary: str
    kind: str
    caption: str = ""
    head: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


class Tables(HTMLParser):
    """The tables of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[ScoreTable] = []
        self._place = self._summary = self._text = ""
        self._in_head = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a table, a row, or a text."""
        attributes = dict(attrs)
        self._text += " "
        if tag == "h3":
            self._place = attributes.get("id") or self._place
        if tag == "table":
            self.found.append(ScoreTable(self._place, self._summary, attributes.get("class") or ""))
        if tag in {"thead", "tbody"}:
            self._in_head = tag == "thead"
        if tag == "tr" and not self._in_head:
            self.found[-1].lines.append(Line())
        if tag in {"th", "td", "caption", "summary"}:
            self._text = ""

    def handle_data(self, data: str) -> None:
        """Go on with a text."""
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        """Put a text where it belongs."""
        text = " ".join(self._text.split())
        if tag == "summary":
            self._summary = text
        elif tag == "caption":
            self.found[-1].caption = text
        elif tag in {"th", "td"} and self._in_head:
            self.found[-1].head.append(text)
        elif tag == "th":
            self.found[-1].lines[-1].name = text
        elif tag == "td":
            self.found[-1].lines[-1].cells.append(text)


def check(text: str, values: Sequence[str | float | None]) -> None:
    """The numbers in a text are these, in this order, at the digits shown; None and "" are not shown."""
    shown = [found.replace("\N{MINUS SIGN}", "-") for found in re.findall("[+\N{MINUS SIGN}]?\\d+(?:\\.\\d+)?", text)]
    known = [float(value) for value in values if value not in {None, ""}]
    assert len(shown) == len(known), (text, values)
    for each, value in zip(shown, known, strict=True):
        digits = len(each.partition(".")[2])
        assert float(each) == float(f"{value:.{digits}f}"), (text, values)


def tables_of(folder: Path, kind: str) -> list[tuple[str, ScoreTable]]:
    """The tables of a kind, each with its grid's name."""
    grids = sorted(path.parent.name for path in folder.glob("*/grid.json"))
    found = []
    for table in Tables(folder / "report/index.html").found:
        grid = grids[int(re.match(r"grid(\d+)", table.place)[1])]  # type: ignore[index]
        its = "pictures" if table.kind == "pictures" else "confusion"
        if table.kind == "heat" and table.caption:
            its = "classes"
        if table.kind == "scores":
            its = "paper" if "Other images than here" in table.caption else "scores"
            its = "correlation" if "Spearman" in table.caption else its
        if table.kind == "scores ranks":
            its = "ranks"
        if its == kind:
            found.append((grid, table))
    return found


def test_every_table_of_the_page_is_one_that_is_compared(made: Path) -> None:
    kinds = ("scores", "classes", "confusion", "correlation", "paper", "pictures", "ranks")
    counts = {kind: len(tables_of(made, kind)) for kind in kinds}
    # Scores: three scorers of cityscapes, raters and images of maps, raters, images and the FCN-score of streets.
    # Ranks: those, the matrix of wins and, of several seeds, what more would tell.
    others = {"classes": 1, "confusion": 4, "correlation": 2, "paper": 3, "pictures": 3, "ranks": 13}
    assert counts == {"scores": 8} | others
    assert sum(counts.values()) == len(Tables(made / "report/index.html").found)


def test_scores_are_in_the_csv_of_their_table(made: Path) -> None:
    checked = marked = spread = 0
    for grid, table in tables_of(made, "scores"):
        scorer = table.place.partition("-")[2]
        seeds = len(tomllib.loads((made / f"report/tables/{grid}.toml").read_text())["seeds"])
        known = rows(made / f"report/tables/{grid}--{scorer}.csv")
        metrics = [name.removesuffix("_low") for name in known[0] if name.endswith("_low")]
        assert [head.rstrip(" ↑↓") for head in table.head[1:-2]] == [describe(name).label for name in metrics]
        apart = iter(known)
        row: dict[str, str] = {}
        for line in table.lines:
            if not line.name:
                assert all(number in row["not_ranked_because"] for number in re.findall(r"\d+", line.cells[0]))
            elif line.cells:
                row = next(apart)
                assert row["cell"] == line.name
                for name, cell in zip(metrics, line.cells[:-2], strict=True):
                    of_paper = [row.get(f"{name}_paper{end}") for end in ("", "_plus_minus")]
                    difference = row.get(f"{name}_minus_paper")
                    check(cell, [row[name], row[f"{name}_low"], row[f"{name}_high"], *of_paper, difference])
                    assert ("tie" in cell) == (row[f"{name}_mark"] == "tie")
                    marked, spread = marked + bool(of_paper[0]), spread + bool(of_paper[1])
                    checked += 1
                n, used = row["n"], row["seeds"].split()
                check(line.cells[-2], [n, row["n_expected"] if n != row["n_expected"] else None])
                check(line.cells[-1], [len(used) or None, seeds if 0 < len(used) < seeds else None])
        assert list(apart) == []
    # Metrics by rows: of cityscapes 3 x 5 twice and 3 x 4, of maps 1 x 2 and 3 x 2, of streets 3 x 3 twice and 1 x 2.
    assert (checked, marked, spread) == (70, 16, 2)


def test_the_iou_of_classes_is_in_their_csv(made: Path) -> None:
    ((grid, table),) = tables_of(made, "classes")
    known = rows(made / f"report/tables/{grid}--fcn-strict.classes.csv")
    assert table.head[1:] == list(NAMES)
    assert [line.name for line in table.lines] == ["L1", "cGAN", "L1+cGAN", "real"]
    for line in table.lines:
        for name, cell in zip(table.head[1:], line.cells, strict=True):
            name = "'=sum" if name == "=sum" else name  # as a spreadsheet may have it
            (iou,) = [row["iou"] for row in known if (row["cell"], row["class"], row["seed"]) == (line.name, name, "")]
            check(cell, [100 * float(iou)])


def test_the_confusion_of_classes_is_in_its_csv(made: Path) -> None:
    shown = 0
    for grid, table in tables_of(made, "confusion"):
        known = rows(made / f"report/tables/{grid}--fcn-strict.confusion.csv")
        share = {(row["cell"], row["truth"], row["prediction"]): row["share"] for row in known}
        assert len(table.lines) == 3
        for line in table.lines:
            for other, cell in zip(table.head[1:], line.cells, strict=True):
                names = [name.replace("=sum", "'=sum") for name in (line.name, other)]
                value = float(share[table.summary, names[0], names[1]])
                check(cell, [100 * value if value >= 0.005 else None])
                shown += bool(cell)
    assert shown > 20


def test_rank_correlations_are_in_their_csv(made: Path) -> None:
    for grid, table in tables_of(made, "correlation"):
        study = {"losses": "first", "streets": "second"}[grid]
        known = rows(made / f"report/tables/{grid}--amt-{study}.correlation.csv")
        within = [row for row in known if row["cell"] == "within cells"]
        named = {f"{describe(row['metric']).label} {describe_scorer(row['scorer']).title}": row for row in within}
        assert len(table.lines) == len(named) == {"losses": 2, "streets": 4}[grid]
        for line in table.lines:
            row = named[line.name]
            check(line.cells[0], [row["rho"], row["low"], row["high"]])
            check(line.cells[1], [row["reliability"]])
            check(line.cells[2], [row["corrected"]])
            check(line.cells[3], [row["n"]])


def test_the_numbers_of_the_paper_are_in_its_csv(made: Path) -> None:
    known = rows(made / "report/tables/paper.csv")
    assert list(known[0]) == ["table", "task", "data", "cell", "metric", "value", "plus_minus"]
    titles = []
    for _, table in tables_of(made, "paper"):
        title, about = re.match(r"(.*?): (.*?)\. Other images", table.caption).groups()  # type: ignore[union-attr]
        its = [row for row in known if (row["table"], f"{row['task']}, {row['data']}") == (title, about)]
        assert sum(len(line.cells) for line in table.lines) == len(its)
        for line in table.lines:
            for label, cell in zip(table.head[1:], line.cells, strict=True):
                (row,) = [row for row in its if (row["cell"], describe(row["metric"]).label) == (line.name, label)]
                check(cell, [row["value"], row["plus_minus"]])
        titles.append(title)
    assert titles == ["Table 1", "Figure 7d", "Table 4, map to aerial photo"]


def test_the_paper_csv_has_every_number_of_its_tables(made: Path) -> None:
    known = rows(made / "report/tables/paper.csv")
    assert len(known) == 3 * (6 + 4 + 4 + 3 + 4) + 2 + 2 + 3
    assert known[0] == {
        "table": "Table 1",
        "task": "labels to photo",
        "data": "Cityscapes",
        "cell": "L1",
        "metric": "pixel_accuracy",
        "value": "0.42",
        "plus_minus": "",
    }
    ((forth, back),) = [[row for row in known if row["table"].startswith("Table 4") and row["cell"] == "L1+cGAN"]]
    assert (forth["value"], forth["plus_minus"]) == ("18.9", "2.5")
    assert (back["value"], back["plus_minus"]) == ("6.1", "1.3")


def test_the_columns_of_every_csv_are_described(made: Path) -> None:
    described = (Path(__file__).parents[2] / "docs/report-tables.md").read_text("utf-8")
    paths = list((made / "report/tables").glob("*.csv"))
    assert len(paths) > 3
    for path in paths:
        columns = list(rows(path)[0])
        metrics = [name.removesuffix("_mark") for name in columns if name.endswith("_mark")]
        for column in columns:
            metric = next((name for name in metrics if column.startswith(name)), "")
            name = column.replace(metric, "METRIC", 1) if metric else column
            assert f"`{name}`" in described, (path.name, column)
        kind = re.sub(r"^[^-]*--[^.]*", "GRID--SCORER", path.name)
        assert f"`{kind}`" in described or f".{kind.split('.')[1]}.csv`" in described, path.name


def test_hashes_are_those_of_the_tables(made: Path) -> None:
    text, count = Page(made / "report/index.html").text, 0
    for path in (made / "report/tables").glob("*--*.csv"):
        if path.name.count(".") == 1:
            assert f"tables/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" in text
            count += 1
    assert count == 8


def test_a_study_as_a_table_has_its_rates_and_what_raters_learn(made: Path) -> None:
    known = rows(made / "report/tables/losses--amt-first.raters.csv")
    assert [(row["cell"], row["part"]) for row in known[:4]] == [
        ("L1", "all"),
        ("L1", "practice"),
        ("L1", "scored"),
        ("L1", "scored"),
    ]
    whole, practice, first, _ = known[:4]
    assert [whole[name] for name in ("raters", "trials", "first_trial", "correct")] == ["3", "30", "", ""]
    names = ("fooling_rate", "error", "low", "high", "low_same_items", "high_same_items")
    np.testing.assert_allclose([float(whole[name]) for name in names], [20, 3, 10, 30, 15, 25])
    assert [practice[name] for name in ("first_trial", "last_trial", "trials", "raters")] == ["1", "4", "12", ""]
    assert [float(first[name]) for name in ("correct", "low", "high")] == [80, 60, 95]
    (study,) = [each for each in analyses.collect(made).studies if each.name == "first"]
    assert len(sections.study_rows(study)) == len(known) == 2 * 4


def test_drawings_are_written_under_their_names(tmp_path: Path) -> None:
    document = svg(lambda axes: None, "Rates", (5.0, 2.5))
    drawing = Drawing("rate", "Rates", "Rates by cell", document)
    folder = tmp_path / "grid0"
    folder.mkdir()
    shown = ("Rates", "Rates by cell"), (480, 240)
    assert write_drawings([drawing], folder, "study1") == (PlotFile(*shown[0], "grid0/study1-rate.svg", *shown[1]),)
    assert write_drawings([drawing], folder) == (PlotFile(*shown[0], "grid0/rate.svg", *shown[1]),)
    assert (folder / "study1-rate.svg").read_text() == (folder / "rate.svg").read_text() == document
    assert write_drawings([], folder) == ()


def test_the_words_are_explained() -> None:
    assert term("cell") == GLOSSARY["cell"]
    assert term("no such word") == ""
    assert all(meaning.endswith(".") and len(meaning) < 400 for meaning in GLOSSARY.values())
