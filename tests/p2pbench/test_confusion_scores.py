"""Scores with intervals from confusion matrices, and the table and JSON they are shown in."""

from __future__ import annotations

import io
import json
import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from fcn.confusion import confusion
from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from fcn.protocol import PROTOCOLS, RULES, Protocol
from p2pbench.errors import UserError
from p2pbench.segmentation.confusion_scores import METRICS, class_rows, confusion_scores
from p2pbench.segmentation.score_table import ScoreRow, json_lines, print_classes, print_scores
from reports import bootstrap
from reports.paper import paper_row
from reports.scores import Scores
from tests.fcn.plain import CLASSES, Maps, official, random_maps, strict

Matrices = dict[str, NDArray[np.int64]]


def plain(maps: Maps, protocol: Protocol) -> list[float]:
    return official(maps)[0] if protocol == "official" else strict(maps)


def of(maps: Maps) -> Matrices:
    return {f"i{place}": confusion(*pair, CLASSES, CLASSES + 1) for place, pair in enumerate(maps)}


@pytest.fixture
def maps() -> Maps:
    """Eight images, most of them kept by the official protocol, the last two without a label."""
    maps = random_maps(np.random.default_rng(11), 8, 0.001)
    assert 0 < official(maps)[1] < 6
    return [*maps, *((np.full_like(truth, IGNORE), prediction) for truth, prediction in maps[:2])]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_items_and_replicates_are_those_of_the_pixels(maps: Maps, protocol: Protocol) -> None:
    matrices = of(maps)
    backwards = dict(reversed(matrices.items()))
    made = confusion_scores("fcn", backwards, protocol, 12, {"photo_size": 256})
    made.check()
    assert made.item_ids == tuple(f"i{place}" for place in range(8))  # without those that have no labels
    assert (made.n, made.n_expected) == (8, 12)
    assert made.protocol["photo_size"] == 256
    assert RULES[protocol].items() <= made.protocol.items()
    weights = bootstrap.item_weights(made.item_ids)
    for place, name in enumerate(METRICS):
        metric = made.metrics[name]
        assert metric.value == pytest.approx(plain(maps, protocol)[place], abs=1e-12)
        assert metric.per_item == pytest.approx([plain([pair], protocol)[place] for pair in maps[:8]], abs=1e-12)
        assert metric.replicates.shape == (bootstrap.REPLICATES,)
        for replicate in range(0, bootstrap.REPLICATES, 500):
            drawn = [pair for pair, times in zip(maps, weights[replicate], strict=False) for _ in range(int(times))]
            assert metric.replicates[replicate] == pytest.approx(plain(drawn, protocol)[place], rel=1e-5)
        assert metric.interval.low <= metric.value <= metric.interval.high


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_class_rows_are_those_of_the_pixels(maps: Maps, protocol: Protocol) -> None:
    rows = class_rows(of(maps), protocol, CITYSCAPES.classes)
    assert [row.name for row in rows] == list(CITYSCAPES.classes)
    made = confusion_scores("fcn", of(maps), protocol, 10, {})
    mean = np.nanmean if protocol == "strict" else np.mean
    assert mean([row.accuracy for row in rows]) == pytest.approx(made.metrics["class_accuracy"].value)
    assert mean([row.iou for row in rows]) == pytest.approx(made.metrics["class_iou"].value)
    for class_, row in enumerate(rows):
        occurs = [(truth == class_).sum() for truth, _ in maps]
        assert row.pixels == sum(occurs)
        assert row.images == np.count_nonzero(occurs)
        undefined = protocol == "strict" and row.pixels == 0
        assert math.isnan(row.accuracy) == math.isnan(row.iou) == math.isnan(row.iou_interval.low) == undefined
        if not undefined:
            assert row.accuracy_interval.low <= row.accuracy <= row.accuracy_interval.high
            assert row.iou_interval.low <= row.iou <= row.iou_interval.high


def test_a_class_in_one_image_has_the_interval_of_the_draws_that_hold_it() -> None:
    common = confusion(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), 2, 2)
    rare = confusion(np.ones((2, 2), np.uint8), np.array([[1, 1], [1, 0]]), 2, 2)
    row = class_rows({"a": common, "b": rare, "c": common}, "strict", ("one", "two"))[1]
    assert (row.accuracy, row.accuracy_interval) == (0.75, (0.75, 0.75))
    assert (row.pixels, row.images) == (4, 1)
    assert class_rows({"a": common, "b": rare}, "official", ("one", "two"))[1].accuracy_interval.low == 0


def test_no_labels_at_all_is_an_error(maps: Maps) -> None:
    matrices = of(maps[8:])
    with pytest.raises(UserError, match="none of 2 items has a pixel of a scored class"):
        confusion_scores("fcn", matrices, "strict", 2, {})
    with pytest.raises(UserError, match="none of 0 items"):
        class_rows({}, "strict", CITYSCAPES.classes)


def test_all_images_dropped_scores_zero() -> None:
    dropped = confusion(np.full((2, 2), 18, np.uint8), np.full((2, 2), 19), CLASSES, CLASSES + 1)
    made = confusion_scores("fcn", {"a": dropped}, "official", 1, {})
    made.check()
    assert [made.metrics[name].value for name in METRICS] == [0, 0, 0]


def test_five_hundred_images_take_less_than_two_seconds_of_a_processor() -> None:
    rng = np.random.default_rng(0)
    matrices = {f"i{place}": rng.integers(0, 10_000, (20, 20)) for place in range(500)}
    seconds = []
    for _ in range(3):
        start = time.process_time()
        confusion_scores("fcn", matrices, "strict", 500, {})
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2


def printed(*rows: ScoreRow) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    print_scores(rows, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture
def both(maps: Maps) -> tuple[Scores, Scores]:
    return (
        confusion_scores("fcn-official", of(maps), "official", 10, {}),
        confusion_scores("fcn", of(maps), "strict", 10, {}),
    )


def test_the_table_shows_both_protocols_and_the_paper(both: tuple[Scores, Scores]) -> None:
    lines = printed(ScoreRow("losses/L1+cGAN seed 0", *both, paper_row("fcn-official", "", "L1+cGAN")))
    assert lines[0].split("  ")[-1].strip() == "Class IoU"
    assert lines[1] == "losses/L1+cGAN seed 0  8 of 10 items"
    for line, scores in zip(lines[2:4], both, strict=True):
        metric = scores.metrics["class_iou"]
        assert line.endswith(f"{metric.value:.3f} [{metric.interval.low:.3f}, {metric.interval.high:.3f}]")
        assert line[12:17] == f"{scores.metrics['pixel_accuracy'].value:.3f}"
    assert [line.split()[0] for line in lines[2:5]] == ["official", "strict", "paper"]
    assert lines[4].split() == ["paper", "0.66", "0.23", "0.17"]
    starts = [lines[2].index("["), lines[3].index("[")]
    assert starts[0] == starts[1]
    assert max(len(line) for line in lines) <= 80


def test_protocols_that_agree_share_a_line(both: tuple[Scores, Scores]) -> None:
    lines = printed(ScoreRow("a" * 200, both[1], both[1]), ScoreRow("b", None, both[1]), ScoreRow("c", None, None))
    assert lines[1].startswith("a" * 200)  # not broken in a file
    assert [line.split()[0] for line in lines[2:6]] == ["both", "b", "strict", "c"]
    assert lines[-1] == "both: the official and the strict protocol give the same"


def test_markup_in_a_name_is_only_text(both: tuple[Scores, Scores]) -> None:
    assert printed(ScoreRow("[red]x[/red] :smile:", None, both[1]))[1].startswith("[red]x[/red] :smile:")


def test_json_holds_the_numbers_and_their_protocol(both: tuple[Scores, Scores]) -> None:
    lines = [json.loads(line) for line in json_lines(ScoreRow("x", *both), {"grid": "losses", "seed": None})]
    assert [(line["grid"], line["seed"], line["scorer"], line["n"]) for line in lines] == [
        ("losses", None, "fcn-official", 8),
        ("losses", None, "fcn", 8),
    ]
    assert lines[1]["metrics"]["class_iou"] == both[1].metrics["class_iou"].value
    assert lines[1]["intervals"]["class_iou"] == list(both[1].metrics["class_iou"].interval)
    assert lines[1]["fingerprint"] == both[1].fingerprint
    assert lines[1]["protocol"] == both[1].protocol


def test_the_classes_are_printed_with_what_they_rest_on() -> None:
    matrices = {"a": np.diag([*range(11), 5]), "b": np.diag([0, *range(10), 5])}
    console = Console(file=io.StringIO(), width=80)
    print_classes("camvid", class_rows(matrices, "strict", CAMVID.classes), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == list(CAMVID.classes)
    assert lines[2].split() == ["sky", "-", "-", "0", "0"]
    assert lines[5].split() == ["road", "1.000", "[1.000,", "1.000]", "1.000", "[1.000,", "1.000]", "5", "2"]
    assert {line.index("[") for line in lines[3:]} == {lines[5].index("[")}
    assert max(len(line) for line in lines) <= 80
