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

from fcn.confusion import ImageMatrix, confusion
from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from fcn.score_protocols import PROTOCOLS, RULES, Protocol
from p2pbench.errors import UserError
from p2pbench.scoring.confusion_scores import METRICS, class_rows, confusion_scores
from p2pbench.scoring.label_scores import ScorerNames, score_row
from p2pbench.scoring.score_table import ScoreRow, json_lines, print_classes, print_scores
from reports.paper import paper_row
from reports.store import bootstrap
from reports.store.scores import Scores
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
        alone = [plain([pair], protocol)[place] for pair in maps[:8]]
        assert metric.per_item == pytest.approx(alone, abs=1e-12, nan_ok=True)  # NaN: dropped
        assert metric.replicates.shape == (bootstrap.REPLICATES,)
        low, high = made.interval(name)
        assert low <= metric.value <= high
        if protocol == "official" and name != "pixel_accuracy":
            continue  # of these see test_official_draws_that_miss_a_class_do_not_take_it_for_wrong
        # Draws move as the pixels of the drawn items do, and spread by the jackknife's variance and bias.
        some = range(0, bootstrap.REPLICATES, 200)
        drawn = [
            plain([pair for pair, times in zip(maps, weights[i], strict=False) for _ in range(int(times))], protocol)
            for i in some
        ]
        assert np.corrcoef(metric.replicates[list(some)], [each[place] for each in drawn])[0, 1] > 0.999999
        without = [plain([pair for j, pair in enumerate(maps[:8]) if j != i], protocol)[place] for i in range(8)]
        units = int(np.count_nonzero(~np.isnan(alone)))
        bias = 7 * float(np.mean(without) - metric.value)
        spread = (float(np.var(without)) * 7 + bias**2) * (units - 1) / units
        assert metric.replicates.var() == pytest.approx(spread, rel=1e-3)


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
        predicted = sum(((prediction == class_) & (truth != IGNORE)).any() for truth, prediction in maps)
        assert math.isnan(row.accuracy) == (protocol == "strict" and row.pixels == 0)
        assert math.isnan(row.iou) == (protocol == "strict" and row.pixels == 0 and not predicted)
        for value, ends in ((row.accuracy, row.accuracy_interval), (row.iou, row.iou_interval)):
            assert not ends.known or ends.low <= value <= ends.high
        # By official rules a class that is nowhere is 0 in all items alike, and one of a single image 0 in the others.
        assert row.accuracy_interval.known == (row.images >= (1 if protocol == "official" else 2))


def test_a_class_in_one_image_has_no_interval() -> None:
    common = confusion(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), 2, 2)
    rare = confusion(np.ones((2, 2), np.uint8), np.array([[1, 1], [1, 0]]), 2, 2)
    row = class_rows({"a": common, "b": rare, "c": common}, "strict", ("one", "two"))[1]
    assert (row.accuracy, row.iou, row.pixels, row.images) == (0.75, 0.75, 4, 1)
    assert not row.accuracy_interval.known
    assert not row.iou_interval.known
    # Predicted in another image too, its IoU has one.
    common[0] = [14, 2]
    row = class_rows({"a": common, "b": rare, "c": common}, "strict", ("one", "two"))[1]
    assert not row.accuracy_interval.known
    assert row.iou_interval.known
    assert class_rows({"a": common, "b": rare}, "official", ("one", "two"))[1].iou_interval.low == 0


def test_no_labels_at_all_is_an_error(maps: Maps) -> None:
    matrices = of(maps[8:])
    with pytest.raises(UserError, match="none of 2 items has a pixel of a scored class"):
        confusion_scores("fcn", matrices, "strict", 2, {})
    with pytest.raises(UserError, match="none of 0 items"):
        class_rows({}, "strict", CITYSCAPES.classes)


DROPPED = confusion(np.full((2, 2), 18, np.uint8), np.full((2, 2), 19), CLASSES, CLASSES + 1)
RIGHT = confusion(np.full((2, 2), 3, np.uint8), np.array([[3, 3], [3, 4]]), CLASSES, CLASSES + 1)


def test_where_all_images_are_dropped_nothing_is_scored() -> None:
    made = confusion_scores("fcn", {"a": DROPPED, "b": DROPPED}, "official", 2, {})
    made.check()
    assert (made.n, made.counted) == (2, 0)
    assert all(math.isnan(metric.value) and not made.interval(name).known for name, metric in made.metrics.items())
    for row in class_rows({"a": DROPPED, "b": DROPPED}, "official", CITYSCAPES.classes):
        assert np.isnan([row.accuracy, row.iou, *row.accuracy_interval, *row.iou_interval]).all()


def test_dropped_images_have_no_score_and_no_part_in_the_interval() -> None:
    matrices = {"a": DROPPED, "b": DROPPED, "c": RIGHT}
    made = confusion_scores("fcn", matrices, "official", 3, {})
    made.check()
    assert made.by_item("pixel_accuracy") == {"c": pytest.approx(0.75)}
    assert made.metrics["pixel_accuracy"].value == pytest.approx(0.75)
    assert not made.interval("pixel_accuracy").known  # of the one item that counts
    # With a second one, a draw of dropped images alone (1 of 16) is no score of 0: it gets that of all.
    made = confusion_scores("fcn", {**matrices, "d": np.diag([0] * 3 + [4] + [0] * 16)}, "official", 4, {})
    made.check()
    assert made.interval("pixel_accuracy") == (0, 1)  # of two, as far as shares go
    values, counts = np.unique(made.metrics["pixel_accuracy"].replicates.round(4), return_counts=True)
    assert len(values) == 7  # as c comes k times and d m times: of 1 and 0, 3 and 1, 2 and 1, ..., 0 and 1
    assert values[3] == pytest.approx(0.875, abs=0.001)
    assert counts[3] / counts.sum() == pytest.approx(1 / 16 + 12 / 64 + 6 / 256, abs=0.015)  # k = m = 0, 1 and 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_item_has_no_interval(protocol: Protocol) -> None:
    made = confusion_scores("fcn", {"a": RIGHT}, protocol, 1, {})
    assert made.metrics["pixel_accuracy"].value == pytest.approx(0.75)
    assert not any(made.interval(name).known for name in made.metrics)
    assert not any(row.accuracy_interval.known for row in class_rows({"a": RIGHT}, protocol, CITYSCAPES.classes))


@pytest.mark.long
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
        low, high = scores.interval("class_iou")
        assert line.endswith(f"{scores.metrics['class_iou'].value:.3f} [{low:.3f}, {high:.3f}]")
        assert line[12:17] == f"{scores.metrics['pixel_accuracy'].value:.3f}"
    assert [line.split()[0] for line in lines[2:5]] == ["official", "strict", "paper"]
    assert lines[4].split() == ["paper", "0.66", "0.23", "0.17"]
    starts = [lines[2].index("["), lines[3].index("[")]
    assert starts[0] == starts[1]
    assert max(len(line) for line in lines) <= 80


@pytest.mark.long
def test_what_is_not_there_is_a_dash_and_absent_classes_have_their_price() -> None:
    def row(**matrices: NDArray[np.int64]) -> ScoreRow:
        compared = {id_: ImageMatrix(counts, "2x2", "") for id_, counts in matrices.items()}
        return score_row("run", ScorerNames("fcn-official", "fcn-strict"), compared, len(matrices), {})

    assert not any("at most" in line for line in printed(row(a=DROPPED)))  # of no number
    lines = printed(row(a=DROPPED), row(a=RIGHT), row(a=RIGHT, b=DROPPED))
    assert [line.split() for line in lines[2:4]] == [["official", "-", "-", "-"], ["strict", *["0.000", "[-]"] * 3]]
    assert lines[5].split() == ["official", "0.750", "[-]", "0.039", "[-]", "0.039", "[-]"]
    assert lines[6].split() == ["strict", "0.750", "[-]", "0.750", "[-]", "0.375", "[-]"]
    assert lines[8].split() == ["official", "0.750", "[-]", "0.039", "[-]", "0.039", "[-]"]
    price = "class accuracy and class IoU can reach at most"
    assert " ".join(map(str.strip, lines[-2:])) == (  # whatever a dropped image has counts as little
        f"official: 18 of 19 classes do not occur and count 0: {price} 0.053"
    )
    official, strict = map(json.loads, json_lines(row(a=DROPPED), {}))
    assert official["metrics"] == official["intervals"] == dict.fromkeys(METRICS)
    assert (official["dropped"], official["absent_classes"]) == (1, 19)
    assert (strict["metrics"]["class_iou"], strict["intervals"]["class_iou"]) == (0, None)
    assert not any(line.startswith("official:") for line in printed(row(a=RIGHT).only("strict")))


def test_a_class_that_is_alike_in_all_items_has_no_interval() -> None:
    matrix = np.zeros((3, 2), np.int64)
    matrix[0] = 7, 13  # 7 of 20 right in each
    (first, _) = class_rows({"a": matrix, "b": matrix}, "strict", ("road", "sky"))
    assert first.accuracy == 0.35
    assert not first.accuracy_interval.known


def test_official_draws_that_miss_a_class_do_not_take_it_for_wrong() -> None:
    # Perfect maps, a class in one of four: however they are drawn, nothing is wrong.
    one, other = np.zeros((2, 4, 4), np.int64)
    one[0, 0], other[0, 0], other[1, 1] = 9, 9, 5
    made = confusion_scores("fcn", {"a": one, "b": one, "c": one, "d": other}, "official", 4, {})
    assert made.metrics["class_iou"].value == pytest.approx(2 / 3)  # of three classes one does not occur
    assert not made.interval("class_iou").known
    assert not made.interval("class_accuracy").known


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
    assert lines[1]["intervals"]["class_iou"] == list(both[1].interval("class_iou"))
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
    assert lines[5].split() == ["road", "1.000", "[-]", "1.000", "[-]", "5", "2"]
    assert {line.index("[") for line in lines[3:]} == {lines[5].index("[")}
    assert max(len(line) for line in lines) <= 80
