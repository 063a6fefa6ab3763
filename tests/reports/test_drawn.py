"""A grid's section with its files: every number in a table of the page is in a CSV, and faults are told in words."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports import drawn_study, html, ledger, paper, status, studies
from reports.bootstrap import item_weights
from reports.errors import ReportError
from reports.figures import Figure, figures
from reports.glossary import GLOSSARY, term
from reports.layout import Grid, Run, grids
from reports.ledger import Metric, Scores
from reports.metrics import describe, describe_scorer
from reports.plots import Drawing
from reports.status import Missing
from tests.reports import analysed
from tests.reports.parsed import Page, rows

ITEMS = tuple(f"street {number}" for number in range(6))
PUBLISHED = {"network": "FCN-8s, 20 channels for 19 classes, width 1, padded 100", "image_size": 256}
NAMES = ("road", "<b>", "=sum", "none here")
CITYSCAPES = {"name": "cityscapes", "direction": "labels-to-photo", "test": {"n": 500}}
MAPS = {"name": "paired", "root": "/data/maps", "direction": "BtoA", "train": {"n": 1096}, "test": {"n": 6}}
STREETS = {"name": "streets", "direction": "labels-to-photo", "test": {"n": 6}}


def score(run: Run, scorer: str, protocol: Mapping[str, object], salt: int, *metrics: str, items: int = 6) -> None:
    """Scores that differ by run; histograms and IoU have no values of single items."""
    random = np.random.default_rng([salt, *run.cell.encode(), run.seed or 0])
    weights = item_weights(ITEMS[:items], 200)
    numbers = {}
    for name in metrics:
        per_item = random.random(items) * (100 if name == "fooling_rate" else 1)
        whole = name.startswith("histogram") or name == "class_iou"
        numbers[name] = Metric(float(per_item.mean()), weights @ per_item / items, None if whole else per_item)
    ledger.write(run, Scores(scorer, protocol, ITEMS[:items], 6, numbers))


def label_scores(run: Run) -> None:
    """Classes, one of them nowhere in the truth, and what was taken for what."""
    random = np.random.default_rng([9, *run.cell.encode(), run.seed or 0])
    lines = ["class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images"]
    lines += [f"{name},{','.join(map(str, random.random(6)))},1000,6" for name in NAMES[:3]] + [
        "none here,,,,0.0,,,0,0"
    ]
    run.classes("fcn-strict").write_text("\n".join(lines))
    counts = [[*random.integers(0, 400, 3), 0, 3], [0, 1000, 1, 0, 0], [*random.integers(0, 400, 5)], [0] * 5]
    table = [f"{name},{','.join(map(str, line))}" for name, line in zip(NAMES, counts, strict=True)]
    run.confusion_table("fcn-strict").write_text("\n".join([f"truth,{','.join(NAMES)},beyond the classes", *table]))


def put_grid(grid: Grid, dataset: Mapping[str, object], cells: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """A grid with pictures; its trained runs."""
    settings = {"settings": {"image_size": 256}, "cells": {cell: {"objective": cell} for cell in cells}}
    document = {"title": grid.name, "source": "paper, Table 1", "dataset": dataset, "seeds": seeds, **settings}
    grid.folder.mkdir(parents=True)
    grid.json.write_text(json.dumps(document))
    runs = [grid.run(cell, seed) for cell in cells for seed in seeds]
    for place, run in enumerate([*runs, grid.real]):
        run.images.mkdir(parents=True)
        for number, item in enumerate(ITEMS):
            Image.new("RGB", (16, 16), (20 * place, 30 * number, 90)).save(run.images / f"{item}.png")
    return runs


def put_study(folder: Path, grid: Grid, name: str, cells: Sequence[str]) -> None:
    judged = [{item: (3, (place + 2 * number) % 4) for number, item in enumerate(ITEMS)} for place in range(len(cells))]
    algorithms = [analysed.algorithm(cell, 0.2 + 0.1 * place, judged[place]) for place, cell in enumerate(cells)]
    analysed.write(folder, analysed.document(algorithms, name, grid.name))
    for cell in cells:
        protocol = {"study": name, "study_fingerprint": analysed.FINGERPRINT}
        score(grid.run(cell, 0), f"amt-{name}", protocol, 5, "fooling_rate")


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
    html.write(folder, folder / "report")
    return folder


@dataclass
class Line:
    """A row of a table: its head, its cells, and the other text in it."""

    name: str = ""
    cells: list[str] = field(default_factory=list)


@dataclass
class Table:
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
        self.found: list[Table] = []
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
            self.found.append(Table(self._place, self._summary, attributes.get("class") or ""))
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


def tables_of(folder: Path, kind: str) -> list[tuple[str, Table]]:
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
        if its == kind:
            found.append((grid, table))
    return found


def test_every_table_of_the_page_is_one_that_is_compared(made: Path) -> None:
    kinds = ("scores", "classes", "confusion", "correlation", "paper", "pictures")
    counts = {kind: len(tables_of(made, kind)) for kind in kinds}
    # Scores: three scorers of cityscapes, raters and images of maps, raters, images and the FCN-score of streets.
    assert counts == {"scores": 8, "classes": 1, "confusion": 4, "correlation": 2, "paper": 3, "pictures": 3}
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
    assert table.head[1:] == list(NAMES[:3])
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
            check(line.cells[1], [row["n"]])


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
    for path in (made / "report/tables").glob("*.csv"):
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
    (study,) = [each for each in studies.collect(made).studies if each.name == "first"]
    assert len(drawn_study.rows(study)) == len(known) == 2 * 4


def test_drawings_are_written_under_their_names(tmp_path: Path) -> None:
    drawing = Drawing("rate", "Rates", "Rates by cell", "<svg/>")
    folder = tmp_path / "grid0"
    folder.mkdir()
    assert figures([drawing], folder, "study1") == (Figure("Rates", "Rates by cell", "grid0/study1-rate.svg"),)
    assert figures([drawing], folder) == (Figure("Rates", "Rates by cell", "grid0/rate.svg"),)
    assert (folder / "study1-rate.svg").read_text() == (folder / "rate.svg").read_text() == "<svg/>"
    assert figures([], folder) == ()


def test_the_words_are_explained() -> None:
    assert term("cell") == GLOSSARY["cell"]
    assert term("no such word") == ""
    assert all(meaning.endswith(".") and len(meaning) < 250 for meaning in GLOSSARY.values())


def complain(run: Run, scorer: str, why: bytes) -> None:
    run.scores.mkdir(parents=True, exist_ok=True)
    run.missing(scorer).write_bytes(why)


def test_what_could_not_be_scored_is_told_by_reason(tmp_path: Path) -> None:
    grid = Grid(tmp_path / "losses")
    runs = [grid.run(cell, seed) for cell in ("L1", "GAN") for seed in (0, 1)]
    for run in runs:
        complain(run, "lpips", b"no weights;\n  get them\n")
    complain(runs[2], "fid", b"too \xff few")
    for run in runs[1:3]:  # scored since, and the word not yet taken back
        run.score("lpips").write_text("{}")
    complain(runs[0], "kid", b"no weights; get them")
    runs[3].missing("lpips").unlink()
    assert status.missing(runs) == [
        Missing("kid", ("L1",), "no weights; get them"),
        Missing("lpips", ("L1",), "no weights; get them"),
        Missing("fid", ("GAN",), "too \N{REPLACEMENT CHARACTER} few"),
    ]
    assert status.missing([grid.run("none", 0)]) == []


@pytest.fixture
def losses(tmp_path: Path) -> Grid:
    """A grid of two cells, with pictures and image scores."""
    grid = Grid(tmp_path / "results/losses")
    for run in [*put_grid(grid, STREETS, ("L1", "GAN"), (0,)), grid.real]:
        score(run, "image", {"scale": "0..1"}, 0, "l1")
    return grid


def page_of(grid: Grid) -> str:
    results = grid.folder.parent
    return Page(html.write(results, results / "report")).text


def test_a_grid_with_nothing_scored_names_the_command(losses: Grid, tmp_path: Path) -> None:
    for folder in losses.folder.rglob("scores"):
        shutil.rmtree(folder)
    results = losses.folder.parent
    for write in (html.write, html.write_single):
        with pytest.raises(ReportError, match=f"^{results}: found no scores; run `p2pbench image-score {results}`$"):
            write(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scores_of_items_that_are_gone_are_named(losses: Grid) -> None:
    for folder in (losses.real.images, losses.run("L1", 0).images, losses.run("GAN", 0).images):
        (folder / "street 3.png").unlink()
        (folder / "street 5.png").unlink()
    text = page_of(losses)
    assert "Scored, but without a picture now: 2 items, such as street 3." in text
    assert "All 4 items." in text


def test_a_study_of_another_folder_is_named_and_not_shown(losses: Grid) -> None:
    results = losses.folder.parent
    analysed.write(results, analysed.document([analysed.algorithm("L1", 0.2, {"elsewhere": (3, 1)})]))
    text = page_of(losses)
    assert "Study first is of another results folder: it judged L1 from losses/L1/seed-0, which has no scores" in text
    assert not list((results / "report/tables").glob("*amt*"))


@pytest.mark.parametrize("name", ["seed-99999999999999999999999", "seed-00", "seed-٣", "seed--1", "seed-1e3", "seed-"])
def test_a_folder_that_is_no_seed_is_no_run(losses: Grid, name: str) -> None:
    shutil.copytree(losses.run("L1", 0).folder, losses.folder / "L1" / name)
    assert [run.folder.name for run in losses.runs()] == ["seed-0", "seed-0"]
    assert "On disk, but not in this grid" not in page_of(losses)


def test_the_largest_seed_is_a_run(losses: Grid) -> None:
    seed = 10**18 - 1
    shutil.copytree(losses.run("L1", 0).folder, losses.run("L1", seed).folder)
    for run in (losses.run("L1", seed), losses.real):
        label_scores(run)
    document = json.loads(losses.json.read_text())
    losses.json.write_text(json.dumps(document | {"seeds": [0, seed]}))
    page_of(losses)
    tables = losses.folder.parent / "report/tables"
    assert rows(tables / "losses--image.csv")[0]["seeds"] == f"0 {seed}"
    assert {row["seed"] for row in rows(tables / "losses--fcn-strict.classes.csv")} == {str(seed), ""}
    assert str(seed) in {row["seed"] for row in rows(tables / "scores.csv")}


@pytest.mark.parametrize("seed", [10**18, 10**30, -1])
def test_a_seed_that_no_folder_can_have_is_named(losses: Grid, seed: int) -> None:
    document = json.loads(losses.json.read_text())
    losses.json.write_text(json.dumps(document | {"seeds": [0, seed]}))
    with pytest.raises(
        ReportError, match=f"grid\\.json: found seed {seed}, expected 0 to 9{{18}}; train the grid again"
    ):
        page_of(losses)


def test_damage_is_named_and_the_rest_is_shown(losses: Grid) -> None:
    run = losses.run("L1", 0)
    run.classes("fcn-strict").write_text("no table")
    run.lab_histograms.write_text("no table")
    run.segmentations.mkdir()
    (run.segmentations / "street 0.png").write_bytes(b"no picture")
    text = page_of(losses)
    for path in (run.classes("fcn-strict"), run.lab_histograms, run.segmentations / "street 0.png"):
        assert f"{path}: found no" in text
    assert "Image scores" in text
    tables = losses.folder.parent / "report/tables"
    assert {path.name for path in tables.iterdir()} == {
        *("losses--image.csv", "losses--image.tex", "losses.toml", "paper.csv", "scores.csv")
    }


def test_no_grid_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert grids(tmp_path) == []
    assert len(paper.TABLES) == 8
