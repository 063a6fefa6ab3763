"""Studies that know their runs: several seeds of a cell, and items that are of clusters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from amt.protocol import Side
from amt.statistics import study_report
from amt.store.trials import truth
from p2pbench.cli import cli
from p2pbench.config import run_config
from p2pbench.study.results import analyse_file
from p2pbench.study.study_access import choose, new_studies
from p2pbench.training.records import write_run
from reports import html, page
from reports.store.layout import Grid
from tests.amt.study import Rater, make_pictures

pytestmark = pytest.mark.long

OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
RUNS = {"A": ("L1", 0), "B": ("L1", 1), "C": ("cGAN", 0), "D": ("cGAN", 1)}
FOOLED = {"A": 1, "B": 0, "C": 3, "D": 2, "L1": 1, "cGAN": 3}  # of the four trials of a rater


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid of two cells with two seeds each, as it is seen from beside it."""
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures", names=("real", *RUNS))
    grid = Grid(Path("results/losses"))
    grid.real.folder.mkdir(parents=True)
    (tmp_path / "pictures" / "real").rename(grid.real.images)
    for name, (cell, seed) in RUNS.items():
        grid.run(cell, seed).folder.mkdir(parents=True)
        (tmp_path / "pictures" / name).rename(grid.run(cell, seed).images)
    document = {"title": "Losses", "cells": {"L1": {}, "cGAN": {}}, "seeds": [0, 1], "dataset": {}, "settings": {}}
    grid.json.write_text(json.dumps(document))
    return Path("results")


@pytest.mark.parametrize("absolute", [False, True])
def test_outputs_of_runs_given_as_folders_are_rated_as_the_runs(results: Path, absolute: bool) -> None:
    base = results.resolve() if absolute else results
    grid = Grid(base / "losses")
    folders = {
        name: grid.run(*run).images if run[1] else grid.run(*run).folder / "images" for name, run in RUNS.items()
    }
    fakes = [option for name, folder in folders.items() for option in ("--fake", f"{name}={folder}")]
    size = ("--raters", "3", "--practice", "2", "--trials", "4", "--size", "16x16")
    _run("amt", "create", str(results), "--name", "seeds", "--real", str(grid.real.images), *fakes, *size)
    _judge(results)
    _run("amt", "close", str(results))
    assert "fooling rates of 4 runs written" in _run("amt", "analyse", str(results))
    [section] = page.read(results).sections
    [table] = section.tables
    assert {row.cell: row.seeds for row in table.rows} == {"L1": (0, 1), "cGAN": (0, 1)}
    rates = {row.cell: row.numbers["fooling_rate"].value for row in table.rows}
    assert rates == pytest.approx({"L1": 12.5, "cGAN": 62.5})
    text = html.write_report(results, results / "report").read_text("utf-8")
    assert "are not shown" not in text
    assert "Several trainings of a cell were judged" in text
    assert "11 raters, 44 trials" in text  # the one who was always fooled on one side does not
    assert all(f"{cell} seed {seed}: how often raters were right" in text for cell, seed in RUNS.values())


@pytest.mark.parametrize("folders", [False, True])
def test_a_study_of_clustered_items_says_so_everywhere(results: Path, folders: bool) -> None:
    grid = Grid(results / "losses")
    pattern = "item-.([0-9])"  # two of 12 items end in 0, two in 1
    document = json.loads(grid.json.read_text())
    grid.json.write_text(json.dumps(document | {"seeds": [0], "settings": {"clusters": pattern}}))
    for cell, seed in RUNS.values():
        if seed:
            shutil.rmtree(grid.run(cell, seed).folder)
        else:
            split: dict[str, int | str] = {"n": 12, "hash": "0"}
            write_run(grid.run(cell, 0), run_config({"clusters": pattern}, "test"), {"train": split, "test": split})
    fakes = [option for cell in ("L1", "cGAN") for option in ("--fake", f"{cell}={grid.run(cell, 0).images}")]
    given = ("--real", str(grid.real.images), *fakes) if folders else ()
    size = ("--raters", "3", "--practice", "2", "--trials", "4", "--size", "16x16")
    _run("amt", "create", str(results), "--name", "drives", *given, *size)
    _judge(results)
    _run("amt", "close", str(results))
    over = "raters and 10 clusters of items"
    assert f"for claims: over {over}" in _run("amt", "analyse", str(results))
    text = html.write_report(results, results / "report").read_text("utf-8")
    by = f"{over} (pattern {pattern})"
    assert f"interval over {by} only, of one training per cell" in text
    assert f"Thin: resampled over {over} (generalises to new images" in text
    assert by in (results / "report/tables/losses--amt-drives.tex").read_text().replace("{", "").replace("}", "")
    table = pd.read_csv(results / "report/tables/losses--amt-drives.csv")
    assert set(table["clusters"]) == {10}
    _run("amt", "export", str(results))
    answers = results / "study" / "drives" / "answers.csv"
    assert set(pd.read_csv(answers)["cluster"]) == set(range(10))
    again = json.loads((answers.parent / "analysis.json").read_text())["kept"]["pairs"]
    assert "too few" not in (answers.parent / "analysis.txt").read_text()
    assert study_report.document(analyse_file(answers, 0, 0))["kept"]["pairs"] == again  # type: ignore[index]


def test_clusters_can_be_given_and_few_are_said(results: Path) -> None:
    grid = Grid(results / "losses")
    fakes = [f"--fake={name}={grid.run(*RUNS[name]).images}" for name in ("A", "C")]
    size = ("--raters", "3", "--practice", "2", "--trials", "4", "--size", "16x16")
    Path("drives.csv").write_text("item,cluster\n" + "".join(f"item-{i:02d},{'ab'[i > 2]}\n" for i in range(12)))
    real = ("--real", str(grid.real.images), *fakes)
    _run("amt", "create", str(results), "--name", "few", *real, *size, "--clusters", "drives.csv")
    _judge(results)
    _run("amt", "close", str(results))
    few = "2 clusters of items, with as much information as 1.6 equal ones: too few for meaningful intervals;"
    assert few in " ".join(_run("amt", "analyse", str(results)).split())


def _judge(results: Path) -> None:
    """Raters of all places, who are fooled as FOOLED has it."""
    with new_studies(results, None) as opened:
        study = choose(opened, None)
        for number in range(3 * len(study.study.algorithms)):
            rater = Rater(study.database, study.study, f"rater {number}")
            rater.agree()
            known, fooled = truth(study.database, rater.started.session), 0
            for trial in rater.to_come() or []:
                shown = known[trial.k]
                rater.show(trial.k)
                wrong = trial.phase == "scored" and fooled < FOOLED[shown.algorithm]
                fooled += wrong
                rater.answer(trial.k, OTHER[shown.fake_side] if wrong else shown.fake_side)
            rater.complete()


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output
