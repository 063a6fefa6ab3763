"""Scores with intervals from the confusion matrices of a run's items, for every scorer that has such matrices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.protocol import RULES, Counts, FcnScores, Protocol, counted, scores
from p2pbench.datasets.clusters import ItemClusters, of_clusters
from p2pbench.errors import UserError
from reports.store import bootstrap, variance
from reports.store.bootstrap import NO_INTERVAL, Interval
from reports.store.scores import Metric, Scores

METRICS = ("pixel_accuracy", "class_accuracy", "class_iou")


class Compared(NamedTuple):
    """One output against its labels.

    Attributes:
        counts: The confusion matrix (classes + 1, channels).
        size: Of the output, width by height.
        changed: What had to be done to make it RGB of 8 bits; "" for nothing.
    """

    counts: NDArray[np.int64]
    size: str
    changed: str


class ClassRow(NamedTuple):
    """What the scores say about one class; NaN where it is undefined, as strict accuracy of an absent class is.

    There is no interval where fewer than two items, or clusters of them, have a score of the class.

    Attributes:
        name: The class.
        accuracy: The share of its true pixels that were predicted as it, 0..1.
        accuracy_interval: Its 95 % interval over items.
        iou: Intersection over union with the truth, 0..1.
        iou_interval: Likewise.
        pixels: How many pixels of the truth are of this class, dropped images included.
        images: How many images it occurs in.
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
    """The three means over classes and pixels of a run, with 95 % intervals over items, and of each item alone.

    Matrices are summed over the items, and over each replicate's items, before anything is divided. Items without a
    labelled pixel have no score and are left out. Items that the official protocol drops stay, as they are part of what
    was scored, but their own scores are NaN, and so are all where every one is dropped. A draw of dropped items alone
    has no score either; it says nothing new and gets that of all.

    Args:
        scorer: The scorer's name.
        matrices: By item id, as `fcn.confusion.confusion` makes them, all of one shape.
        protocol_name: By which rules.
        n_expected: How many items the split has.
        protocol: The other choices that change the scores; the rules are added to them.
        clusters: Which items are drawn together, if any.

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
        # Of means over classes that few items have, draws show too little variance and no bias (docs/statistics.md).
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
    """The scores of each class, in the order of the classes' indices.

    Args:
        matrices: By item id, as `fcn.confusion.confusion` makes them, all of one shape.
        protocol_name: By which rules.
        classes: The names of the scored classes, as `LabelTable.classes` has them.
        clusters: Which items are drawn together, if any.

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
    """What is drawn: names and counts of the items, or of the clusters that they are of."""
    if clusters is None:
        return ids, counts
    names, places = bootstrap.grouped(ids, clusters.of)
    summed = np.zeros((len(names), *counts.shape[1:]), counts.dtype)
    np.add.at(summed, places, counts)
    return names, summed


def _drawn(names: Sequence[str], counts: Counts, protocol: Protocol) -> FcnScores:
    """The scores of every bootstrap draw of the items, or clusters."""
    weights = bootstrap.item_weights(names)
    # An image's counts are exact in float32 up to 2**24 pixels; sums over images are to seven digits.
    summed = weights @ counts.reshape(len(names), -1).astype(np.float32)
    return _of_parts(summed.reshape(-1, *counts.shape[1:]), counts.sum(axis=0), protocol)


def _left_out(counts: Counts, protocol: Protocol) -> FcnScores:
    """The scores of all items, or clusters, but one, for each one."""
    whole = counts.sum(axis=0)
    return _of_parts(whole - counts, whole, protocol)


def _of_parts(parts: Counts, whole: Counts, protocol: Protocol) -> FcnScores:
    """The scores of parts of the items; a class that a part does not have is left out of its means.

    So it is by strict rules. By official ones such a class would count 0 there, as if it were not found: the means are
    over those of the whole that the part has, and cost what the classes cost that the whole does not have.
    """
    found = scores(parts, protocol)
    if protocol == "strict":
        return found
    classes = whole.shape[-2]

    def mean(values: NDArray[np.float64], parts: Counts, whole: Counts) -> tuple[NDArray[np.float64], ...]:
        known = np.where(parts > 0, values, np.nan)
        return known, np.nanmean(known, axis=-1) * np.count_nonzero(whole) / classes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of parts without any class
        accuracies, accuracy = mean(found.accuracies, _true(parts), _true(whole))
        ious, iou = mean(found.ious, _true_or_predicted(parts), _true_or_predicted(whole))
    return FcnScores(found.pixel_accuracy, accuracy, iou, accuracies, ious)


def _true(counts: Counts) -> Counts:
    return np.asarray(counts.sum(axis=-1))


def _true_or_predicted(counts: Counts) -> Counts:
    classes = counts.shape[-2]
    found = counts[..., :classes].sum(axis=-2) - np.diagonal(counts, axis1=-2, axis2=-1)
    return np.asarray(_true(counts) + found)


def _interval(value: float, left_out: NDArray[np.floating], of_each: NDArray[np.floating]) -> Interval:
    """That of a class; none where fewer than two items, or clusters, have the class."""
    having = int(np.count_nonzero(~np.isnan(of_each)))
    if having < 2:
        return NO_INTERVAL
    return variance.share_interval(float(value), bootstrap.jackknife(left_out, float(value)), having - 1)
