"""Rank correlations against scipy, and by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from reports import correlation, html, page
from reports.correlation import ALL_CELLS, WITHIN_CELLS, Correlation, Points, RatesAndScores, correlate, spearman
from reports.store import analyses, layout, ledger
from reports.store.bootstrap import item_weights
from tests.reports.analysed import algorithm, document, rate, write
from tests.reports.conftest import ITEMS


def _theirs(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.asarray(scipy.stats.spearmanr(a, b).statistic))


def _points(rates: list[float], values: list[float], cell: str = "L1", first: int = 0) -> Points:
    items = tuple(f"item {number:03}" for number in range(first, first + len(rates)))
    return Points(cell, cell, items, np.full(len(rates), 4), np.array(rates), np.array(values))


def _of(*points: Points, replicates: int = 1000) -> dict[str, Correlation]:
    found = correlate("losses", "first", [RatesAndScores("image", "ssim", points)], replicates)
    return {each.cell: each for each in found}


def test_a_correlation_by_hand() -> None:
    # Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8
    found = _of(_points([10, 20, 30, 40], [1, 30, 20, 400]))["L1"]
    assert found.rho == pytest.approx(0.8)
    assert found.n == 4
    assert (found.grid, found.study, found.metric, found.scorer) == ("losses", "first", "ssim", "image")
    # Draws of one item alone have none: 4 of 256.
    assert found.interval is not None
    assert -1 <= found.interval.low < 0.8 < found.interval.high <= 1


@pytest.mark.parametrize("levels", [2, 5, 1000], ids=["two rates", "five rates", "hardly a tie"])
def test_values_are_those_of_scipy_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    a, b = rng.integers(0, levels, 80) / levels, np.round(rng.normal(size=80), 1)
    assert spearman(a, b) == pytest.approx(_theirs(a, b), abs=1e-12)
    assert spearman(a, -b) == pytest.approx(-_theirs(a, b), abs=1e-12)


def test_every_draw_is_ranked_anew_as_scipy_would() -> None:
    rng = np.random.default_rng(0)
    rates, values = rng.integers(0, 5, 40) * 25.0, rng.normal(size=40)
    points = _points(rates.tolist(), values.tolist())
    drawn = item_weights(points.items, 200).astype(int)
    theirs = [_theirs(np.repeat(rates, times), np.repeat(values, times)) for times in drawn]
    found = _of(points, replicates=200)["L1"]
    assert found.interval == pytest.approx(tuple(np.percentile(theirs, [2.5, 97.5])), abs=1e-5)


@pytest.mark.long
def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    rng = np.random.default_rng(0)
    rates = rng.integers(0, 8, 60) / 8
    values = np.round(rates + rng.normal(0, 0.4, 60), 1)
    found = _of(_points(rates.tolist(), values.tolist()), replicates=4000)["L1"].interval
    theirs = scipy.stats.bootstrap(
        (rates, values),
        _theirs,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.25 * float(theirs.standard_error))


def test_reliability_and_the_corrected_correlation_by_hand() -> None:
    # Answers on an item vary by 2 (50 50 + 50 50) / (8 - 4) = 2500, rates of two by 1250 by chance, and by 5000 / 3 in
    # all: a quarter is no chance, so that the correlation doubles. Ranks 1 2.5 4 2.5 and 2 1 3 4: 1.5 / sqrt(4.5 * 5).
    items, values = ("a", "b", "c", "d"), np.array([20.0, 10.0, 30.0, 40.0])
    points = Points("L1", "L1", items, np.full(4, 2), np.array([0.0, 50.0, 100.0, 50.0]), values)
    found = _of(points)["L1"]
    assert found.rho == pytest.approx(1.5 / 22.5**0.5)
    assert found.reliability == pytest.approx(0.25)
    assert found.corrected == pytest.approx(2 * 1.5 / 22.5**0.5)
    # Another cell of reliability 1, as nobody disagrees, and twice the items.
    sure = Points("GAN", "GAN", tuple("abcdefgh"), np.full(8, 2), np.repeat([0.0, 100.0], 4), np.arange(8.0))
    both = _of(points, sure)
    assert both[WITHIN_CELLS].reliability == pytest.approx((4 * 0.25 + 8 * 1) / 12)
    rho = both[WITHIN_CELLS].rho
    assert rho is not None
    assert both[WITHIN_CELLS].corrected == pytest.approx(rho / 0.75**0.5)


def test_what_is_not_reliable_is_not_corrected() -> None:
    once = Points("L1", "L1", ("a", "b", "c", "d"), np.ones(4, int), np.array([0.0, 100.0, 0.0, 100.0]), np.arange(4.0))
    assert (_of(once)["L1"].reliability, _of(once)["L1"].corrected) == (None, None)
    chance = Points("L1", "L1", ("a", "b", "c", "d"), np.full(4, 2), np.array([50.0, 50.0, 50.0, 0.0]), np.arange(4.0))
    found = _of(chance)["L1"]  # 15000 / 4 / 2 by chance, 625 in all
    assert found.reliability == pytest.approx(1 - 1875 / 625)
    assert (found.rho is None, found.corrected) == (False, None)


@pytest.mark.long
@pytest.mark.parametrize(("raters", "items"), [(2, 100), (4, 60)])
def test_a_true_correlation_of_a_half_is_found_whatever_the_number_of_raters(raters: int, items: int) -> None:
    rng = np.random.default_rng(raters)
    pearson = 2 * np.sin(np.pi * 0.5 / 6)  # of normal variables whose rank correlation is 0.5
    ids = tuple(f"item {number:03}" for number in range(items))
    raw, corrected = [], []
    for _ in range(80):
        points = []
        for cell in ("L1", "GAN", "cGAN"):
            hard = rng.normal(size=items)
            values = pearson * hard + np.sqrt(1 - pearson**2) * rng.normal(size=items)
            often = scipy.special.expit(-0.8 + 1.1 * hard[:, None] + rng.normal(0, 0.5, (items, raters)))
            rates = 100 * (rng.random((items, raters)) < often).mean(axis=1)
            points.append(Points(cell, cell, ids, np.full(items, raters), rates, values))
        found = _of(*points, replicates=2)[WITHIN_CELLS]
        raw.append(found.rho)
        corrected.append(np.nan if found.corrected is None else found.corrected)
    assert np.mean(np.array(raw, float)) < 0.4
    assert np.isnan(corrected).mean() < 0.05
    assert np.nanmean(corrected) == pytest.approx(0.5, abs=0.05)


def test_a_difference_between_cells_is_in_all_cells_and_not_within() -> None:
    # In each cell the better score fools less; the better cell fools more.
    first = _points([10, 20, 30, 40], [4, 3, 2, 1], "L1")
    second = _points([60, 70, 80, 90], [40, 30, 20, 10], "L1+cGAN")
    found = _of(first, second)
    assert list(found) == [WITHIN_CELLS, ALL_CELLS, "L1", "L1+cGAN"]
    assert found[WITHIN_CELLS].rho == found["L1"].rho == found["L1+cGAN"].rho == -1
    pooled = _theirs(np.concatenate([first.rates, second.rates]), np.concatenate([first.values, second.values]))
    assert found[ALL_CELLS].rho == pytest.approx(pooled)
    assert pooled > 0.5
    assert [found[cell].n for cell in found] == [8, 8, 4, 4]


def test_within_cells_is_the_mean_of_cells_by_their_items() -> None:
    rng = np.random.default_rng(2)
    cells = [
        _points(rng.random(20).tolist(), rng.random(20).tolist(), "L1"),
        _points(rng.random(60).tolist(), rng.random(60).tolist(), "GAN", 10),
        _points([5.0] * 30, rng.random(30).tolist(), "cGAN"),  # nobody differs: no correlation, and no weight
    ]
    found = _of(*cells)
    expected = (20 * _theirs(cells[0].rates, cells[0].values) + 60 * _theirs(cells[1].rates, cells[1].values)) / 80
    assert found[WITHIN_CELLS].rho == pytest.approx(expected)
    assert found[WITHIN_CELLS].n == 80
    assert found["cGAN"].rho is None
    assert found["cGAN"].interval is None


def test_items_are_drawn_for_all_cells_at_once() -> None:
    # Twice the same points say no more than once: the interval must not shrink.
    rng = np.random.default_rng(1)
    rates, values = rng.random(30).tolist(), rng.random(30).tolist()
    one = _of(_points(rates, values))
    two = _of(_points(rates, values), _points(rates, values, "L1+cGAN"))
    assert two[WITHIN_CELLS].interval == pytest.approx(one["L1"].interval)
    assert two[ALL_CELLS].interval == pytest.approx(one["L1"].interval, abs=1e-6)


@pytest.mark.parametrize(
    ("rates", "values"),
    [([1.0, 2.0], [1.0, 2.0]), ([0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]), ([1.0, 2.0, 3.0], [0.5] * 3)],
    ids=["two items", "nobody was fooled", "one score"],
)
def test_what_has_no_correlation_has_none(rates: list[float], values: list[float]) -> None:
    for each in _of(_points(rates, values)).values():
        assert (each.rho, each.interval) == (None, None)


def test_too_many_draws_without_a_correlation_leave_no_interval() -> None:
    # One item of 50 fooled anybody: 36 % of the draws lack it.
    found = _of(_points([50.0] + [0.0] * 49, list(range(50))))["L1"]
    assert found.rho is not None
    assert found.rho < 0
    assert found.interval is None


def test_rows_for_a_csv(tmp_path: Path) -> None:
    table = correlation.tidy(
        list(_of(_points([10, 20, 30, 40], [1, 30, 20, 400]), _points([0] * 5, [1] * 5, "GAN")).values())
    )
    assert tuple(table.columns) == correlation.COLUMNS
    assert table["cell"].tolist() == ["within cells", "all cells", "L1", "GAN"]
    assert table["rho"].isna().tolist() == [False, False, False, True]
    assert table["n"].tolist() == [4, 9, 4, 5]
    assert tuple(correlation.tidy([]).columns) == correlation.COLUMNS


def test_a_study_meets_the_scores_of_its_own_runs(results: Path) -> None:
    judged = {"bridge": (2, 1), "church": (3, 0), "harbour": (1, 1)}
    write(results, document([algorithm("L1", 0.1, judged), algorithm("L1+cGAN", 0.3, judged)]))
    rate(results, "L1", ITEMS)
    rate(results, "L1+cGAN", ITEMS)
    entries, _ = ledger.collect(layout.grids(results)[0])
    [study] = page.place(analyses.collect(results).studies, entries).by_grid["losses"]
    [found] = correlation.compare(study, entries)
    assert (found.scorer, found.metric) == ("image", "l1")  # the study's own rate is no automatic score
    l1, cgan = found.points
    assert (l1.cell, cgan.cell) == ("L1", "L1+cGAN")
    assert l1.items == ("bridge", "church", "harbour")  # nobody saw the square
    assert l1.trials.tolist() == [2, 3, 1]
    assert l1.rates.tolist() == [50, 0, 100]
    assert l1.values == pytest.approx([0.20, 0.21, 0.22])
    assert cgan.values == pytest.approx([0.40, 0.41, 0.42])
    assert correlation.compare(study, [entry for entry in entries if entry.run.seed is None]) == []


def test_seeds_of_a_cell_are_correlated_apart(results: Path) -> None:
    [grid] = layout.grids(results)
    rate(results, "L1", ITEMS)
    for name in ("image", "amt-first"):
        ledger.write(grid.run("L1", 1), ledger.read_scorer(grid.run("L1", 0), name))
    study = document([algorithm("one", 0.1, {"bridge": (2, 1)}), algorithm("two", 0.3, {"church": (2, 1)})])
    write(results, study | {"origin": {"one": "losses/L1/seed-0", "two": "losses/L1/seed-1"}})
    entries, _ = ledger.collect(grid)
    [placed] = page.place(analyses.collect(results).studies, entries).by_grid["losses"]
    [found] = correlation.compare(placed, entries)
    assert [(p.cell, p.label, p.items) for p in found.points] == [
        ("L1", "L1 seed 0", ("bridge",)),
        ("L1", "L1 seed 1", ("church",)),
    ]
    table = correlation.tidy(correlation.correlate("losses", "first", [found], replicates=10))
    assert table["cell"].tolist() == ["within cells", "all cells", "L1 seed 0", "L1 seed 1"]


@pytest.mark.long
def test_the_page_says_what_a_correlation_is_and_that_items_are_of_clusters(results: Path) -> None:
    judged = dict.fromkeys(ITEMS, (2, 1)) | {ITEMS[0]: (2, 0)}
    write(results, document([algorithm("L1", 0.1, judged), algorithm("L1+cGAN", 0.3, judged)]))
    for cell in ("L1", "L1+cGAN"):
        rate(results, cell, ITEMS)
    text = html.write_report(results, results / "report").read_text("utf-8")
    assert "Reliability: the share of the variance of items' rates that is not chance." in text
    assert "where reliability is below 0.1." in text
    assert "too narrow" not in text
    for run in (run for grid in layout.grids(results) for run in grid.runs() if "image" in run.scorers()):
        scores = ledger.read_scorer(run, "image")
        ledger.write(
            run, replace(scores, protocol={**scores.protocol, "clusters": {"by": "cities", "n": 2, "effective": 2}})
        )
    text = html.write_report(results, results / "report").read_text("utf-8")
    assert "The items form clusters (2 clusters of items (cities)) that vary together, so these intervals" in text


@pytest.mark.long
def test_a_grid_of_twenty_cells_takes_seconds_at_most() -> None:
    rng = np.random.default_rng(0)
    rates = [(rng.integers(0, 5, 500) * 25.0).tolist() for _ in range(20)]
    cells = [_points(rates[cell], rng.random(500).tolist(), f"cell {cell}") for cell in range(20)]
    start = time.process_time()
    correlate("losses", "first", [RatesAndScores("image", f"m{metric}", tuple(cells)) for metric in range(2)])
    assert time.process_time() - start < 3  # a tenth of a second a metric, on a machine with nothing else to do
