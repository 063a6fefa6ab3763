"""Tables as CSV: every number as it is, every reason, and no text that runs."""

from __future__ import annotations

import csv as plain_csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports import csv_tables, tables
from reports.store.bootstrap import item_weights
from reports.store.grids import GridDescription
from reports.store.layout import Run
from reports.store.ledger import LedgerEntry
from reports.store.scores import Metric, Scores
from reports.tables import ScoreTable
from tests.reports.names import HOSTILE

IDS = ("a", "b", "c", "d")
LOW, HIGH = (0.10, 0.12, 0.14, 0.1), (0.30, 0.32, 0.34, 1 / 3)
WEIGHTS = item_weights(IDS, 200)
FCN8 = {"network": "FCN-8s, 20 channels for 19 classes, width 1, padded 100"}


def entry(
    cell: str,
    seed: int | None,
    values: tuple[float, ...],
    scorer: str = "image",
    metric: str = "l1",
    **protocol: object,
) -> LedgerEntry:
    per_item = np.array(values)
    number = Metric(float(per_item.mean()), WEIGHTS @ per_item / len(IDS), per_item)
    scores = Scores(scorer, {"image_size": 256, **protocol}, IDS, 5, {metric: number})
    return LedgerEntry("grid", Run(Path(cell), cell, seed), scores)


def table(*entries: LedgerEntry) -> ScoreTable:
    (only,) = tables.build(list(dict.fromkeys(each.run.cell for each in entries)), entries)
    return only


def description(**dataset: object) -> GridDescription:
    return GridDescription("", "", {}, (0,), dataset, {}, {}, None)


def written(of: ScoreTable, path: Path, about: GridDescription | None = None) -> list[dict[str, str]]:
    csv_tables.write(csv_tables.of_table(of, about or description()), path / "table.csv")
    with (path / "table.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(plain_csv.DictReader(file))


def test_each_cell_has_a_row_with_its_numbers_in_full(tmp_path: Path) -> None:
    of = table(entry("A", 0, LOW), entry("A", 1, LOW), entry("B", 0, HIGH), entry("real", None, (0, 0, 0, 0)))
    first, second, real = written(of, tmp_path)
    assert list(first) == [
        "cell",
        "seeds",
        "n",
        "n_expected",
        "fingerprint",
        "scorer",
        "ranked",
        "not_ranked_because",
        "intervals_over",
        "l1",
        "l1_low",
        "l1_high",
        "l1_mark",
        "l1_ranks",
    ]
    number = of.rows[1].numbers["l1"]
    assert (second["cell"], second["seeds"], second["n"], second["n_expected"]) == ("B", "0", "4", "5")
    assert float(second["l1"]) == np.mean(HIGH)
    assert (float(second["l1_low"]), float(second["l1_high"])) == number.interval
    assert second["fingerprint"] == of.fingerprint
    assert [row["l1_mark"] for row in (first, second, real)] == ["ahead on these items", "", ""]
    assert [row["ranked"] for row in (first, second, real)] == ["True", "True", "False"]
    assert [row["seeds"] for row in (first, second, real)] == ["0 1", "0", ""]
    assert [row["intervals_over"] for row in (first, second, real)] == ["trainings and items", "items", "items"]
    assert [row["l1_ranks"] for row in (first, second, real)] == ["1 to 1", "2 to 2", ""]
    assert [row["not_ranked_because"] for row in (first, second, real)] == ["", "", "ground truth"]


def test_what_ties_is_marked_as_such(tmp_path: Path) -> None:
    assert [row["l1_mark"] for row in written(table(entry("A", 0, LOW), entry("B", 0, LOW)), tmp_path)] == [
        "level on these items"
    ] * 2


def test_rows_set_apart_are_there_with_the_reason(tmp_path: Path) -> None:
    of = table(entry("A", 0, LOW), entry("B", 0, LOW), entry("C", 0, HIGH, image_size=64, filter={"name": "box"}))
    apart = written(of, tmp_path)[-1]
    assert (apart["cell"], apart["ranked"], apart["l1_mark"]) == ("C", "False", "")
    assert apart["not_ranked_because"] == (
        'filter: {"name": "box"} here, not set in the table; image_size: 64 here, 256 in the table'
    )
    assert float(apart["l1"]) == np.mean(HIGH)
    assert apart["fingerprint"] != of.fingerprint


def test_the_papers_numbers_stand_beside_where_it_has_them(tmp_path: Path) -> None:
    cityscapes = description(name="cityscapes", direction="labels-to-photo", test={"n": 500})
    cells = [
        entry(cell, 0, LOW, "fcn-official", "class_iou", network=FCN8["network"])
        for cell in ("L1", "L1+cGAN", "mine", "real")
    ]
    other = entry("cGAN", 0, LOW, "fcn-official", "class_iou", network="of my own")
    rows = written(table(*cells[:3], other, cells[3]), tmp_path, cityscapes)
    assert [row["class_iou_paper"] for row in rows] == ["0.11", "0.17", "", "0.21", ""]
    assert float(rows[0]["class_iou_minus_paper"]) == np.mean(LOW) - 0.11
    assert [row["class_iou_minus_paper"] for row in rows[2::2]] == ["", ""]
    assert "class_iou_paper" not in written(table(*cells), tmp_path)[0]


def test_simulated_raters_are_named(tmp_path: Path) -> None:
    of = table(entry("A", 0, LOW, "amt-x", "fooling_rate", simulated=True))
    assert [row["simulated_raters"] for row in written(of, tmp_path)] == ["True"]


@pytest.mark.parametrize("order", [("l1", "l1_low"), ("l1_low", "l1")])
def test_a_metric_called_as_another_column_loses_nothing(tmp_path: Path, order: tuple[str, str]) -> None:
    metrics = {name: Metric(place + 0.5, np.full(200, place + 0.5)) for place, name in enumerate((*order, "cell"))}
    scores = LedgerEntry("grid", Run(Path("A"), "A", 0), Scores("image", {}, IDS, 4, metrics))
    (row,) = written(table(scores), tmp_path)
    assert (row["cell"], row["metric_cell"]) == ("A", "2.5")
    assert {float(row[name]) for name in (order[0], f"metric_{order[1]}")} == {0.5, 1.5}


def test_a_metric_that_a_cell_has_not_is_empty(tmp_path: Path) -> None:
    rows = written(table(entry("A", 0, LOW), entry("B", 0, LOW, metric="ssim")), tmp_path)
    assert [(row["l1"] == "", row["ssim"] == "") for row in rows] == [(False, True), (True, False)]


def test_hostile_names_are_harmless_and_readable(tmp_path: Path) -> None:
    rows = written(table(*(entry(name, 0, LOW) for name in HOSTILE)), tmp_path)
    shown = dict(zip(HOSTILE, (row["cell"] for row in rows), strict=True))
    for name in ("<script>alert(1)</script>", 'a"b', "n" * 300, "日本語", "عربي", "👩\N{ZERO WIDTH JOINER}🔬"):
        assert shown[name] == name
    assert shown["=cmd()"] == "'=cmd()"
    assert shown["  =1+1"] == "'  =1+1"
    assert shown["＝1+1"] == "'＝1+1"
    assert shown["a;=cmd()"] == "a;'=cmd()"
    assert shown["\t+1"] == r"\t+1"
    assert shown["two\nlines"] == r"two\nlines"
    assert shown["abc\u202egnp.exe"] == r"abc\u202egnp.exe"
    assert shown["half \udc80"] == r"half \udc80"
    text = (tmp_path / "table.csv").read_text("utf-8-sig")
    assert len(text.splitlines()) == len(HOSTILE) + 1  # a line a row, for tools that know no quotes
    frame = pd.read_csv(tmp_path / "table.csv")
    assert frame["cell"].tolist() == list(shown.values())
    assert frame.columns[0] == "cell"


@given(st.text())
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    made = csv_tables.inert(text)
    assert isinstance(made, str)
    for part in made.split(";"):
        assert not part.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n"))
    assert made.isprintable() or not text.isprintable()


def test_the_mark_of_byte_order_is_there_where_excel_needs_it(tmp_path: Path) -> None:
    for name, marked in (("plain", False), ("é", True)):
        csv_tables.write(pd.DataFrame({"cell": [name], "value": [0.1]}), tmp_path / "table.csv")
        assert (tmp_path / "table.csv").read_bytes().startswith(b"\xef\xbb\xbf") == marked
        frame = pd.read_csv(tmp_path / "table.csv")
        assert frame.to_dict("list") == {"cell": [name], "value": [0.1]}


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_read_back_as_they_were(tmp_path: Path, values: list[float]) -> None:
    csv_tables.write(pd.DataFrame({"value": values}), tmp_path / "table.csv")
    assert [float(line) for line in (tmp_path / "table.csv").read_text().splitlines()[1:]] == values


def test_heads_are_harmless_too_and_columns_of_one_name_stay_two(tmp_path: Path) -> None:
    csv_tables.write(pd.DataFrame([["=1", -1.5]], columns=["=a", "=a"]), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "'=a,'=a\n'=1,-1.5\n"
