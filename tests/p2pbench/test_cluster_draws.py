"""Draws of clusters: against hand-worked cases, and whether intervals of clustered items hold the true value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from fcn.score_protocols import Protocol
from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.scoring.confusion_scores import class_rows, confusion_scores
from p2pbench.scoring.distribution_scores import ItemFeatures, score_fid, score_kid
from p2pbench.scoring.image_scores import mean
from reports.store.bootstrap import item_weights
from reports.store.scores import Metric, Scores

IDS = ("a1", "a2", "a3", "b1", "c1", "c2")
BY_LETTER = ItemClusters("letters", {item: item[0] for item in IDS})
PROTOCOL = {"clusters": {"by": "letters", "n": 3, "effective": 3}}
CLASSES = 5


def test_all_items_of_a_cluster_are_drawn_as_often() -> None:
    weights = item_weights(IDS, 300, BY_LETTER.of)
    for start, stop in ((0, 3), (4, 6)):
        assert (weights[:, start:stop] == weights[:, [start]]).all()
    assert (weights[:, [0, 3, 4]] == item_weights(["a", "b", "c"], 300)).all()
    shuffled = IDS[::-1]
    np.testing.assert_array_equal(item_weights(shuffled, 300, BY_LETTER.of), weights[:, ::-1])


def test_a_mean_over_clusters_has_students_interval_of_their_means() -> None:
    ids = ("a1", "a2", "b1", "b2", "c1", "c2")
    metric = mean(
        np.array([1.0, 2, 3, 6, 0, 4]), weights_of(ids, ItemClusters("letters", {item: item[0] for item in ids}))
    )
    scores = Scores("image", PROTOCOL, ids, 6, {"psnr": metric})
    half = 4.302653 * np.std([1.5, 4.5, 2], ddof=1) / np.sqrt(3)  # Student's t of two degrees of freedom
    assert scores.interval("psnr") == pytest.approx((16 / 6 - half, 16 / 6 + half), abs=0.03 * half)
    assert scores.units == 3


def test_a_mean_over_clusters_of_different_sizes_is_a_ratio_in_each_draw() -> None:
    values = np.array([1.0, 2, 3, 6, 0, 4])
    metric = mean(values, weights_of(IDS, BY_LETTER))
    sums, sizes = {"a": 6.0, "b": 6, "c": 4}, {"a": 3, "b": 1, "c": 2}
    drawn = [sum(sums[name] for name in draw) / sum(sizes[name] for name in draw) for draw in product("abc", repeat=3)]
    assert metric.value == pytest.approx(16 / 6)
    assert {round(value, 5) for value in metric.replicates.tolist()} == {round(value, 5) for value in drawn}
    assert metric.replicates.var() == pytest.approx(np.var(drawn), rel=0.05)


def test_items_that_do_not_vary_together_have_the_draws_that_they_had() -> None:
    values = np.random.default_rng(3).random(6)
    assert (mean(values, weights_of(IDS, None)).replicates == item_weights(IDS) @ values / 6).all()


def test_one_cluster_has_no_interval() -> None:
    one = ItemClusters("letters", dict.fromkeys(IDS, "a"))
    metric = mean(np.arange(6.0), weights_of(IDS, one))
    scores = Scores("image", {"clusters": {"by": "letters", "n": 1, "effective": 1}}, IDS, 6, {"l1": metric})
    assert not scores.interval("l1").known
    matrices = frames(np.random.default_rng(0), 1, 6, 0.3)
    made = confusion_scores("fcn", matrices, "strict", 6, {}, ItemClusters("x", dict.fromkeys(matrices, "a")))
    assert not any(made.interval(name).known for name in made.metrics)


@pytest.mark.parametrize("protocol", ["official", "strict"])
def test_matrices_of_a_cluster_count_as_their_sum_does(protocol: Protocol) -> None:
    matrices = frames(np.random.default_rng(1), 6, 4, 0.5)
    clusters = ItemClusters("sequences", {item: item[:2] for item in matrices})
    made = confusion_scores("fcn", matrices, protocol, 24, {}, clusters)
    summed: dict[str, NDArray[np.int64]] = {}
    for item, matrix in matrices.items():
        summed[item[:2]] = summed.get(item[:2], 0) + matrix
    alone = confusion_scores("fcn", summed, protocol, 6, {})
    assert made.protocol["clusters"]["by"] == "sequences"  # type: ignore[index]
    assert (made.n, made.units, alone.units) == (24, 6, 6)
    assert made.fingerprint != confusion_scores("fcn", matrices, protocol, 24, {}).fingerprint
    for name in made.metrics:
        assert made.metrics[name].value == alone.metrics[name].value
        np.testing.assert_allclose(made.metrics[name].replicates, alone.metrics[name].replicates)
        assert made.interval(name) == pytest.approx(alone.interval(name))
    names = [str(index) for index in range(CLASSES)]
    for row, other in zip(
        class_rows(matrices, protocol, names, clusters), class_rows(summed, protocol, names), strict=True
    ):
        assert row.iou_interval == pytest.approx(other.iou_interval)
        assert row.accuracy_interval == pytest.approx(other.accuracy_interval)
        assert row.images == 24


def normal(random: np.random.Generator, clusters: int, size: int, icc: float) -> NDArray[np.float64]:
    """Values (clusters, size) around 0, of which `icc` of the variance is between clusters."""
    shared, own = random.normal(size=(clusters, 1)), random.normal(size=(clusters, size))
    return np.asarray(np.sqrt(icc) * shared + np.sqrt(1 - icc) * own)


def frames(random: np.random.Generator, clusters: int, size: int, icc: float) -> dict[str, NDArray[np.int64]]:
    """Confusion matrices whose classes are found the better the more a normal value says."""
    found = 1 / (1 + np.exp(-(0.8 + 0.6 * normal(random, clusters, size, icc))))
    matrices = {}
    for cluster, row in enumerate(found):
        for frame, share in enumerate(row):
            matrix = np.zeros((CLASSES + 1, CLASSES), np.int64)
            for truth in range(CLASSES):
                wrong = (1 - share) / (CLASSES - 1)
                odds = [share if truth == seen else wrong for seen in range(CLASSES)]
                matrix[truth] = random.multinomial(200 * (truth + 1), odds)
            matrices[f"{cluster:02d}_{frame:03d}"] = matrix
    return matrices


def covered(
    draw: Callable[[np.random.Generator], Scores], metric: str, expected: float, repeats: int, seed: int = 0
) -> float:
    """How many of so many intervals, as a share, hold the expected value."""
    held = 0
    for repeat in range(repeats):
        low, high = draw(np.random.default_rng([seed, repeat])).interval(metric)
        held += low <= expected <= high
    return held / repeats


def of_mean(count: int, size: int, icc: float, clustered: bool) -> Callable[[np.random.Generator], Scores]:
    """Draws a mean of clustered items, with or without knowing the clusters."""
    ids = tuple(f"{cluster:02d}_{frame:03d}" for cluster in range(count) for frame in range(size))
    clusters = ItemClusters("sequences", {item: item[:2] for item in ids}) if clustered else None
    weights = weights_of(ids, clusters)
    protocol = {"clusters": {"by": "sequences", "n": count, "effective": count}} if clustered else {}

    def draw(random: np.random.Generator) -> Scores:
        metric = mean(normal(random, count, size, icc).ravel(), weights)
        return Scores("image", protocol, ids, len(ids), {"mean": metric})

    return draw


def of_unequal(sizes: Sequence[int], icc: float) -> Callable[[np.random.Generator], Scores]:
    """Draws a mean of items in clusters of these sizes."""
    ids = tuple(f"{cluster:02d}_{frame:03d}" for cluster, size in enumerate(sizes) for frame in range(size))
    clusters = ItemClusters("sequences", {item: item[:2] for item in ids})
    weights, places = weights_of(ids, clusters), [int(item[:2]) for item in ids]

    def draw(random: np.random.Generator) -> Scores:
        shared = random.normal(0, math.sqrt(icc), len(sizes))[places]
        metric = mean(shared + random.normal(0, math.sqrt(1 - icc), len(ids)), weights)
        return Scores("image", of_clusters(clusters, ids), ids, len(ids), {"mean": metric})

    return draw


def of_frames(count: int, size: int, icc: float, clustered: bool) -> Callable[[np.random.Generator], Scores]:
    """Likewise the class IoU of matrices."""

    def draw(random: np.random.Generator) -> Scores:
        matrices = frames(random, count, size, icc)
        clusters = ItemClusters("sequences", {item: item[:2] for item in matrices}) if clustered else None
        return confusion_scores("fcn", matrices, "strict", len(matrices), {}, clusters)

    return draw


def true_iou(icc: float) -> float:
    """The class IoU of very many frames."""
    made = frames(np.random.default_rng(99), 4000, 5, icc)
    summed = {"all": np.sum(list(made.values()), axis=0)}
    return confusion_scores("fcn", summed, "strict", 1, {}).metrics["class_iou"].value


@pytest.mark.long
def test_intervals_of_means_hold_the_true_one_where_frames_of_a_sequence_are_alike() -> None:
    assert covered(of_mean(4, 25, 0.3, clustered=True), "mean", 0, 200) >= 0.92
    assert covered(of_mean(4, 25, 0.3, clustered=False), "mean", 0, 100) < 0.6


@pytest.mark.long
@pytest.mark.parametrize("sizes", [[5] * 9 + [100], [3, 3, 3, 3, 5, 5, 8, 10, 20, 40]])
def test_intervals_of_means_hold_the_true_one_where_clusters_are_of_unequal_sizes(sizes: list[int]) -> None:
    assert covered(of_unequal(sizes, 0.3), "mean", 0, 200) >= 0.92  # with one degree of freedom less than clusters .88


def test_unequal_clusters_count_as_so_many_equal_ones() -> None:
    sizes = [1, 1, 1, 1, 1, 5]  # 10 items: 100 / 30
    made = of_unequal(sizes, 0.0)(np.random.default_rng(0))
    assert made.units == 6
    assert made.worth == pytest.approx(10 / 3)
    assert made.clusters is not None
    said = (
        "6 clusters of items (sequences), with as much information as 3.3 equal ones: too few for meaningful intervals"
    )
    assert made.clusters.doubt.startswith(said)
    low, high = made.interval("mean")
    replicates = made.metrics["mean"].replicates
    half = scipy.stats.t.ppf(0.975, 10 / 3 - 1) * math.sqrt(replicates.var() * 6 / 5)
    assert (low, high) == pytest.approx(
        (made.metrics["mean"].value - half, made.metrics["mean"].value + half), rel=1e-5
    )
    equal = of_unequal([5] * 5, 0.3)(np.random.default_rng(0)).clusters
    assert equal is not None
    assert not equal.doubt


def test_one_cluster_of_nearly_all_items_leaves_one_degree_of_freedom() -> None:
    made = of_unequal([97, 1, 1, 1], 0.0)(np.random.default_rng(0))  # worth 1.06: t of 0.06 degrees is 1e19
    low, high = made.interval("mean")
    deviation = math.sqrt(made.metrics["mean"].replicates.var() * 4 / 3)
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, 1) * deviation, rel=1e-5)


@pytest.mark.long
def test_intervals_of_iou_hold_the_true_one_where_frames_of_a_sequence_are_alike() -> None:
    assert covered(of_frames(4, 25, 0.3, clustered=True), "class_iou", true_iou(0.3), 100) >= 0.92


def test_distances_of_distributions_move_by_cluster() -> None:
    random = np.random.default_rng(5)
    real = random.normal(size=(40, 8)).astype(np.float32)
    outputs = (real + 0.3 + np.repeat(random.normal(size=(8, 8)), 5, axis=0)).astype(np.float32)
    ids = [f"{index:02d}" for index in range(40)]
    clusters = ItemClusters("fives", {item: str(index // 5) for index, item in enumerate(ids)})
    for score in (score_fid, score_kid):
        features = ItemFeatures(ids, outputs, real, 40, {})
        together, alone = score(features._replace(clusters=clusters)), score(features)
        name = together.scorer
        assert together.units == 8
        assert together.metrics[name].value == alone.metrics[name].value
        wide, narrow = together.interval(name), alone.interval(name)
        assert wide.high - wide.low > narrow.high - narrow.low
        assert "clusters of items" in str(together.protocol["interval"])


def test_scores_say_how_many_are_drawn_and_refuse_clusters_that_cannot_be() -> None:
    metric = Metric(1.0, np.ones(4), np.ones(6))
    assert Scores("image", {}, IDS, 6, {"l1": metric}).units == 6
    with pytest.raises(ValueError, match="expected by"):
        Scores("image", {"clusters": 3}, IDS, 6, {"l1": metric})
    with pytest.raises(ValueError, match="7 clusters of 6 items"):
        Scores("image", {"clusters": {"by": "x", "n": 7, "effective": 7}}, IDS, 6, {"l1": metric}).check()
