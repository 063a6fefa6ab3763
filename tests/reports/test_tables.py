"""Tables of cells: means, intervals, marks, and rows set apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reports.bootstrap import interval, item_weights
from reports.layout import Run
from reports.ledger import Entry, Metric, Scores
from reports.tables import Difference, Mark, Number, Row, Table, build, rank

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
) -> Entry:
    metrics = {metric: _metric(l1, ids, replicates)}
    run = Run(Path("results/losses", cell, f"seed-{seed}"), cell, seed)
    return Entry("losses", run, Scores(scorer, {"scale": 1, **protocol}, ids, len(IDS), metrics))


def _only(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def _marks(rows: tuple[Row, ...], metric: str = "l1") -> dict[str, Mark]:
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
    assert row.numbers["l1"].interval == interval(item_weights(IDS, 400) @ np.array(LOW) / 4)
    assert (row.n, row.n_expected, row.seeds) == (4, 4, (0,))


def test_several_seeds_show_their_mean_and_a_wider_interval() -> None:
    table = _only(build(["A"], [_entry("A", 1, HIGH), _entry("A", 0, LOW)]))
    (row,) = table.rows
    assert row.seeds == (0, 1)
    assert row.numbers["l1"].value == pytest.approx(0.23)
    assert row.numbers["l1"].interval.low == pytest.approx(0.13, abs=0.02)  # both draws the lower seed: 1 in 4
    assert row.numbers["l1"].interval.high == pytest.approx(0.33, abs=0.02)


def test_the_best_is_bold_only_where_its_paired_difference_excludes_zero() -> None:
    rows = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW)])).rows
    assert _marks(rows) == {"A": Mark.NONE, "B": Mark.BEST}


def test_a_constant_gap_is_best_though_the_intervals_overlap() -> None:
    lower = tuple(value - 0.001 for value in LOW)
    rows = _only(build(["A", "B"], [_entry("A", 0, LOW), _entry("B", 0, lower)])).rows
    first, second = (row.numbers["l1"].interval for row in rows)
    assert first.low < second.high
    assert _marks(rows) == {"A": Mark.NONE, "B": Mark.BEST}


def test_those_that_cannot_be_told_from_the_best_tie() -> None:
    entries = [_entry("A", 0, LOW), _entry("B", 0, HIGH), _entry("C", 0, CROSSED)]
    assert _marks(_only(build(["A", "B", "C"], entries)).rows) == {"A": Mark.TIE, "B": Mark.NONE, "C": Mark.TIE}


def test_higher_is_better_for_ssim_and_unknown_metrics_are_not_ranked() -> None:
    ssim = [_entry("A", 0, HIGH, metric="ssim"), _entry("B", 0, LOW, metric="ssim")]
    assert _marks(_only(build(["A", "B"], ssim)).rows, "ssim") == {"A": Mark.BEST, "B": Mark.NONE}
    mine = [_entry("A", 0, HIGH, metric="mine"), _entry("B", 0, LOW, metric="mine")]
    assert _marks(_only(build(["A", "B"], mine)).rows, "mine") == {"A": Mark.NONE, "B": Mark.NONE}


def test_a_cell_alone_is_not_the_best_of_anything() -> None:
    entries = [_entry("A", 0, LOW), _entry("real", None, HIGH)]
    assert _marks(_only(build(["A"], entries)).rows) == {"A": Mark.NONE}


def test_the_ground_truth_is_never_ranked() -> None:
    table = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW), _entry("real", None, (0, 0, 0, 0))]))
    assert table.real is not None
    assert table.real.numbers["l1"].mark == Mark.NONE
    assert _marks(table.rows)["B"] == Mark.BEST


def test_a_row_of_another_protocol_is_set_apart_with_the_fields_that_differ() -> None:
    entries = [_entry("A", 0, HIGH), _entry("B", 0, HIGH), _entry("C", 0, LOW, scale=255, window=7)]
    table = _only(build(["A", "B", "C"], entries))
    (apart,) = table.apart
    assert apart.cell == "C"
    assert apart.differences == (Difference("scale", 255, 1), Difference("window", 7, None))
    assert apart.numbers["l1"].mark == Mark.NONE
    assert _marks(table.rows) == {"A": Mark.TIE, "B": Mark.TIE}
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
    assert apart.differences == (Difference("items", "3 of 4", "4 of 4, 1 scored only here"),)


def test_rows_on_the_same_part_of_the_items_are_ranked() -> None:
    entries = [_entry("A", 0, HIGH[:3], IDS[:3]), _entry("B", 0, LOW[:3], ("c", "b", "a"))]
    table = _only(build(["A", "B"], entries))
    assert [(row.n, row.n_expected) for row in table.rows] == [(3, 4), (3, 4)]
    assert _marks(table.rows)["B"] == Mark.BEST


def test_replicates_that_cannot_be_paired_are_set_apart() -> None:
    table = _only(build(["A", "B"], [_entry("A", 0, HIGH), _entry("B", 0, LOW, replicates=300)]))
    assert table.apart[0].differences == (Difference("bootstrap replicates", 300, 400),)


def test_each_scorer_has_its_table() -> None:
    tables = build(["A"], [_entry("A", 0, LOW), _entry("A", 0, HIGH, scorer="fcn", metric="iou")])
    assert [(table.scorer, table.metrics) for table in tables] == [("fcn", ("iou",)), ("image", ("l1",))]


def test_cells_that_the_grid_does_not_have_are_left_out() -> None:
    assert build(["A"], [_entry("B", 0, LOW)]) == []


def test_the_ground_truth_alone_is_a_table() -> None:
    table = _only(build(["A"], [_entry("real", None, LOW)]))
    assert table.rows == ()
    assert table.real is not None


def test_one_that_ties_with_the_best_spoils_it_even_below_the_second() -> None:
    steady, wide = np.linspace(0.9, 1.1, 41), np.linspace(-5, 10, 41)
    numbers = {"best": Number(1.0, steady), "second": Number(2.0, steady + 1), "third": Number(2.5, wide)}
    assert rank(numbers, higher_is_better=False) == {"best": Mark.TIE, "third": Mark.TIE}
