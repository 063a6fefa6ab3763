"""Cells whose seeds do not all have a number, or that were trained once among others: said, and the rest is shown."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from reports import comparison_page, html
from reports.store import bootstrap, ledger
from reports.store.layout import Grid, Run
from reports.store.scores import Metric, Scores
from tests.reports.conftest import ITEMS
from tests.reports.parsed import Page, rows
from tests.reports.test_comparison import rescore

WEIGHTS = bootstrap.item_weights(ITEMS, 200)


def put(run: Run, *metrics: str, counting: bool = True) -> None:
    """Scores of four items by these metrics; of two where nothing counts."""
    per_item = np.random.default_rng([*run.cell.encode(), run.seed or 0]).random(4)
    metric = Metric(float(per_item.mean()), WEIGHTS @ per_item / 4, per_item)
    if not counting:
        metric = Metric(math.nan, np.full(200, np.nan), np.full(4, np.nan))
    ledger.write(run, Scores("image", {"scale": 1}, ITEMS, 4, dict.fromkeys(metrics, metric)))


def _uneven(build: Callable[..., Path], without: int, *, lacks: bool) -> Path:
    """Cells A and B of three seeds by L1 and PSNR; one seed of B lacks PSNR, or everything."""
    results = build(cells=("A", "B"), seeds=(0, 1, 2))
    grid = Grid(results / "losses")
    shutil.rmtree(grid.real.score("image").parent)
    for run in grid.runs():
        put(run, "l1", "psnr")
    if lacks:
        put(grid.run("B", without), "l1")
    else:
        put(grid.run("B", without), "l1", "psnr", counting=False)
    return results


@pytest.mark.long
@pytest.mark.parametrize("without", [0, 1])
@pytest.mark.parametrize("lacks", [True, False])
def test_a_seed_without_a_number_is_named_and_the_rest_is_shown(
    build: Callable[..., Path], tmp_path: Path, without: int, lacks: bool
) -> None:
    results = _uneven(build, without, lacks=lacks)
    doubts = [
        f"{label} of B: seed {without} has no value" for label in (["PSNR (dB)"] if lacks else ["L1", "PSNR (dB)"])
    ]
    said: list[str] = []
    text = Page(html.write_report(results, results / "report", say=said.append)).text
    latex = (results / "report/tables/losses--image.tex").read_text()
    for doubt in doubts:
        assert f"{doubt}." in text
        assert f"{doubt}." in latex
        assert f"  {doubt}" in said
    a, b = rows(results / "report/tables/losses--image.csv")
    assert (a["psnr"] != "", b["psnr"], b["l1"] != "") == (True, "", lacks)
    result = CliRunner().invoke(cli, ["plan", str(results)])
    assert result.exit_code == (0 if lacks else 1)
    assert not isinstance(result.exception, KeyError)
    even = Path(shutil.copytree(results, tmp_path / "even"))
    put(Grid(even / "losses").run("B", without), "l1", "psnr")
    for first, second, side in ((results, even, "A"), (even, results, "B")):
        told: list[str] = []
        text = Page(comparison_page.write(first, second, tmp_path / side, say=told.append)).text
        for doubt in doubts:
            assert f"{side}: {doubt}." in text
            assert f"losses: {side}: {doubt}" in told


@pytest.mark.long
def test_several_seeds_without_a_number_are_named_together(build: Callable[..., Path]) -> None:
    results = _uneven(build, 0, lacks=True)
    put(Grid(results / "losses").run("B", 2), "l1")
    text = Page(html.write_report(results, results / "report")).text
    assert "PSNR (dB) of B: seeds 0, 2 have no value." in text
    put(Grid(results / "losses").run("B", 1), "l1")  # a metric that the cell does not have at all
    assert "no value" not in Page(html.write_report(results, results / "report")).text


def test_a_cell_of_one_training_among_others_is_not_ranked(build: Callable[..., Path]) -> None:
    results = build(cells=("A", "B", "C"), seeds=(0, 1, 2))
    for cell, mean in (("A", 0.1), ("B", 0.5)):
        for seed in range(3):
            rescore(Grid(results / "losses").run(cell, seed), [mean + 0.001 * seed] * 3 + [mean + 0.01])
    for seed in (1, 2):
        shutil.rmtree(Grid(results / "losses").run("C", seed).folder)
    text = Page(html.write_report(results, results / "report")).text
    found = {row["cell"]: row for row in rows(results / "report/tables/losses--image.csv")}
    assert [(found[cell]["ranked"], found[cell]["not_ranked_because"]) for cell in "ABC"] == [
        ("True", ""),
        ("True", ""),
        ("False", "trained once"),
    ]
    assert (found["C"]["l1_mark"], found["C"]["l1_ranks"]) == ("", "")
    legend = "Unmarked in a column with marks: behind another cell, or not ranked. Decided at 5 % for all pairs"
    latex = (results / "report/tables/losses--image.tex").read_text()
    for shown in (text, latex.replace(r"\%", "%")):
        assert legend in shown
        assert "Not ranked, as trained once: C." in shown


def test_rows_set_apart_are_named_in_the_terminal(build: Callable[..., Path]) -> None:
    results = build(cells=("A", "B"), seeds=(0, 1, 2))
    rescore(Grid(results / "losses").run("B", 2), [0.1] * 3, ITEMS[:3], ssim_window=7)
    said: list[str] = []
    html.write_report(results, results / "report", say=said.append)
    assert "  set apart, not ranked: B seed 2 (ssim_window, items)" in said


def test_a_comparison_of_nothing_says_why(build: Callable[..., Path], tmp_path: Path) -> None:
    a = build(seeds=(0, 1))
    b = Path(shutil.copytree(a, tmp_path / "after"))
    grid = Grid(b / "losses")
    first, *others = grid.runs()

    def change(run: Run) -> None:
        (scores,) = ledger.read(run)
        ledger.write(run, replace(scores, protocol={**scores.protocol, "ssim_window": 7}))

    def told() -> list[str]:
        said: list[str] = []
        comparison_page.write(a, b, tmp_path / "page", say=said.append)
        return said

    for seed in (0, 1):
        change(grid.run(first.cell, seed))
    assert told()[-1] == f"losses, Image scores: not compared: {first.cell} (ssim_window)"
    for run in others:
        if run.cell != first.cell:
            change(run)
    assert told() == ["losses, Image scores: no number compared: A and B differ in ssim_window"]
    for run in grid.runs():
        run.score("image").unlink()
    assert told() == ["losses, Image scores: no number compared: no cell is scored on both sides"]
    grid.real.score("image").unlink()
    assert told() == ["losses: no number compared: nothing is scored by the same scorer on both sides"]
