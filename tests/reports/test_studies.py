"""Studies read from their analyses, and the grids they belong to."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports import comparison_page, html, page
from reports.store import analyses, layout, ledger
from reports.store.analyses import Judged
from reports.store.bootstrap import Interval
from reports.store.layout import Grid
from reports.store.ledger import LedgerEntry
from tests.reports.analysed import algorithm, as_format_2, document, rate, write
from tests.reports.conftest import ITEMS

JUDGED = {"bridge": (2, 1), "church": (3, 0), "harbour": (1, 1)}


def _entries(results: Path) -> list[LedgerEntry]:
    return [entry for grid in layout.grids(results) for entry in ledger.collect(grid)[0]]


@pytest.fixture
def studied(results: Path) -> Path:
    """A results folder with a study of both cells."""
    write(results, document([algorithm("L1", 0.1, JUDGED), algorithm("L1+cGAN", 0.3, JUDGED)]))
    rate(results, "L1", ITEMS)
    rate(results, "L1+cGAN", ITEMS)
    return results


def test_a_study_is_read_in_percent(studied: Path) -> None:
    found = analyses.collect(studied)
    assert found.damages == found.waiting == ()
    [study] = found.studies
    assert (study.name, study.title, study.scorer) == ("first", "Which image is fake?", "amt-first")
    assert (study.sessions, study.excluded, study.raters, study.trials) == (7, 1, 6, 60)
    assert study.reasons == {"incomplete": 1, "few trials": 1}
    assert (study.simulated, study.looked_at_early, study.replicates) == (False, True, 400)
    l1 = study.cells[0]
    assert (l1.cell, l1.origin, l1.seed, l1.raters, l1.trials) == ("L1", "losses/L1/seed-0", None, 3, 30)
    assert (l1.rate, l1.error) == pytest.approx((10, 3))
    assert l1.over_trials == pytest.approx((5, 15))
    assert l1.over_items == pytest.approx((0, 20))
    assert l1.items == {item: Judged(*counts) for item, counts in JUDGED.items()}
    assert [judged.rate for judged in l1.items.values()] == [50, 0, 100]


def test_a_learning_curve_is_read_in_percent(studied: Path) -> None:
    curve = analyses.collect(studied).studies[0].cells[0].curve
    assert [(each.first, each.last, each.trials, each.fooled) for each in curve.blocks] == [
        (1, 5, 15, 3),
        (6, 10, 15, 0),
    ]
    assert [each.correct for each in curve.blocks] == [80, 100]
    assert curve.blocks[0].interval == Interval(60, 95)
    assert [each.correct for each in curve.practice] == [50]
    assert [(each.first, each.last) for each in curve.positions] == [(place, place) for place in range(1, 11)]
    assert curve.halves is not None
    assert curve.halves[:4] == pytest.approx((3, 80, 100, 20))
    assert curve.halves.interval == pytest.approx((-10, 50))


def test_one_rater_has_no_interval(studied: Path) -> None:
    path = studied / "study/first/analysis.json"
    document = json.loads(path.read_text())
    old, new = document["kept"]["algorithms"][:2]
    for each in (old, new):
        each["raters"] = each["raters"][:1]
    for kind in ("two_stage", "claims"):
        new[kind] |= {"error": None, "low": None, "high": None}
    path.write_text(json.dumps(document))
    [study] = analyses.collect(studied).studies
    for cell, its in zip(study.cells, (old, new), strict=False):
        assert cell.rate == pytest.approx(100 * its["claims"]["value"])
        assert not cell.over_trials.known
        assert not cell.over_items.known
        assert math.isnan(cell.error)


def test_pairs_are_read_in_points_and_named_as_the_cells_of_the_grid(studied: Path) -> None:
    found = analyses.collect(studied).studies
    [pair] = page.place(found, _entries(studied)).by_grid["losses"][0].pairs
    assert (pair.first, pair.second, pair.p, pair.adjusted) == ("L1", "L1+cGAN", 0.2, 0.2)
    assert (pair.difference, *pair.interval) == pytest.approx((-20, -50, 10))


@pytest.mark.long
def test_an_analysis_of_the_format_before_is_read(studied: Path) -> None:
    new = analyses.collect(studied).studies
    write(studied, as_format_2(json.loads((studied / "study/first/analysis.json").read_text())))
    assert analyses.collect(studied).studies == new
    again = (
        "Analysed by an earlier version, with intervals by a bootstrap of raters and items: run `p2pbench amt analyse"
    )
    said: list[str] = []
    assert again in html.write_report(studied, studied / "report", say=said.append).read_text("utf-8")
    assert len([line for line in said if line.startswith(f"  {again}")]) == 1
    grid = Grid(studied / "losses")
    for cell in ("L1", "L1+cGAN"):
        scores = ledger.read_scorer(grid.run(cell, 0), "amt-first")
        ledger.write(grid.run(cell, 0), replace(scores, protocol={**scores.protocol, "interval": "by components"}))
    assert "Analysed by an earlier version" not in html.write_report(studied, studied / "report").read_text("utf-8")


def test_rates_of_an_earlier_analysis_are_compared_with_none_and_say_how_to_mend_it(
    studied: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(studied, tmp_path / "other"))
    for cell in ("L1", "L1+cGAN"):
        scores = ledger.read_scorer(Grid(studied / "losses").run(cell, 0), "amt-first")
        newer = replace(scores, protocol={**scores.protocol, "interval": "by components"})
        ledger.write(Grid(other / "losses").run(cell, 0), newer)
    said: list[str] = []
    text = comparison_page.write(studied, other, tmp_path / "page", say=said.append).read_text("utf-8")
    again = "run `p2pbench amt analyse RESULTS --name first` again"
    assert [line[:10] for line in said if again in line] == ["losses: A:"]
    assert again in text


def test_a_trend_without_an_interval_has_none(studied: Path) -> None:
    content = document([algorithm("L1", 0.1, JUDGED)])
    content["kept"]["algorithms"][0]["curve"]["halves"] |= {"low": None, "high": None}
    write(studied, content)
    halves = analyses.collect(studied).studies[0].cells[0].curve.halves
    assert halves is not None
    assert halves.interval is None
    content["kept"]["algorithms"][0]["curve"]["halves"] = None
    write(studied, content)
    assert analyses.collect(studied).studies[0].cells[0].curve.halves is None


def test_a_folder_without_studies_has_none(results: Path) -> None:
    assert analyses.collect(results) == analyses.CollectedStudies((), (), ())


def test_a_study_that_was_not_analysed_is_waited_for(results: Path) -> None:
    path = results / "study" / "second" / "study.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    found = analyses.collect(results)
    assert (found.studies, found.damages) == ((), ())
    [said] = found.waiting
    assert said.startswith("Study second has no analysis yet")
    assert "--name second" in said


def _without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


def _with(value: object, *keys: str | int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        inner: Any = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


FIRST = ("kept", "algorithms", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with(1, "format"), "found format 1, expected 2 or 3"),
        (_without("title"), "found no 'title'"),
        (_without("kept"), "found no 'kept'"),
        (_with("other", "study"), "found the study 'other', expected 'first'"),
        (_with(None, "kept"), "analysis.json: "),
        (_with([1], "kept", "algorithms"), "analysis.json: "),
        (_with({}, "exclusions"), "found no 'excluded'"),
        (_with(1.5, *FIRST, "claims", "value"), "found a share of 1.5, expected 0 to 1"),
        (_with("x", *FIRST, "two_stage", "low"), "found 'x', expected a number"),
        (_with(0.9, *FIRST, "two_stage", "low"), "expected its lower end first"),
        (_with(4, *FIRST, "items", 0, "fooled"), "found 4 fooled of 2 trials"),
        (_with(0, *FIRST, "items", 1, "trials"), "found 0 fooled of 0 trials"),
        (_with(True, *FIRST, "trials"), "found trials = True, expected a count"),
        (_with("many", *FIRST, "curve", "blocks"), "analysis.json: "),
        (_with([1, 2], "origin"), "analysis.json: "),
        (_with([], *FIRST[:1], "algorithms"), "found 1 pairs of 0 algorithms, expected each pair once"),
        (_with("L2", *FIRST[:1], "pairs", 0, "first"), "expected each pair once"),
        (_with(2, *FIRST[:1], "pairs", 0, "adjusted"), "found a share of 2"),
        (_with([[]], "exclusions", "excluded"), "analysis.json: "),
        (_with(10**400, *FIRST, "claims", "value"), "analysis.json: "),
        (_with(10**400, *FIRST, "items", 0, "trials"), "found trials = 1000"),
    ],
)
def test_a_damaged_analysis_is_named_and_the_rest_is_read(
    studied: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    content = document([algorithm("L1", 0.1, JUDGED), algorithm("L1+cGAN", 0.3, JUDGED)])
    change(content)
    path = studied / "study" / "first" / "analysis.json"
    path.write_text(json.dumps(content))
    write(studied, document([algorithm("L1", 0.1, JUDGED)], "second"))
    found = analyses.collect(studied)
    assert [study.name for study in found.studies] == ["second"]
    [damage] = found.damages
    assert str(path) in damage
    assert said in damage
    assert "; move it away and run `p2pbench amt analyse" in damage


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": NaN}', '{"format": 2', "\x00", "[" * 100_000])
def test_a_half_written_analysis_is_named(studied: Path, text: str) -> None:
    (studied / "study" / "first" / "analysis.json").write_text(text)
    found = analyses.collect(studied)
    assert found.studies == ()
    assert len(found.damages) == 1


def test_a_study_belongs_to_the_grid_that_has_its_rates(studied: Path) -> None:
    placed = page.place(analyses.collect(studied).studies, _entries(studied))
    assert placed.strangers == ()
    [study] = placed.by_grid["losses"]
    assert [(cell.cell, cell.seed) for cell in study.cells] == [("L1", 0), ("L1+cGAN", 0)]


def test_a_results_folder_under_another_name_keeps_its_studies(studied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = studied.rename(studied.with_name("moved"))
    monkeypatch.chdir(moved)
    placed = page.place(analyses.collect(Path()).studies, _entries(Path()))
    assert list(placed.by_grid) == ["losses"]


def test_a_study_of_another_protocol_is_a_stranger(studied: Path) -> None:
    rate(studied, "L1+cGAN", ITEMS, fingerprint="000000000000")
    placed = page.place(analyses.collect(studied).studies, _entries(studied))
    assert placed.by_grid == {}
    [said] = placed.strangers
    assert "The raters of study first are not shown: " in said
    assert "its protocol is abcdef123456, and the scores of losses/L1+cGAN/seed-0 are of 000000000000" in said


def test_a_study_of_cells_that_are_not_here_is_a_stranger(studied: Path) -> None:
    both = [algorithm("L1", 0.1, JUDGED), algorithm("GAN", 0.1, JUDGED)]
    write(studied, document(both))
    [said] = page.place(analyses.collect(studied).studies, _entries(studied)).strangers
    assert "it judged GAN from losses/GAN/seed-0, which has no scores of it here" in said
    content = document(both)
    content["origin"] = {}
    write(studied, content)
    [said] = page.place(analyses.collect(studied).studies, _entries(studied)).strangers
    assert "it judged L1 from an unknown place" in said


def test_a_study_of_other_items_is_a_stranger(studied: Path) -> None:
    write(studied, document([algorithm("L1", 0.1, JUDGED | {"mill": (1, 0), "tower": (1, 0)})]))
    [said] = page.place(analyses.collect(studied).studies, _entries(studied)).strangers
    assert "it judged 2 items of L1 not among those scored, such as mill" in said


def test_a_study_without_a_session_that_counts_is_a_stranger(studied: Path) -> None:
    write(studied, document([]))
    [said] = page.place(analyses.collect(studied).studies, _entries(studied)).strangers
    assert "no session of it counts" in said
