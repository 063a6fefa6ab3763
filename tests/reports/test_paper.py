"""The paper's numbers, written out by hand, and which of our cells they stand beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reports import paper
from reports.store.grids import GridDescription
from reports.store.metrics import describe_scorer, own_scorer

SEGMENTED = ("pixel_accuracy", "class_accuracy", "class_iou")
HISTOGRAMS = ("histogram_l", "histogram_a", "histogram_b")
CELLS = ("L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN")
WHOLE: dict[str, Any] = {"train": {"n": 2975, "hash": ""}, "test": {"n": 500, "hash": ""}}
TO_PHOTO = {"name": "cityscapes", "direction": "labels-to-photo", **WHOLE}
TO_LABELS = {"name": "cityscapes", "direction": "photo-to-labels", **WHOLE}
STREETS = {"name": "streets", "direction": "labels-to-photo", "test": {"n": 100}}
MAPS = {"name": "paired", "root": "/data/maps", "train": {"n": 1096}, "test": {"n": 1098}}
FCN8 = {"network": "FCN-8s, 20 channels for 19 classes, width 1, padded 100"}


def grid(dataset: Mapping[str, object], cells: tuple[str, ...] = CELLS, source: str = "") -> GridDescription:
    return GridDescription(
        title="",
        source=source,
        cells={cell: {} for cell in cells},
        seeds=(0,),
        dataset=dataset,
        settings={},
        versions={},
        git_revision=None,
    )


def printed(table: paper.PaperTable) -> dict[str, list[float]]:
    return {cell: [number.value for number in row.values()] for cell, row in table.rows.items()}


@pytest.mark.parametrize(
    ("title", "metrics", "rows"),
    [
        (
            "Table 1",
            SEGMENTED,
            {
                "L1": [0.42, 0.15, 0.11],
                "GAN": [0.22, 0.05, 0.01],
                "cGAN": [0.57, 0.22, 0.16],
                "L1+GAN": [0.64, 0.20, 0.15],
                "L1+cGAN": [0.66, 0.23, 0.17],
                "real": [0.80, 0.26, 0.21],
            },
        ),
        (
            "Table 2",
            SEGMENTED,
            {
                "encoder-decoder L1": [0.35, 0.12, 0.08],
                "encoder-decoder L1+cGAN": [0.29, 0.09, 0.05],
                "U-Net L1": [0.48, 0.18, 0.13],
                "U-Net L1+cGAN": [0.55, 0.20, 0.14],
            },
        ),
        (
            "Table 3",
            SEGMENTED,
            {
                "1x1": [0.39, 0.15, 0.10],
                "16x16": [0.65, 0.21, 0.17],
                "70x70": [0.66, 0.23, 0.17],
                "286x286": [0.42, 0.16, 0.11],
            },
        ),
        ("Table 4, map to aerial photo", ("fooling_rate",), {"L1": [0.8], "L1+cGAN": [18.9]}),
        ("Table 4, aerial photo to map", ("fooling_rate",), {"L1": [2.8], "L1+cGAN": [6.1]}),
        (
            "Table 5, colorization",
            ("fooling_rate",),
            {"L2 regression (Zhang et al. 2016)": [16.3], "Zhang et al. 2016": [27.8], "L1+cGAN": [22.5]},
        ),
        (
            "Table 6",
            SEGMENTED,
            {"L1": [0.86, 0.42, 0.35], "cGAN": [0.74, 0.28, 0.22], "L1+cGAN": [0.83, 0.36, 0.29]},
        ),
        (
            "Figure 7d",
            HISTOGRAMS,
            {
                "L1": [0.81, 0.69, 0.70],
                "cGAN": [0.87, 0.74, 0.84],
                "L1+cGAN": [0.86, 0.84, 0.82],
                "1x1": [0.83, 0.68, 0.78],
            },
        ),
    ],
)
def test_tables_are_as_printed(title: str, metrics: tuple[str, ...], rows: dict[str, list[float]]) -> None:
    (table,) = (table for table in paper.TABLES if table.title == title)
    assert table.metrics == metrics
    assert printed(table) == rows
    assert all(tuple(row) == metrics for row in table.rows.values())
    assert {number.table for row in table.rows.values() for number in row.values()} == {title}


def test_there_are_no_other_tables() -> None:
    assert len(paper.TABLES) == 8
    assert sum(len(row) for table in paper.TABLES for row in table.rows.values()) == 70


def test_fooling_rates_have_what_stands_behind_the_plus_minus_and_others_have_nothing() -> None:
    spreads = {
        (table.title.split(",")[0], table.task, cell): number.plus_minus
        for table in paper.TABLES
        for cell, row in table.rows.items()
        for number in row.values()
        if number.plus_minus is not None
    }
    assert spreads == {
        ("Table 4", "map to aerial photo", "L1"): 0.3,
        ("Table 4", "map to aerial photo", "L1+cGAN"): 2.5,
        ("Table 4", "aerial photo to map", "L1"): 1.0,
        ("Table 4", "aerial photo to map", "L1+cGAN"): 1.3,
        ("Table 5", "colorization", "L2 regression (Zhang et al. 2016)"): 2.4,
        ("Table 5", "colorization", "Zhang et al. 2016"): 2.7,
        ("Table 5", "colorization", "L1+cGAN"): 1.6,
    }


@pytest.mark.parametrize(
    ("dataset", "scorer", "metric", "cell", "value", "table"),
    [
        (TO_PHOTO, "fcn-official", "class_iou", "L1+GAN", 0.15, "Table 1"),
        (TO_PHOTO, "fcn-official", "pixel_accuracy", "real", 0.80, "Table 1"),
        (TO_PHOTO, "fcn-official", "class_accuracy", "U-Net L1", 0.18, "Table 2"),
        (TO_PHOTO, "fcn-official", "class_iou", "70x70", 0.17, "Table 3"),
        (TO_PHOTO, "image", "histogram_a", "1x1", 0.68, "Figure 7d"),
        (TO_LABELS, "labels-official", "class_iou", "cGAN", 0.22, "Table 6"),
        ({**MAPS, "direction": "BtoA"}, "amt-mine", "fooling_rate", "L1+cGAN", 18.9, "Table 4, map to aerial photo"),
        ({**MAPS, "direction": "AtoB"}, "amt-mine", "fooling_rate", "L1+cGAN", 6.1, "Table 4, aerial photo to map"),
        (
            {"name": "paired", "root": "../cityscapes", "direction": "BtoA", **WHOLE},
            "image",
            "histogram_l",
            "L1",
            0.81,
            "Figure 7d",
        ),
    ],
)
def test_a_cell_of_the_papers_task_and_images_has_its_number(
    dataset: dict[str, object], scorer: str, metric: str, cell: str, value: float, table: str
) -> None:
    found = paper.value(grid(dataset), scorer, metric, cell)
    assert found is not None
    assert (found.value, found.table) == (value, table)
    assert paper.reference(grid(dataset), scorer) is None or scorer == "amt-mine"


@pytest.mark.parametrize(
    ("dataset", "scorer", "metric", "cell"),
    [
        (STREETS, "fcn-official", "class_iou", "L1"),  # other images
        ({**TO_PHOTO, "name": "camvid"}, "fcn-official", "class_iou", "L1"),
        ({**TO_PHOTO, "test": {"n": 100}}, "fcn-official", "class_iou", "L1"),  # a part of the validation split
        ({**TO_PHOTO, "test": "500"}, "fcn-official", "class_iou", "L1"),
        ({}, "fcn-official", "class_iou", "L1"),
        (TO_LABELS, "fcn-official", "class_iou", "L1"),  # another task
        (TO_PHOTO, "labels-official", "class_iou", "L1"),
        (TO_LABELS, "image", "histogram_l", "L1"),
        (TO_PHOTO, "fcn-strict", "class_iou", "L1"),  # another protocol
        (TO_LABELS, "labels", "class_iou", "L1"),
        (TO_PHOTO, "fcn-official", "class_iou", "mine"),
        (TO_PHOTO, "fcn-official", "mine", "L1"),
        (TO_PHOTO, "image", "ssim", "L1"),
        (TO_PHOTO, "amt-mine", "fooling_rate", "L1"),
        ({**MAPS, "direction": "AtoB", "root": "/data/facades"}, "amt-mine", "fooling_rate", "L1"),
        ({**MAPS, "direction": "AtoB", "train": {"n": 400}}, "amt-mine", "fooling_rate", "L1"),
        ({"name": "colorization", "root": "/data/imagenet"}, "amt-mine", "fooling_rate", "L1+cGAN"),  # any photos
    ],
)
def test_others_have_none(dataset: dict[str, object], scorer: str, metric: str, cell: str) -> None:
    assert paper.value(grid(dataset), scorer, metric, cell) is None


@pytest.mark.parametrize(
    ("protocol", "there"),
    [(FCN8, True), ({"network": "FCN-8s, 19 channels for 19 classes, width 1, padded 100"}, False), ({}, False)],
)
def test_an_fcn_score_must_be_of_the_published_network(protocol: dict[str, object], there: bool) -> None:
    found = paper.value(grid(TO_PHOTO), "fcn-official", "class_iou", "L1", protocol)
    assert (found is not None) == there


@pytest.mark.parametrize(
    ("dataset", "cells", "source", "scorer", "title"),
    [
        (STREETS, CELLS, "paper, Table 1", "fcn-official", "Table 1"),
        (STREETS, ("U-Net L1", "L1"), "paper, Table 2 (batch 10)", "fcn-official", "Table 2"),
        (STREETS, ("1x1", "16x16", "70x70", "L1"), "my own", "fcn-official", "Table 3"),
        (STREETS, ("L1", "1x1"), "paper, Table 10", "fcn-official", "Table 1"),
        ({**TO_PHOTO, "test": {"n": 20}}, CELLS, "", "fcn-official", "Table 1"),
        (STREETS, CELLS, "", "image", "Figure 7d"),
        ({**STREETS, "direction": "photo-to-labels"}, CELLS, "", "labels-official", "Table 6"),
        (STREETS, CELLS, "", "amt-mine", "Table 4, map to aerial photo"),
        (TO_PHOTO, CELLS, "", "amt-mine", "Table 4, map to aerial photo"),
        (TO_LABELS, CELLS, "", "amt-mine", "Table 4, aerial photo to map"),
        ({"name": "colorization"}, ("L1+cGAN",), "", "amt-mine", "Table 5, colorization"),
        (STREETS, ("mine",), "paper, Table 1", "fcn-official", None),  # no cell in common
        (STREETS, CELLS, "paper, Table 1", "fcn-strict", None),
        (STREETS, CELLS, "", "unknown", None),
        (TO_PHOTO, CELLS, "paper, Table 1", "fcn-official", None),  # its numbers stand beside ours
        ({**MAPS, "direction": "AtoB"}, CELLS, "", "amt-mine", None),
        ({"name": "paired", "root": "/data/facades", "direction": "BtoA"}, CELLS, "", "amt-mine", None),
    ],
)
def test_a_table_that_is_like_ours_is_given_apart(
    dataset: dict[str, object], cells: tuple[str, ...], source: str, scorer: str, title: str | None
) -> None:
    found = paper.reference(grid(dataset, cells, source), scorer)
    assert (found.title if found else None) == title


def test_the_terminal_takes_the_row_of_the_table_that_the_source_names() -> None:
    row = paper.paper_row("fcn-official", "paper, Table 3", "70x70")
    assert row is not None
    assert [number.value for number in row.values()] == [0.66, 0.23, 0.17]
    assert paper.paper_row("fcn-official", "", "real") == paper.TABLES[0].rows["real"]
    assert paper.paper_row("fcn-official", "", "mine") is None
    assert paper.GROUND_TRUTH == (0.80, 0.26, 0.21)


STREETS_SCORER = {
    "network": "FCN-4s, 19 channels for 19 classes, width 0.25, padded layers",
    "weights_source": "p2pbench, 1200 street scenes, step 300 of 600",
}
TRAINED = "p2pbench fcn-train: camvid, 367 items (0123), from vgg16, width 1, photos at 256, 40 epochs; step 9"
IMPORTED = "imported from fcn-8s-cityscapes.caffemodel"


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (STREETS_SCORER, "FCN-4s trained on 1200 street scenes"),
        ({"network": "FCN-8s, 11 channels", "weights_source": TRAINED}, "FCN-8s trained on 367 items of camvid"),
        ({**FCN8, "weights_source": TRAINED}, "FCN-8s trained on 367 items of camvid"),
        ({**FCN8, "weights_source": "a friend"}, "FCN-8s, a friend"),
        ({**FCN8, "weights_source": 90 * "x"}, f"FCN-8s, {60 * 'x'} ..."),
        ({"network": "FCN-8s, 11 channels"}, "FCN-8s"),
        ({"network": "FCN-8s, 11 channels", "weights_source": IMPORTED}, f"FCN-8s, {IMPORTED}"),
        ({**FCN8, "weights_source": IMPORTED}, ""),
        (FCN8, ""),
        ({}, ""),
    ],
)
def test_a_scorer_that_is_not_the_published_one_has_a_name(protocol: dict[str, object], name: str) -> None:
    assert own_scorer(protocol) == name
    title = f"official rules, own scorer: {name}" if name else "FCN-score, official"
    assert describe_scorer("fcn-official", protocol).title == title
    assert describe_scorer("fcn-strict", protocol).title == title.replace("official", "strict")
    assert describe_scorer("image", protocol).title == "Image scores"
    beside = paper.value(grid(TO_PHOTO), "fcn-official", "class_iou", "L1", protocol)
    assert (beside is not None) == (name == "" and protocol != {})
