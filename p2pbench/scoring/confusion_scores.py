"""Scores with intervals from confusion matrices of a run's items."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.score_protocols import RULES, Counts, FcnScores, Protocol, counted, scores
from p2pbench.datasets.clusters import ItemClusters, of_clusters
from p2pbench.errors import UserError
from reports.store import bootstrap, variance
from reports.store.bootstrap import NO_INTERVAL, Interval
from reports.store.scores import Metric, Scores

METRICS = ("pixel_accuracy", "class_accuracy", "class_iou")


class ClassRow(NamedTuple):
    """Scores of one class.

    NaN if undefined, such as the strict accuracy of an absent class.

    There is no interval if fewer than two items, or clusters of them, have a score of the class.

    Attributes:
        name: The class.
        accuracy: Share of its true pixels predicted as this class, 0..1.
        accuracy_interval: 95 % interval over items.
        iou: Intersection over union with the truth, 0..1.
        iou_interval: 95 % interval over items.
        pixels: Number of true pixels of the class, dropped images included.
        images: Number of images with the class.
    """

    name: str
    accuracy: float
    accuracy_interval: Interval
    iou: float
    iou_interval: Interval
    pixels: int
    images: int


def confusion_scores(
    scorer: str,
    matrices: Mapping[str, NDArray[np.int64]],
    protocol_name: Protocol,
    n_expected: int,
    protocol: Mapping[str, object],
    clusters: ItemClusters | None = None,
) -> Scores:
    """Compute pixel accuracy, class accuracy and class IoU of a run.

    With 95 % intervals over items.

    Matrices are summed over the items, and over each replicate's items, before anything is divided. Items without a
    labelled pixel have no score and are left out. Items that the official protocol drops stay, as they are part of what
    was scored, but their own scores are NaN, and so are all if every item is dropped. A draw of dropped items only has
    no score either; it carries no information and gets that of all items.

    Args:
        scorer: The scorer's name.
        matrices: By item id, as `fcn.confusion.confusion` makes them, all of one shape.
        protocol_name: The rules, "official" or "strict".
        n_expected: The number of items in the split.
        protocol: The other choices that change the scores; the rules are added to them.
        clusters: Items that are drawn together, if any.

    Raises:
        UserError: No item has a labelled pixel.
    """
    ids, stack = _labelled(matrices)
    counts = counted(stack, protocol_name)
    value, per_item = scores(counts.sum(axis=0), protocol_name), scores(counts, protocol_name)
    names, together = _together(ids, counts, clusters)
    drawn, left_out = _drawn(names, together, protocol_name), _left_out(together, protocol_name)
    units = int(np.count_nonzero(~np.isnan(scores(together, protocol_name).pixel_accuracy)))
    metrics = {}
    for name in METRICS:
        of_all, draws = float(getattr(value, name)), getattr(drawn, name)
        # Of means over classes that few items have, the bootstrap variance is too small (docs/statistics.md): draws are
        # scaled to the variance of the jackknife.
        spread = bootstrap.jackknife(getattr(left_out, name), of_all)
        draws = bootstrap.scaled(np.where(np.isnan(draws), of_all, draws), of_all, spread, units)
        metrics[name] = Metric(of_all, draws if units > 1 else np.full_like(draws, np.nan), getattr(per_item, name))
    rules = {**RULES[protocol_name], "unlabelled_items": "left out (items whose pixels are all ignored)"}
    return Scores(scorer, {**protocol, **rules, **of_clusters(clusters, ids)}, ids, n_expected, metrics)


def class_rows(
    matrices: Mapping[str, NDArray[np.int64]],
    protocol_name: Protocol,
    classes: Sequence[str],
    clusters: ItemClusters | None = None,
) -> list[ClassRow]:
    """Compute the scores of each class, in the order of class indices.

    Args:
        matrices: By item id, as `fcn.confusion.confusion` makes them, all of one shape.
        protocol_name: The rules, "official" or "strict".
        classes: The names of the scored classes, as in `LabelTable.classes`.
        clusters: Items that are drawn together, if any.

    Raises:
        UserError: No item has a labelled pixel.
    """
    ids, stack = _labelled(matrices)
    counts = counted(stack, protocol_name)
    _, together = _together(ids, counts, clusters)
    value, of_each = scores(counts.sum(axis=0), protocol_name), scores(together, protocol_name)
    left_out = _left_out(together, protocol_name)
    true_pixels = stack[:, :-1].sum(axis=-1)
    return [
        ClassRow(
            name,
            float(value.accuracies[index]),
            _interval(value.accuracies[index], left_out.accuracies[:, index], of_each.accuracies[:, index]),
            float(value.ious[index]),
            _interval(value.ious[index], left_out.ious[:, index], of_each.ious[:, index]),
            int(true_pixels[:, index].sum()),
            int((true_pixels[:, index] > 0).sum()),
        )
        for index, name in enumerate(classes)
    ]


def _labelled(matrices: Mapping[str, NDArray[np.int64]]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The ids, sorted, and matrices (n, classes + 1, channels) of the items that have a labelled pixel."""
    ids = tuple(id_ for id_ in sorted(matrices) if matrices[id_][:-1].any())
    if not ids:
        raise UserError(
            f"none of {len(matrices)} items has a pixel of a scored class in its labels; expected some, so check that "
            "the dataset's labels are those of the pictures"
        )
    return ids, np.stack([matrices[id_] for id_ in ids])


def _together(ids: Sequence[str], counts: Counts, clusters: ItemClusters | None) -> tuple[Sequence[str], Counts]:
    """Names and counts of the units that are drawn: items, or clusters of items."""
    if clusters is None:
        return ids, counts
    names, indices = bootstrap.grouped(ids, clusters.of)
    summed = np.zeros((len(names), *counts.shape[1:]), counts.dtype)
    np.add.at(summed, indices, counts)  # not `summed[indices] += counts`, which adds one item per repeated index
    return names, summed


def _drawn(names: Sequence[str], counts: Counts, protocol: Protocol) -> FcnScores:
    """Scores of every bootstrap draw of items or clusters."""
    weights = bootstrap.item_weights(names)
    # An image's counts are exact in float32 up to 2**24 pixels; sums over images are to seven digits.
    summed = weights @ counts.reshape(len(names), -1).astype(np.float32)
    return _of_parts(summed.reshape(-1, *counts.shape[1:]), counts.sum(axis=0), protocol)


def _left_out(counts: Counts, protocol: Protocol) -> FcnScores:
    """Leave-one-out scores for the jackknife over items or clusters."""
    whole = counts.sum(axis=0)
    return _of_parts(whole - counts, whole, protocol)


def _of_parts(parts: Counts, whole: Counts, protocol: Protocol) -> FcnScores:
    """Scores of subsets of the items, with means over the classes that occur in the subset.

    The strict rules are so already. By the official rules an absent class counts 0, which in a subset would look as if
    the class were never found. So means are over the classes of the whole set that the subset has, times the share of
    all classes that the whole set has: the cost of classes absent from the whole set stays.
    """
    of_parts = scores(parts, protocol)
    if protocol == "strict":
        return of_parts
    classes = whole.shape[-2]

    def mean(values: NDArray[np.float64], parts: Counts, whole: Counts) -> tuple[NDArray[np.float64], ...]:
        known = np.where(parts > 0, values, np.nan)
        return known, np.nanmean(known, axis=-1) * np.count_nonzero(whole) / classes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of parts without any class
        accuracies, accuracy = mean(of_parts.accuracies, _true(parts), _true(whole))
        ious, iou = mean(of_parts.ious, _true_or_predicted(parts), _true_or_predicted(whole))
    return FcnScores(of_parts.pixel_accuracy, accuracy, iou, accuracies, ious)


def _true(counts: Counts) -> Counts:
    return np.asarray(counts.sum(axis=-1))


def _true_or_predicted(counts: Counts) -> Counts:
    classes = counts.shape[-2]
    false_positives = counts[..., :classes].sum(axis=-2) - np.diagonal(counts, axis1=-2, axis2=-1)
    return np.asarray(_true(counts) + false_positives)


def _interval(value: float, left_out: NDArray[np.floating], of_each: NDArray[np.floating]) -> Interval:
    """95 % interval of a class's score.

    None if fewer than two items or clusters have the class.
    """
    having = int(np.count_nonzero(~np.isnan(of_each)))
    if having < 2:
        return NO_INTERVAL
    return variance.share_interval(float(value), bootstrap.jackknife(left_out, float(value)), having - 1)
