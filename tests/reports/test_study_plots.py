"""Drawings of studies, read back as XML."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from reports import correlation, plots, sections, study_plots
from reports.correlation import Points, RatesAndScores
from reports.plots import Drawing, Stroke
from reports.store import analyses
from reports.store.analyses import StudyRecord
from reports.store.bootstrap import NO_INTERVAL
from tests.reports.analysed import algorithm, document, write

SVG = "{http://www.w3.org/2000/svg}"
CELLS = ["L1+cGAN", "L1", "not judged"]
STROKES = plots.strokes(CELLS)


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    cells = [algorithm("L1", 0.1, {"bridge": (2, 1)}), algorithm("L1+cGAN", 0.3, {"bridge": (2, 1)})]
    write(tmp_path, document(cells))
    [study] = analyses.collect(tmp_path).studies
    return study


def _texts(drawing: Drawing) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]


def _comparison(count: int = 12) -> RatesAndScores:
    rng = np.random.default_rng(0)
    items = tuple(f"item {number:05}" for number in range(count))
    trials = 1 + np.arange(count) % 3
    points = [
        Points(cell, cell, items, trials, 100 * rng.random(count), rng.random(count)) for cell in ("L1", "L1+cGAN")
    ]
    return RatesAndScores("image", "ssim", tuple(points))


def _scatter(comparison: RatesAndScores, strokes: dict[str, Stroke] = STROKES) -> Drawing:
    return study_plots.scatter(comparison, correlation.correlate("losses", "first", [comparison], 200), strokes)


def test_rates_stand_in_the_order_of_the_tables(study: StudyRecord) -> None:
    drawing = study_plots.rates(study, CELLS, STROKES)
    assert [text for text in _texts(drawing) if text in CELLS] == ["L1+cGAN", "L1"]
    assert "2 cells" in drawing.alt
    assert "L1+cGAN 30.0 % (20.0 to 40.0), L1 10.0 % (0.0 to 20.0)" in drawing.alt
    assert "50 %" in drawing.alt
    assert (drawing.name, drawing.title) == ("rates", "Fooling rates, with 95 % intervals")


def test_one_rater_has_a_dot_and_no_lines(study: StudyRecord) -> None:
    alone, other = study.cells
    study = replace(study, cells=(replace(alone, over_trials=NO_INTERVAL, over_items=NO_INTERVAL, rate=80.0), other))
    drawing = study_plots.rates(study, CELLS, STROKES)
    assert "L1+cGAN 30.0 % (20.0 to 40.0), L1 80.0 % (no interval)" in drawing.alt
    assert not _lines(drawing, STROKES["L1"].colour)
    assert _lines(drawing, STROKES["L1+cGAN"].colour)
    assert "nan" not in drawing.svg.lower()
    rows = sections.study_rows(study).set_index(["cell", "part"])
    assert rows.loc[("L1", "all"), ["low", "high", "low_same_items", "high_same_items"]].isna().all(axis=None)


def _lines(drawing: Drawing, colour: str) -> list[list[float]]:
    """Horizontal ends of the straight lines of a colour."""
    found = []
    for path in ElementTree.fromstring(drawing.svg).iter(f"{SVG}path"):
        ends = re.fullmatch(r"M ([\d.]+) [\d.]+\s+L ([\d.]+) [\d.]+\s*", path.get("d", ""))
        if ends and colour in path.get("style", ""):
            found.append([float(ends[1]), float(ends[2])])
    return found


def test_both_intervals_and_chance_are_where_the_numbers_say(study: StudyRecord) -> None:
    drawing = study_plots.rates(study, CELLS, STROKES)
    [items, trials] = _lines(drawing, STROKES["L1"].colour)  # 0 to 20 and 5 to 15 %
    per_percent = (items[1] - items[0]) / 20
    assert trials == pytest.approx([items[0] + 5 * per_percent, items[0] + 15 * per_percent], abs=1e-3)
    [other, _] = _lines(drawing, STROKES["L1+cGAN"].colour)
    assert other == pytest.approx([items[0] + 20 * per_percent, items[0] + 40 * per_percent], abs=1e-3)
    assert any(
        line == pytest.approx([items[0] + 50 * per_percent] * 2, abs=1e-3)
        for line in _lines(drawing, "stroke-dasharray")
    )


def test_one_learning_curve_a_cell_with_its_numbers(study: StudyRecord) -> None:
    first, second = study_plots.learning(study, CELLS, STROKES)
    assert first.title == "L1+cGAN: how often raters were right in the course of a session"
    assert (first.name, second.name) == ("learning-00", "learning-01")
    assert second.alt == (
        "L1: 3 raters were right in 80.0 % (60.0 to 95.0) of trials 1 to 5 and in 100.0 % (75.0 to 100.0) of trials "
        "6 to 10."
    )
    assert "practice" in _texts(first)
    assert STROKES["L1"].colour in second.svg
    assert STROKES["L1"].colour not in first.svg


def test_a_study_without_practice_says_nothing_of_it(study: StudyRecord) -> None:
    cell = study.cells[0]
    bare = replace(cell, curve=replace(cell.curve, practice=(), blocks=cell.curve.blocks[:1]))
    [drawing] = study_plots.learning(replace(study, cells=(bare,)), CELLS, STROKES)
    assert "practice" not in _texts(drawing)
    assert drawing.alt == "L1: 3 raters were right in 80.0 % (60.0 to 95.0) of trials 1 to 5."
    empty = replace(cell, curve=replace(cell.curve, practice=(), blocks=(), positions=()))
    assert study_plots.learning(replace(study, cells=(empty,)), CELLS, STROKES) == []


def test_a_scatter_has_a_dot_an_output_and_a_ring_a_cell() -> None:
    comparison = _comparison()
    drawing = _scatter(comparison)
    root = ElementTree.fromstring(drawing.svg)
    for cell in ("L1", "L1+cGAN"):
        used = [use for use in root.iter(f"{SVG}use") if STROKES[cell].colour in use.get("style", "")]
        assert len(used) == 12 + 1
    assert (drawing.name, drawing.title) == ("image-ssim", "SSIM (Image scores) against fooling rate, by item")


def test_a_scatter_says_its_correlations_in_the_drawing_and_in_words() -> None:
    comparison = _comparison()
    within, pooled, *_ = correlation.correlate("losses", "first", [comparison], 200)
    drawing = _scatter(comparison)
    for found in (within, pooled):
        assert found.rho is not None
        said = f"{found.rho:+.2f}".replace("-", "\N{MINUS SIGN}")
        assert said in drawing.alt
        assert any(said in text for text in _texts(drawing))
    assert "24 outputs in 2 cells" in drawing.alt
    assert "n = 24" in drawing.alt


def test_one_cell_alone_has_one_correlation() -> None:
    drawing = _scatter(RatesAndScores("image", "ssim", _comparison().points[:1]))
    assert "12 outputs in 1 cell: Spearman's rho is" in drawing.alt
    assert not any("all cells" in text for text in _texts(drawing))


def test_a_correlation_that_is_undefined_is_said_to_be() -> None:
    flat = [replace(points, rates=np.zeros(12)) for points in _comparison().points]
    assert "rho within cells is undefined, n = 0" in _scatter(RatesAndScores("image", "ssim", tuple(flat))).alt


def test_the_area_of_a_dot_is_by_trials() -> None:
    # Dots of 1, 2, 3 trials: matplotlib defines each shape once; their widths are as the roots.
    root = ElementTree.fromstring(_scatter(_comparison()).svg)
    widths = set()
    for path in root.iter(f"{SVG}path"):
        if path.get("id") and "stroke: " not in path.get("style", "") and "C" in path.get("d", ""):
            across = [float(pair.split()[0]) for pair in re.findall(r"-?[\d.]+ -?[\d.]+", path.get("d", ""))]
            widths.add(round(max(across) - min(across), 4))
    one, two, three = sorted(widths)
    assert (two / one, three / one) == pytest.approx((2**0.5, 3**0.5), rel=1e-3)


def test_many_dots_become_a_picture_and_text_stays_text() -> None:
    drawing = _scatter(_comparison(2001))
    assert len(list(ElementTree.fromstring(drawing.svg).iter(f"{SVG}image"))) == 1
    assert "SSIM" in _texts(drawing)
    assert len(drawing.svg) < 400_000


@pytest.mark.long
def test_drawings_are_the_same_bytes_each_time_and_have_no_background(study: StudyRecord) -> None:
    def draw() -> list[Drawing]:
        rates = study_plots.rates(study, CELLS, STROKES)
        return [rates, *study_plots.learning(study, CELLS, STROKES), _scatter(_comparison())]

    assert draw() == draw()
    for drawing in draw():
        assert "dc:date" not in drawing.svg
        assert "#ffffff" not in drawing.svg
        assert "#000000" not in drawing.svg
        assert re.fullmatch(r"[A-Za-z0-9_-]+", drawing.name)


@pytest.mark.parametrize("name", ["$x^$ & <b>", "\u8857\u666f", "a\x1b\udce9b", "long " * 60])
def test_names_of_any_kind_stay_what_they_are(study: StudyRecord, name: str) -> None:
    cell = replace(study.cells[0], cell=name, label=name)
    odd = replace(study, cells=(cell,))
    strokes = plots.strokes([name])
    drawings = [study_plots.rates(odd, [name], strokes), *study_plots.learning(odd, [name], strokes)]
    for drawing in drawings:
        ElementTree.fromstring(drawing.svg.encode())
    if name.isprintable() and len(name) < 40:
        assert name in _texts(drawings[0])


def test_a_cell_that_the_grid_no_longer_names_is_drawn_last_and_grey(study: StudyRecord) -> None:
    drawing = study_plots.rates(study, ["L1"], plots.strokes(["L1"]))
    assert [text for text in _texts(drawing) if text in CELLS] == ["L1", "L1+cGAN"]
    assert len(_lines(drawing, "stroke-width: 5")) == 2
    [grey] = _lines(drawing, "#7c7c7c; stroke-opacity: 0.45")
    assert grey in _lines(drawing, "stroke-width: 5")


@pytest.mark.long
def test_more_cells_than_colours_are_told_apart_by_their_marks() -> None:
    strokes = plots.strokes([f"cell {number}" for number in range(24)])
    points = replace(_comparison().points[0])
    shapes = set()
    for cell in ("cell 0", "cell 8", "cell 16"):
        svg = _scatter(RatesAndScores("image", "ssim", (replace(points, cell=cell),)), strokes).svg
        shapes.add(tuple(re.findall(r'<path id="m\w+" d="([^"]+)"', svg)))
    assert len(shapes) == 3
