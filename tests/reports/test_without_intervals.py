"""What a single item, or nothing at all, says: a dash in the page, in CSV, LaTeX, JSON and Python, and no verdict."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import reports
from reports import comparison_page, html
from reports.store import bootstrap, ledger
from reports.store import scores as store_scores
from reports.store.layout import Grid, Run
from reports.store.metrics import cost_of_absent
from tests.reports.conftest import ITEMS
from tests.reports.parsed import rows

Build = Callable[..., Path]
DASH = f'<span class="interval" title="{html.NO_INTERVAL}">–</span>'
CLASSES = """class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images
road,0.5,0.4,0.6,0.25,0.2,0.3,100,2
sky,0.75,0.7,0.8,0.5,0.4,0.6,50,2
bus,,,,0.0,0,0,0,0
"""


def official(run: Run, counting: int) -> None:
    """Scores of two items by official rules, of which so many count."""
    items = ITEMS[:2]
    per_item = np.array([0.25, 0.75])
    per_item[counting:] = np.nan
    value = float(np.nanmean(per_item)) if counting else math.nan
    replicates = bootstrap.item_weights(items, 200) @ np.nan_to_num(per_item) / 2
    metrics = {name: store_scores.Metric(value, replicates, per_item) for name in ("pixel_accuracy", "class_iou")}
    ledger.write(run, store_scores.Scores("fcn-official", {"protocol": "official"}, items, 2, metrics))
    run.classes("fcn-strict").write_text(CLASSES)


def test_one_item_has_no_interval_anywhere(build: Build) -> None:
    results = build(items=ITEMS[:1])
    page = html.write_report(results, results / "report").read_text("utf-8")
    assert page.count(DASH) == 3  # two cells and the ground truth
    assert ">nan" not in page.lower()
    assert 'class="best"' not in page
    assert 'class="tie"' not in page
    for row in rows(results / "report/tables/losses--image.csv"):
        assert (row["l1_low"], row["l1_high"], row["l1_mark"]) == ("", "", "")
        assert float(row["l1"]) >= 0
    latex = (results / "report/tables/losses--image.tex").read_text()
    assert r"\estimate{0.2000}{--}" in latex
    for text in (page.split("<h3", 2)[1], latex):  # the first table, and the same in LaTeX
        assert "intervals by" not in text
        assert "95&nbsp;%" not in text
    assert "1 items" not in page + latex
    assert "1 item." in page
    assert "1 item, seed 0." in latex
    table = reports.read(results)
    assert table.loc[table["item"] == "all", "value"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)
    document = json.loads(Grid(results / "losses").run("L1", 0).score("image").read_text())
    assert document["metrics"]["l1"] == {"value": 0.2, "low": None, "high": None}


def test_one_item_decides_nothing_between_two_folders(build: Build, tmp_path: Path) -> None:
    before = build(items=ITEMS[:1])
    after = shutil.copytree(before, tmp_path / "after")
    same = comparison_page.write(before, after, tmp_path / "same").read_text("utf-8")
    assert "<strong>No change:</strong>" in same
    scores = ledger.read_scorer(run := Grid(after / "losses").run("L1", 0), "image")
    metric = store_scores.Metric(0.1, np.full(200, 0.1), np.array([0.1]))
    ledger.write(run, store_scores.Scores("image", scores.protocol, scores.item_ids, 1, {"l1": metric}))
    page = comparison_page.write(before, after, tmp_path / "page").read_text("utf-8")
    assert "No difference has an interval." in " ".join(page.split())
    assert page.count(DASH) == 3
    assert "with its 95&nbsp;% interval" not in page
    assert "1 items" not in page
    assert 'class="verdict"' not in page
    changed, unchanged = rows(tmp_path / "page/tables/losses--image.csv")[:2]
    assert [changed[name] for name in ("b_minus_a", "b_minus_a_low", "b_minus_a_high", "verdict")] == [
        "-0.1",
        "",
        "",
        "",
    ]
    assert unchanged["b_minus_a"] == "0.0"


def test_what_the_official_rules_drop_is_no_zero(build: Build) -> None:
    results = build(cells=("L1", "cGAN", "L1+cGAN"), items=ITEMS[:2])
    grid = Grid(results / "losses")
    for counting, cell in enumerate(("L1", "cGAN", "L1+cGAN")):
        official(grid.run(cell, 0), counting)
    page = html.write_report(results, results / "report").read_text("utf-8")
    table = page[page.index("FCN-score, official</h3>") :]
    table = table[: table.index("</table>")]
    nothing, one, both = (part.split("</tr>")[0] for part in table.split("<tr>")[2:])
    assert nothing.count('<td class="none">–</td>') == 2
    assert one.count(DASH) == 2
    assert "0.250" in one
    assert DASH not in both
    assert "best" not in table  # of one item nobody knows whether it is as good
    price = "1 of 3 classes does not occur and counts 0: class accuracy and class IoU can reach at most 0.667."
    assert page.count(price) == 2  # above the table, and in its LaTeX
    read = {row["cell"]: row for row in rows(results / "report/tables/losses--fcn-official.csv")}
    assert [read["L1"][name] for name in ("class_iou", "class_iou_low", "class_iou_high")] == [""] * 3
    assert [read["cGAN"][name] for name in ("class_iou", "class_iou_low")] == ["0.25", ""]
    latex = (results / "report/tables/losses--fcn-official.tex").read_text()
    assert "L1 & -- & --" in latex
    assert r"cGAN & \estimate{0.250}{--}" in latex
    assert price in latex
    tidy = reports.read(results)
    values = {cell: tidy.loc[(tidy["cell"] == cell) & (tidy["metric"] == "class_iou"), "value"] for cell in read}
    assert values["L1"].isna().all()
    assert values["cGAN"].tolist() == [0.25, 0.25, pytest.approx(math.nan, nan_ok=True)]


def test_absent_classes_cost_nothing_where_there_are_no_numbers(build: Build) -> None:
    results = build(items=ITEMS[:2])
    for run in Grid(results / "losses").runs():
        official(run, 0)
    assert "can reach at most" not in html.write_report(results, results / "report").read_text("utf-8")


def test_one_seed_without_an_interval_leaves_the_mean_without(build: Build) -> None:
    results = build(cells=("L1", "cGAN"), seeds=(0, 1, 2), items=ITEMS[:2])
    grid = Grid(results / "losses")
    for cell, counting in (("L1", (2, 1, 2)), ("cGAN", (2, 0, 2))):
        for seed, count in enumerate(counting):
            official(grid.run(cell, seed), count)
    html.write_report(results, results / "report")
    read = {row["cell"]: row for row in rows(results / "report/tables/losses--fcn-official.csv")}
    assert float(read["L1"]["class_iou"]) == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert read["L1"]["class_iou_low"] == read["L1"]["class_iou_mark"] == ""
    assert read["cGAN"]["class_iou"] == ""  # one of its trainings has no score


@pytest.mark.parametrize(
    ("absent", "classes", "said"), [(8, 19, "8 of 19 classes do not occur and count 0"), (0, 19, "")]
)
def test_the_price_of_absent_classes(absent: int, classes: int, said: str) -> None:
    assert cost_of_absent(absent, classes).startswith(said)
    assert cost_of_absent(absent, classes).endswith("at most 0.579" if absent else "")
    assert bool(cost_of_absent(absent, classes)) == bool(absent)
