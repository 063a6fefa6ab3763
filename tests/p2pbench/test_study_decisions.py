"""A study's rates, intervals and decisions are the same wherever they are shown: those of its analysis."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment
from amt.statistics import components, study_report, table
from amt.statistics.analysis import Analysis, analyse
from amt.store.studies import Study
from p2pbench.study import results as fooling
from reports import csv_tables, html, latex, page, sections
from reports.page import settled
from reports.store import ledger, variance
from reports.store.bootstrap import REPLICATES
from reports.store.errors import ReportError
from reports.store.layout import Grid
from reports.tables import ScoreTable
from reports.tidy import read_scores
from reports.verdicts import Mark
from tests.amt.answers import Row, session
from tests.reports.parsed import rows

pytestmark = pytest.mark.long

CELLS = ("GAN", "L1", "L1+GAN", "cGAN")
ITEMS = tuple(f"item {number:02d}" for number in range(30))
PROTOCOL = Protocol(scored=16)
STUDIES = 15


def _answers(seed: int) -> pd.DataFrame:
    """Raters and items differ, algorithms now and then; some studies have a rate of 0, or a single rater of a cell."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, 0.12, len(ITEMS))
    rows: list[Row] = []
    for place, cell in enumerate(CELLS):
        rate = 0.0 if seed % 10 == 3 and place == 2 else rng.choice([0.15, 0.3, 0.5])
        for number in range(1 if seed % 10 == 7 and place == 1 else 9):
            seen = rng.permutation(len(ITEMS))[:16]
            often = np.where(rate == 0, 0, rate + rng.normal(0, 0.08) + effects[seen])
            fooled = (rng.random(16) < often).astype(int).tolist()
            rows += session(f"{cell} {number}", fooled, cell, [ITEMS[item] for item in seen])
    return table.build(row | {"study": f"s{seed}"} for row in rows)


def _study(seed: int) -> Study:
    origin = {cell: f"losses/{cell}/seed-0" for cell in CELLS}
    return Study(
        seed, f"s{seed}", "Which?", 0.0, "closed", False, PROTOCOL, 0, "", ITEMS, CELLS, origin,
        Consent(), Recruitment(), None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studied") / "results"
    grid = Grid(folder / "losses")
    for cell in CELLS:
        grid.run(cell, 0).folder.mkdir(parents=True)
    document = {"title": "Losses", "cells": {cell: {} for cell in CELLS}, "seeds": [0], "dataset": {}, "settings": {}}
    grid.json.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def analyses(results: Path) -> dict[str, Analysis]:
    """Analyses of simulated studies, written as the command writes them."""
    found = {}
    for seed in range(STUDIES):
        study, answers = _study(seed), _answers(seed)
        analysis = analyse(answers, PROTOCOL, 0, 50)
        path = results / "study" / study.name / "analysis.json"
        path.parent.mkdir(parents=True)
        about = {"title": study.title, "looked_at_early": False, "origin": study.origin}
        path.write_text(json.dumps(about | study_report.document(analysis)))
        assert len(fooling.write_fooling_rates(results, study, answers, analysis)) == len(CELLS)
        found[study.name] = analysis
    return found


@pytest.fixture(scope="module")
def section(results: Path, analyses: dict[str, Analysis]) -> page.Section:
    found = page.read(results)
    assert found.damages == []
    return found.sections[0]


def _table(section: page.Section, name: str) -> ScoreTable:
    return next(each for each in section.tables if each.scorer == f"amt-{name}")


def _ends(analysis: Analysis) -> dict[str, list[float]]:
    """By cell: rate and both ends in percent, NaN where there is no interval."""
    return {
        each.name: [100 * each.claims.value, 100 * each.claims.low, 100 * each.claims.high]
        for each in analysis.kept.algorithms
    }


def test_intervals_are_the_same_everywhere(results: Path, analyses: dict[str, Analysis], section: page.Section) -> None:
    everything = read_scores(results)
    for name, analysis in analyses.items():
        expected = _ends(analysis)
        shown = _table(section, name)
        from_page = {row.cell: row.numbers["fooling_rate"] for row in shown.rows}
        columns = csv_tables.of_table(shown, section.description).set_index("cell")
        rows = everything[(everything["scorer"] == shown.scorer) & (everything["item"] == "all")].set_index("cell")
        text = latex.of_table(shown, "losses", section.description)
        study = next(each for each in section.studies if each.name == name)
        of_raters = sections.study_rows(study).query("part == 'all'").set_index("cell")
        for cell, three in expected.items():
            number = from_page[cell]
            np.testing.assert_array_equal([number.value, *number.interval], three)
            metric = json.loads(Grid(results / "losses").run(cell, 0).score(shown.scorer).read_text())["metrics"]
            kept = [metric["fooling_rate"][each] for each in ("value", "low", "high")]
            np.testing.assert_array_equal([np.nan if each is None else each for each in kept], three)
            names = ["fooling_rate", "fooling_rate_low", "fooling_rate_high"]
            np.testing.assert_array_equal(columns.loc[cell, names].to_numpy(float), three)
            np.testing.assert_array_equal(rows.loc[cell, ["value", "low", "high"]].to_numpy(float), three)
            np.testing.assert_array_equal(of_raters.loc[cell, ["fooling_rate", "low", "high"]].to_numpy(float), three)
            ends = "--" if np.isnan(three[1]) else f"{three[1]:.1f}, {three[2]:.1f}"
            assert re.search(rf"{re.escape(latex.escape(cell))} & .*{three[0]:.1f}.*{re.escape(ends)}", text)


def test_marks_never_contradict_the_analysis(analyses: dict[str, Analysis], section: page.Section) -> None:
    decided, without = 0, 0
    for name, analysis in analyses.items():
        shown = _table(section, name)
        marks = {row.cell: row.numbers["fooling_rate"].mark for row in shown.rows}
        rates = {each.name: each.claims.value for each in analysis.kept.algorithms}
        best = max(CELLS, key=lambda cell: rates[cell])
        p = {frozenset((pair.first, pair.second)): pair.adjusted for pair in analysis.kept.pairs}
        level = {cell for cell in CELLS if cell != best and not p[frozenset((best, cell))] < 0.05}
        if any(np.isnan(each) for each in p.values()):
            assert set(marks.values()) == {Mark.NONE}
            without += 1
            continue
        expected = {cell: Mark.LEVEL_JUDGED for cell in (best, *level)} if level else {best: Mark.AHEAD_JUDGED}
        assert marks == {cell: expected.get(cell, Mark.NONE) for cell in CELLS}
        column = csv_tables.of_table(shown, section.description).set_index("cell")["fooling_rate_mark"]
        assert column.to_dict() == {cell: mark.value for cell, mark in marks.items()}
        for pair in shown.decisions["fooling_rate"].pairs:
            assert pair.decided == (p[frozenset((pair.first, pair.second))] < 0.05)
        ranks = {row.cell: row.numbers["fooling_rate"].ranks for row in shown.rows}
        assert ranks[best] == (1, 1 + len(level))
        decided += not level
    assert decided >= 3
    assert without == 1


def test_page_csv_latex_terminal_and_analysis_say_the_same(results: Path, analyses: dict[str, Analysis]) -> None:
    said: list[str] = []
    text = html.write_report(results, results / "report", say=said.append).read_text("utf-8")
    spoken = {head[:-1].rpartition(" ")[2]: line for head, line in pairwise(said) if line.startswith("  Fooling")}
    undecided = 0
    for name, analysis in analyses.items():
        # From what `amt analyse` prints, as a reader would decide: the best, and who is not known to be behind it.
        printed = {}
        for line in study_report.text(analysis).split("Differences in", 1)[1].splitlines()[3:9]:
            first, second, *_, adjusted, _ = re.split(r" {2,}", re.sub(r"(to [-+\d.]+|- +-)", r"  \1  ", line).strip())
            printed[frozenset((first, second))] = adjusted
        assert len(printed) == 6
        rates = {each.name: each.claims.value for each in analysis.kept.algorithms}
        best = max(CELLS, key=lambda cell: rates[cell])
        if "-" in printed.values():
            marks = {}
            undecided += 1
        else:
            level = [c for c in CELLS if c != best and float(printed[frozenset((best, c))].strip("<")) >= 0.05]
            words = "level with this training" if level else "ahead with this training"
            marks = dict.fromkeys((best, *level), words)
        file = f"losses--amt-{name}"
        table = text.split(f"{file}.csv")[0].rpartition('<table class="scores">')[2]
        of_page = {}
        for cell in CELLS:
            row = table.split(f'data-value="{cell}">')[1].split("</tr>")[0]
            of_page[cell] = " ".join(re.findall(r">((?:ahead|level)[^<]*)<", row))
        assert of_page == {cell: marks.get(cell, "") for cell in CELLS}
        of_csv = {row["cell"]: row["fooling_rate_mark"] for row in rows(results / f"report/tables/{file}.csv")}
        assert of_csv == of_page
        signs = {r"$^\star$": "ahead with this training", r"$^\circ$": "level with this training", None: ""}
        lines = (results / f"report/tables/{file}.tex").read_text().splitlines()
        estimates = {line.split(" & ")[0].strip(): line for line in lines if r" & \estimate" in line}
        rlap = {cell: re.search(r"\\rlap\{([^}]*)\}", estimates[cell]) for cell in CELLS}
        assert {cell: signs[found and found[1]] for cell, found in rlap.items()} == of_page
        if marks:
            word, _, cells = spoken[name].partition(" (%)  ")[2].partition(": ")
            assert dict.fromkeys(cells.split(", "), word) == marks
        else:
            assert spoken[name] == "  Fooling rate (%)  undecided, as L1 has no interval"
            assert "undecided, as L1 has no interval." in text.split(f"{file}.csv")[0].rpartition("<table")[2]
            assert any("undecided, as L1 has no interval." in line for line in lines)
    assert undecided == 1


def test_a_table_of_other_runs_than_were_judged_keeps_its_own_decisions(section: page.Section) -> None:
    shown = _table(section, "s0")
    [study] = [each for each in section.studies if each.name == "s0"]
    foreign = [settled(shown, [each]) for each in section.studies if each is not study]
    assert all(each is shown for each in foreign)


def test_several_judged_trainings_of_a_cell_are_decided_by_their_means_and_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    grid = Grid(folder / "losses")
    runs = {f"{cell} {seed}": (cell, seed) for cell in ("L1", "cGAN") for seed in (0, 1, 2)}
    document = {"title": "", "cells": {"L1": {}, "cGAN": {}}, "seeds": [0, 1, 2], "dataset": {}, "settings": {}}
    rng, rows = np.random.default_rng(0), []
    for name, (cell, seed) in runs.items():
        grid.run(cell, seed).folder.mkdir(parents=True)
        for number in range(8):
            fooled = (rng.random(16) < {"L1": 0.1, "cGAN": 0.5}[cell]).astype(int).tolist()
            rows += session(f"{name} {number}", fooled, name, [ITEMS[item] for item in rng.permutation(30)[:16]])
    grid.json.write_text(json.dumps(document))
    origin = {name: f"losses/{cell}/seed-{seed}" for name, (cell, seed) in runs.items()}
    study, answers = (
        replace(_study(0), origin=origin, algorithms=tuple(runs)),
        table.build(row | {"study": "s0"} for row in rows),
    )
    analysis = analyse(answers, PROTOCOL, 0, 50)
    path = folder / "study" / "s0" / "analysis.json"
    path.parent.mkdir(parents=True)
    about = {"title": "", "looked_at_early": False, "origin": origin}
    path.write_text(json.dumps(about | study_report.document(analysis)))
    fooling.write_fooling_rates(folder, study, answers, analysis)
    [section] = page.read(folder).sections
    shown = _table(section, "s0")
    assert [len(row.seeds) for row in shown.rows] == [3, 3]
    assert {row.cell: row.numbers["fooling_rate"].mark for row in shown.rows} == {"L1": Mark.NONE, "cGAN": Mark.BEST}
    assert shown.remark.startswith("Several trainings of a cell were judged: values, intervals and marks are those of")
    assert _table(section, "s0").decisions["fooling_rate"].trainings


def test_a_users_file_is_refused_before_any_rate_is_written(tmp_path: Path) -> None:
    grid = Grid(tmp_path / "losses")
    (first, last), study, answers = (grid.run(CELLS[0], 0), grid.run(CELLS[-1], 0)), _study(0), _answers(0)
    for cell in CELLS:
        grid.run(cell, 0).folder.mkdir(parents=True)
    grid.json.write_text("{}")
    last.score("amt-s0").parent.mkdir()
    last.score("amt-s0").write_text("mine")
    with pytest.raises(ReportError, match=f"{last.score('amt-s0')}: found something else"):
        fooling.write_fooling_rates(tmp_path, study, answers, analyse(answers, PROTOCOL, 0, 50))
    assert not first.score("amt-s0").exists()
    last.score("amt-s0").unlink()
    assert len(fooling.write_fooling_rates(tmp_path, study, answers, analyse(answers, PROTOCOL, 0, 50))) == len(CELLS)


def test_replicates_vary_as_the_analysis_says_and_together_by_item() -> None:
    study, answers = _study(0), _answers(0)
    draws, rates = fooling.fooling_replicates(study, answers), components.rates(answers)
    small = (len(ITEMS) - 1) / len(ITEMS)  # as draws of so many items vary
    for cell in CELLS:
        assert len(draws[cell]) == REPLICATES
        assert draws[cell].mean() == pytest.approx(rates.rate(cell).value)
        assert draws[cell].var() == pytest.approx(sum(part.variance for part in rates.parts(cell)) * small, rel=0.05)
    alike = pd.concat([answers, answers.assign(algorithm="again" + answers["algorithm"])])
    both = fooling.fooling_replicates(study, alike)
    np.testing.assert_allclose(both["GAN"], both["againGAN"], rtol=1e-6)
    apart = answers.assign(rater=answers["rater"] + answers["algorithm"])
    values = np.corrcoef([fooling.fooling_replicates(study, apart)[cell] for cell in CELLS])
    assert (values[np.triu_indices(4, 1)] > -0.1).all()


def test_equal_studies_are_rarely_called_different() -> None:
    # Three raters a side, who differ far more than items do: by the items' 29 degrees of freedom it would be 11 %.
    rng, study, false = np.random.default_rng(0), _study(0), []
    rows: list[Row] = []
    for trial in range(150):
        for side in "ab":
            for number in range(3):
                often = rng.beta(1.5, 3)
                fooled = (rng.random(16) < often).astype(int).tolist()
                seen = [ITEMS[item] for item in rng.permutation(len(ITEMS))[:16]]
                of_rater = session(f"{trial} {side} {number}", fooled, "L1", seen)
                rows += [row | {"study": f"{trial} {side}"} for row in of_rater]
    answers = dict(list(table.build(rows).groupby("study")))  # one table: each is checked, which takes long
    for trial in range(150):
        samples = []
        for side in "ab":
            metric = fooling.fooling_metrics(study, answers[f"{trial} {side}"])["L1"]
            assert metric.freedom is not None
            samples.append(
                variance.sample([metric.value], np.asarray(metric.replicates)[None], len(ITEMS), [metric.freedom])
            )
        false.append(variance.difference(*samples).p < 0.05)
    assert np.mean(false) <= 0.07


def test_degrees_of_freedom_are_kept_with_the_rates(results: Path, analyses: dict[str, Analysis]) -> None:
    found = components.rates(_answers(0))
    kept = ledger.read_scorer(Grid(results / "losses").run("GAN", 0), "amt-s0").metrics["fooling_rate"]
    raters, items = found.parts("GAN")
    assert (raters.freedom, items.freedom) == (8, 29)
    total = raters.variance + items.variance
    assert kept.freedom == pytest.approx(total**2 / (raters.variance**2 / 8 + items.variance**2 / 29))
    alone = ledger.read_scorer(Grid(results / "losses").run("L1", 0), "amt-s7").metrics["fooling_rate"]
    assert alone.freedom is None


def test_a_rate_of_0_varies_too_and_one_rater_has_no_replicates() -> None:
    never, alone = (fooling.fooling_replicates(_study(seed), _answers(seed)) for seed in (3, 7))
    assert never["L1+GAN"].std() > 0.005
    assert np.isnan(alone["L1"]).all()
    assert np.isfinite(alone["GAN"]).all()
