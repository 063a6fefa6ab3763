"""What each item scored: labels, whose values are shown, which items stand out, and which have no picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from reports import browse
from reports.browse import ItemMetric
from reports.gallery import Column
from reports.store.layout import Grid, Run
from reports.store.ledger import LedgerEntry
from reports.store.scores import Metric, Scores

GRID = Grid(Path("losses"))
L1, GAN, OTHER_SEED = GRID.run("L1", 0), GRID.run("GAN", 0), GRID.run("L1", 1)
COLUMNS = [Column(GRID.input, {}), Column(L1, {}), Column(GAN, {}), Column(GRID.real, {})]
IDS = ("a", "b", "c")


def entry(
    run: Run, scorer: str = "image", ids: tuple[str, ...] = IDS, **metrics: tuple[float, ...] | None
) -> LedgerEntry:
    numbers = {
        name: Metric(0.5, np.full(4, 0.5), None if values is None else np.array(values))
        for name, values in metrics.items()
    }
    return LedgerEntry("losses", run, Scores(scorer, {}, ids, len(ids), numbers))


def metric(values: Mapping[str, Mapping[str, float]], name: str = "l1") -> ItemMetric:
    return ItemMetric("image", name, name, name, values)


def test_values_are_by_cell_and_item() -> None:
    (found,) = browse.of_columns(COLUMNS, [entry(L1, l1=(1, 2, 3)), entry(GRID.real, ids=("c", "a"), l1=(0, 4))])
    assert (found.scorer, found.metric, found.label, found.short) == ("image", "l1", "L1", "L1")
    assert found.values == {"L1": {"a": 1, "b": 2, "c": 3}, "real": {"c": 0, "a": 4}}


def test_metrics_of_all_items_together_have_no_values() -> None:
    found = browse.of_columns(COLUMNS, [entry(L1, l1=(1, 2, 3), histogram_l=None)])
    assert [each.metric for each in found] == ["l1"]
    assert browse.of_columns(COLUMNS, [entry(L1, histogram_l=None)]) == []


def test_a_run_whose_pictures_are_not_shown_has_no_values() -> None:
    (found,) = browse.of_columns(COLUMNS, [entry(OTHER_SEED, l1=(7, 8, 9)), entry(GAN, l1=(1, 2, 3))])
    assert list(found.values) == ["GAN"]
    assert browse.of_columns(COLUMNS, [entry(OTHER_SEED, l1=(7, 8, 9))]) == []


def test_metrics_that_scorers_share_are_told_apart() -> None:
    entries = [
        entry(L1, "amt-first", fooling_rate=(1, 2, 3)),
        entry(L1, "fcn-official", pixel_accuracy=(1, 2, 3), class_iou=(1, 2, 3)),
        entry(L1, "fcn-strict", pixel_accuracy=(1, 2, 3)),
        entry(L1, "mine", pixel_accuracy=(1, 2, 3), sheen=(1, 2, 3)),
    ]
    assert [(each.label, each.short) for each in browse.of_columns(COLUMNS, entries)] == [
        ("Pixel accuracy (FCN-score, official)", "Pixel accuracy"),
        ("Class IoU", "Class IoU"),
        ("Pixel accuracy (FCN-score, strict)", "Pixel accuracy"),
        ("Pixel accuracy (mine)", "Pixel accuracy"),
        ("sheen", "sheen"),
        ("Fooling rate (%)", "Fooling rate (%)"),
    ]


def test_the_lowest_median_and_highest_of_each_metric_are_notable() -> None:
    rising = metric({"L1": {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "real": {"e": -100}})
    assert browse.notable([rising]) == ["a", "c", "e"]
    swapped = metric({"L1": {"a": 5, "b": 1, "c": 2, "d": 3, "e": 4}}, "psnr")
    assert browse.notable([rising, swapped]) == ["a", "c", "e", "b", "d"]


def test_items_are_ordered_by_their_sum_over_cells_that_all_have_them() -> None:
    of_two = metric({"L1": {"a": 1, "b": 5, "c": 2, "d": -9}, "GAN": {"a": 9, "b": 1, "c": 2}})
    assert browse.notable([of_two]) == ["c", "b", "a", "d"]  # 4, 6 and 10; d has no value in GAN, and L1's lowest
    assert browse.notable([metric({"L1": {"a": 1}, "GAN": {"b": 1}})]) == ["a", "b"]  # of each cell alone
    assert browse.notable([metric({"real": {"a": 1}})]) == []
    assert browse.notable([metric({"L1": {"a": 1}})]) == ["a"]


def test_equal_values_are_ordered_by_item() -> None:
    assert browse.notable([metric({"L1": dict.fromkeys("cab", 1.0)})]) == ["a", "b", "c"]


def test_scores_without_a_picture_are_named() -> None:
    metrics = [metric({"L1": {"a": 1, "z": 2}}), metric({"GAN": {"y": 1}}, "psnr")]
    assert browse.without_pictures(metrics, ["a", "b"]) == ["y", "z"]
    assert browse.without_pictures(metrics, ["a", "y", "z"]) == []
