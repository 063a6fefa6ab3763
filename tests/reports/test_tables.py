"""Tables of cells: means, intervals, marks, and rows set apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reports.store.bootstrap import item_weights
from reports.store.layout import Run
from reports.store.ledger import LedgerEntry
from reports.store.scores import Metric, Scores
from reports.tables import CellRow, ProtocolDifference, ScoreTable, build
from reports.verdicts import Mark

IDS = ("a", "b", "c", "d")
LOW = (0.10, 0.12, 0.14, 0.16)  # mean 0.13
HIGH = (0.30, 0.32, 0.34, 0.36)  # mean 0.33
CROSSED = (0.16, 0.14, 0.12, 0.105)  # mean 0.13125, item by item now above LOW, now below


def _metric(values: tuple[float, ...], ids: tuple[str, ...], replicates: int) -> Metric:
    per_item = np.array(values)
    return Metric(float(per_item.mean()), item_weights(ids, replicates) @ per_item / len(ids), per_item)


def _entry(
    cell: str,
    seed: int | None,
    l1: tuple[float, ...],
    ids: tuple[str, ...] = IDS,
    scorer: str = "image",
    metric: str = "l1",
    replicates: int = 400,
    **protocol: object,
) -> LedgerEntry:
    metrics = {metric: _metric(l1, ids, replicates)}
    run = Run(Path("results/losses", cell, f"seed-{seed}"), cell, seed)
    return LedgerEntry("losses", run, Scores(scorer, {"scale": 1, **protocol}, ids, len(IDS), metrics))


def _only(tables: list[ScoreTable]) -> ScoreTable:
    (table,) = tables
    return table


def _marks(rows: tuple[CellRow, ...], metric: str = "l1") -> dict[str, Mark]:
    return {row.cell: row.numbers[metric].mark for row in rows}


def test_rows_come_in_the_grids_order_and_the_ground_truth_last() -> None:
    entries = [_entry("real", None, (0, 0, 0, 0)), _entry("B", 0, LOW), _entry("A", 0, HIGH)]
    table = _only(build(["B", "A"], entries))
    assert [row.cell for row in table.rows] == ["B", "A"]
    assert table.real is not None
    assert [row.cell for row in table.all_rows()] == ["B", "A", "real"]
    assert [row.cell for row in _only(build(["A", "B"], entries)).rows] == ["A", "B"]


def test_one_seed_shows_its_value_and_its_interval_over_items() -> None:
    (row,) = _only(build(["A"], [_entry("A", 0, LOW)])).rows
    assert row.numbers["l1"].value == pytest.approx(0.13)
    half = 3.182 * 0.02582 / 2  # Student's t of three degrees of freedom, the deviation of LOW, four items
    assert row.numbers["l1"].interval == pytest.approx((0.13 - half, 0.13 + half), abs=0.1 * half)  # 400 draws
    assert (row.n, row.n_expected, row.seeds) == (4, 4, (0,))


def test_several_seeds_show_their_mean_and_an_interval_over_trainings() -> None:
    table = _only(build(["A"], [_entry("A", 1, HIGH, metric="psnr"), _entry("A", 0, LOW, metric="psnr")]))
    (row,) = table.rows
    assert row.seeds == (0, 1)
    assert row.numbers["psnr"].value == pytest.approx(0.23)
    low, high = row.numbers["psnr"].interval  # a metric without bounds
    assert (high - low) / 2 == pytest.approx(12.7 * 0.1, rel=0.05)  # of two seeds 0.2 apart, one degree of freedom
    assert table.over("items") == "trainings and items"
    once = _only(build(["A", "B"], [_entry("A", 0, LOW), _entry("B", 0, LOW)]))
    assert once.over("items") == "items only, of one training per cell"
    entries = [_entry("A", 0, LOW), _entry("A", 1, LOW), _entry("B", 0, LOW)]
    assert _only(build(["A", "B"], entries)).over("items") == "trainings and items, of B over items only (one training)"
    apart = [*entries[:2], _entry("A", 2, LOW, scale=2)]
    alone = "trainings and items, of A set apart over items only (one training)"
    assert _only(build(["A", "B"], apart)).over("items") == alone


def test_cells_of_several_seeds_are_decided_over_trainings() -> None:
    steady = tuple(value + 0.001 for value in LOW)
    entries = [_entry("A", 0, LOW), _entry("A", 1, steady), _entry("B", 0, HIGH), _entry("B", 1, HIGH)]
    table = _only(build(["A", "B"], entries))
    assert _marks(table.rows) == {"A": Mark.BEST, "B": Mark.NONE}
    assert [row.numbers["l1"].ranks for row in table.rows] == [(1, 1), (2, 2)]
    assert table.legend()[0] == (Mark.BEST, "Bold: better than every other cell.")
    with_one = _only(build(["A", "B", "C"], [*entries, _entry("C", 0, (0.0,) * 4)]))
    assert _marks(with_one.rows) == {"A": Mark.BEST, "B": Mark.NONE, "C": Mark.NONE}
    assert with_one.legend()[-1] == (Mark.NONE, "Not ranked, as trained once: C.")


def test_the_best_is_bold_only_where_its_paired_difference_excludes_zero() -> None:
    rows = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW)])).rows
    assert _marks(rows) == {"A": Mark.NONE, "B": Mark.AHEAD}


def test_a_constant_gap_is_best_though_the_intervals_overlap() -> None:
    lower = tuple(value - 0.001 for value in LOW)
    rows = _only(build(["A", "B"], [_entry("A", 0, LOW), _entry("B", 0, lower)])).rows
    first, second = (row.numbers["l1"].interval for row in rows)
    assert first.low < second.high
    assert _marks(rows) == {"A": Mark.NONE, "B": Mark.AHEAD}


def test_those_that_cannot_be_told_from_the_best_tie() -> None:
    entries = [_entry("A", 0, LOW), _entry("B", 0, HIGH), _entry("C", 0, CROSSED)]
    assert _marks(_only(build(["A", "B", "C"], entries)).rows) == {"A": Mark.LEVEL, "B": Mark.NONE, "C": Mark.LEVEL}


def test_higher_is_better_for_ssim_and_unknown_metrics_are_not_ranked() -> None:
    ssim = [_entry("A", 0, HIGH, metric="ssim"), _entry("B", 0, LOW, metric="ssim")]
    assert _marks(_only(build(["A", "B"], ssim)).rows, "ssim") == {"A": Mark.AHEAD, "B": Mark.NONE}
    mine = [_entry("A", 0, HIGH, metric="mine"), _entry("B", 0, LOW, metric="mine")]
    assert _marks(_only(build(["A", "B"], mine)).rows, "mine") == {"A": Mark.NONE, "B": Mark.NONE}


def test_a_cell_alone_is_not_the_best_of_anything() -> None:
    entries = [_entry("A", 0, LOW), _entry("real", None, HIGH)]
    assert _marks(_only(build(["A"], entries)).rows) == {"A": Mark.NONE}


def test_the_ground_truth_is_never_ranked() -> None:
    table = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW), _entry("real", None, (0, 0, 0, 0))]))
    assert table.real is not None
    assert table.real.numbers["l1"].mark == Mark.NONE
    assert _marks(table.rows)["B"] == Mark.AHEAD


def test_a_row_of_another_protocol_is_set_apart_with_the_fields_that_differ() -> None:
    entries = [_entry("A", 0, HIGH), _entry("B", 0, HIGH), _entry("C", 0, LOW, scale=255, window=7)]
    table = _only(build(["A", "B", "C"], entries))
    (apart,) = table.apart
    assert apart.cell == "C"
    assert apart.differences == (ProtocolDifference("scale", 255, 1), ProtocolDifference("window", 7, None))
    assert apart.numbers["l1"].mark == Mark.NONE
    assert _marks(table.rows) == {"A": Mark.LEVEL, "B": Mark.LEVEL}
    assert table.protocol == {"scale": 1}
    assert table.fingerprint == entries[0].scores.fingerprint


def test_most_runs_decide_which_protocol_is_the_tables() -> None:
    entries = [_entry("A", 0, LOW, scale=255), _entry("B", 0, LOW), _entry("B", 1, LOW), _entry("real", None, LOW)]
    table = _only(build(["A", "B"], entries))
    assert [row.cell for row in table.rows] == ["B"]
    assert [row.cell for row in table.apart] == ["A"]


def test_the_ground_truth_does_not_decide_the_protocol() -> None:
    entries = [_entry("A", 0, LOW, scale=255), _entry("B", 0, LOW), _entry("real", None, LOW)]
    table = _only(build(["A", "B"], entries))
    assert [row.cell for row in table.rows] == ["A"]  # as many as of the other protocol: the first decides
    assert [row.cell for row in table.apart] == ["B", "real"]


def test_a_seed_of_another_protocol_leaves_its_cell() -> None:
    entries = [_entry("A", 0, LOW), _entry("A", 1, LOW), _entry("A", 2, HIGH, scale=255)]
    table = _only(build(["A"], entries))
    assert [row.seeds for row in table.rows] == [(0, 1)]
    assert [row.seeds for row in table.apart] == [(2,)]
    assert table.rows[0].numbers["l1"].value == pytest.approx(0.13)


def test_a_ground_truth_of_another_protocol_is_set_apart() -> None:
    table = _only(build(["A"], [_entry("A", 0, LOW), _entry("real", None, LOW, scale=255)]))
    assert table.real is None
    assert [row.cell for row in table.apart] == ["real"]


def test_a_row_on_other_items_is_not_ranked() -> None:
    entries = [_entry("A", 0, HIGH), _entry("B", 0, HIGH), _entry("C", 0, LOW[:3], IDS[:3])]
    table = _only(build(["A", "B", "C"], entries))
    (apart,) = table.apart
    assert (apart.n, apart.n_expected) == (3, 4)
    assert apart.differences == (ProtocolDifference("items", "3 of 4", "4 of 4 with 1 of its own"),)


def test_rows_on_the_same_part_of_the_items_are_ranked() -> None:
    entries = [_entry("A", 0, HIGH[:3], IDS[:3]), _entry("B", 0, LOW[:3], ("c", "b", "a"))]
    table = _only(build(["A", "B"], entries))
    assert [(row.n, row.n_expected) for row in table.rows] == [(3, 4), (3, 4)]
    assert _marks(table.rows)["B"] == Mark.AHEAD


def test_replicates_that_cannot_be_paired_are_set_apart() -> None:
    table = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW, replicates=300)]))
    assert table.apart[0].differences == (ProtocolDifference("bootstrap replicates", 300, 400),)


def test_each_scorer_has_its_table() -> None:
    tables = build(["A"], [_entry("A", 0, LOW), _entry("A", 0, HIGH, scorer="fcn", metric="iou")])
    assert [(table.scorer, table.metrics) for table in tables] == [("fcn", ("iou",)), ("image", ("l1",))]


def test_cells_that_the_grid_does_not_have_are_left_out() -> None:
    assert build(["A"], [_entry("B", 0, LOW)]) == []


def test_the_ground_truth_alone_is_a_table() -> None:
    table = _only(build(["A"], [_entry("real", None, LOW)]))
    assert table.rows == ()
    assert table.real is not None
