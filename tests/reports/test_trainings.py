"""What page and terminal say of a grid's trainings: one of each cell, several, fewer of some."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from p2pbench.ablation.grid import find_grid
from p2pbench.cli import cli
from reports import html, page, trainings
from reports.store import ledger
from reports.store.layout import Grid
from tests.reports.conftest import ITEMS
from tests.reports.parsed import rows
from tests.reports.test_comparison import rescore

ONCE = "losses: one training per cell: intervals are over test items only, and other trainings of the same cells may"
LOG = "step,epoch,images_per_second,G_L1\n100,1,2.0,0.5\n300,2,1.0,0.5\n"


def _report(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["report", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_one_training_per_cell_is_said_once_with_a_command_that_can_be_typed(build: Callable[..., Path]) -> None:
    results = build()
    for run in Grid(results / "losses").runs():
        run.losses.write_text(LOG)
    (said,) = [line for line in _report(str(results)).stderr.splitlines() if "one training" in line]
    assert said.startswith(ONCE)
    assert "train 4 more runs, about 17 min at the speed of the first: p2pbench train-ablation" in said  # 4 x 250 s
    words = shlex.split(said.partition(": p2pbench ")[2])
    assert words == ["train-ablation", words[1], "--root", "/data", "--out", str(results), "--seeds", "0,1,2"]
    assert find_grid(words[1])[0] == "losses"  # the folder that has the first seed
    assert list(trainings.lines(results)) == [said]


def test_page_and_terminal_say_the_same(build: Callable[..., Path]) -> None:
    results = build()
    said: list[str] = []
    text = html.write_report(results, results / "report", say=said.append).read_text("utf-8")
    (section,) = page.read(results).sections
    found = trainings.single_trainings(section.grid, section.description, section.tables, "losses.toml")
    assert found is not None
    assert found.meaning in text
    assert [found.meaning in line for line in said] == [False, False, True]


def test_a_grid_without_a_report_gets_the_file_first(build: Callable[..., Path], tmp_path: Path) -> None:
    results = build()
    (said,) = trainings.lines(results)
    file = results / "report/tables/losses.toml"
    assert f": p2pbench report {results} && p2pbench train-ablation {file} --root /data" in said
    elsewhere = tmp_path / "else where"
    assert f"p2pbench train-ablation '{elsewhere}/tables/losses.toml'" in (
        _report(str(results), "--out", str(elsewhere)).stderr
    )


def test_seeds_that_wait_for_scores_are_scored_not_trained(build: Callable[..., Path]) -> None:
    results = build(seeds=(0, 1, 2))
    for run in Grid(results / "losses").runs():
        if run.seed:
            shutil.rmtree(run.score("image").parent)
    (said,) = trainings.lines(results)
    assert said.startswith(ONCE)
    assert said.endswith(f"To decide between cells, score the other seeds: p2pbench image-score {results}")


def test_several_trainings_need_no_warning_but_scores_of_runs_say_whose_intervals_they_are(
    build: Callable[..., Path],
) -> None:
    results = build(seeds=(0, 1))
    assert "training" not in _report(str(results)).stderr
    (said,) = trainings.lines(results)
    assert said.startswith("losses: intervals above are for single trainings; those over trainings and items are")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("A", "B", "C"), "losses: one training of C, and several of others: not ranked"),
        (("A", "C"), "losses: one training of C, and several of others: marks hold for these items only"),
    ],
)
def test_a_cell_with_fewer_seeds_is_named(build: Callable[..., Path], cells: tuple[str, ...], words: str) -> None:
    results = build(cells=cells, seeds=(0, 1, 2))
    for seed in (1, 2):
        shutil.rmtree(Grid(results / "losses").run("C", seed).folder)
    assert _report(str(results)).stderr.splitlines()[2:] == [words]
    (table,) = page.read(results).sections[0].tables
    # Ranks of two cells of which one has one training are about these trainings; among three the one is left out.
    assert table.here == (cells == ("A", "C"))
    assert table.left_out == (() if table.here else ("C",))
    text = (results / "report/index.html").read_text("utf-8")
    assert (", for these trainings and other items" in text) == table.here


def test_two_seeds_beside_three_are_decided_over_trainings(build: Callable[..., Path]) -> None:
    results = build(seeds=(0, 1, 2))
    shutil.rmtree(Grid(results / "losses").run("L1", 2).folder)
    assert _report(str(results)).stderr == "losses, Image scores:\n  L1  best: L1\n"
    (table,) = page.read(results).sections[0].tables
    assert (table.here, table.left_out, [row.seeds for row in table.rows]) == (False, (), [(0, 1), (0, 1, 2)])
    assert "<b>L1</b>, seed 2: not started" in (results / "report/index.html").read_text("utf-8")


def test_clusters_are_what_intervals_are_over(build: Callable[..., Path]) -> None:
    results = build()
    grid = Grid(results / "losses")
    for run in [*grid.runs(), grid.real]:
        for scores in ledger.read(run):
            clusters = {"clusters": {"by": "cities", "n": 2, "effective": 2, "hash": "ab"}}
            ledger.write(run, replace(scores, protocol={**scores.protocol, **clusters}))
    (said,) = trainings.lines(results)
    assert "intervals are over 2 clusters of test items (cities) only" in said


@pytest.mark.parametrize(
    ("seeds", "marks"),
    [
        ((0,), {"L1": "ahead on these items", "GAN": "", "cGAN": ""}),
        ((0, 1, 2), {"L1": "tie", "GAN": "tie", "cGAN": ""}),
    ],
)
def test_page_csv_latex_and_terminal_show_the_same_marks(
    build: Callable[..., Path], seeds: tuple[int, ...], marks: dict[str, str]
) -> None:
    """L1 is ahead of GAN by 0.02 on every item, and seeds of each cell vary by 0.02; cGAN is far behind both."""
    results = build(cells=tuple(marks), seeds=seeds)
    noise = np.random.default_rng(0).normal(0, 0.001, (3, 3, len(ITEMS)))
    for place, (cell, mean) in enumerate({"L1": 0.30, "GAN": 0.32, "cGAN": 0.60}.items()):
        for seed in seeds:
            values = mean + 0.02 * (seed - len(seeds) // 2) + noise[place, seed] + [0, 0.1, 0.2, 0.3]
            rescore(Grid(results / "losses").run(cell, seed), values.tolist())
    said: list[str] = []
    text = html.write_report(results, results / "report", say=said.append).read_text("utf-8")
    table = text.split("losses--image.csv")[0].rpartition('<table class="scores">')[2]
    tags = {"best": "<strong>", "tie": ">tie</abbr>", "ahead on these items": ">ahead on these items<"}
    rlap = {"tie": r"\rlap{$^\dagger$}", "ahead on these items": r"\rlap{$^\star$}", "best": r"\textbf"}
    of_csv = {row["cell"]: row["l1_mark"] for row in rows(results / "report/tables/losses--image.csv")}
    latex = (results / "report/tables/losses--image.tex").read_text().splitlines()
    for cell, mark in marks.items():
        row = table.split(f'data-value="{cell}">')[1].split("</tr>")[0]
        assert [each for each, tag in tags.items() if tag in row] == ([mark] if mark else [])
        [line] = [line for line in latex if line.strip().startswith(f"{cell} & ")]
        assert [each for each, sign in rlap.items() if sign in line] == ([mark] if mark else [])
        assert of_csv[cell] == mark
    [word] = {mark for mark in marks.values() if mark}
    assert said[:2] == ["losses, Image scores:", f"  L1  {word}: {', '.join(cell for cell in marks if marks[cell])}"]
