"""Scores with intervals from the confusion matrices of a run's items, for every scorer that has such matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.protocol import RULES, Counts, FcnScores, Protocol, counted, scores
from p2pbench.errors import UserError
from reports import bootstrap
from reports.bootstrap import NO_INTERVAL, Interval
from reports.scores import Metric, Scores

METRICS = ("pixel_accuracy", "class_accuracy", "class_iou")


class ClassRow(NamedTuple):
    """What the scores say about one class; NaN where it is undefined, as strict accuracy of an absent class is.

    There is no interval where fewer than two items have a score of the class.

    Attributes:
        name: The class.
        accuracy: The share of its true pixels that were predicted as it, 0..1.
        accuracy_interval: Its 95 % interval over the replicates in which it is defined.
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

    Raises:
        UserError: No item has a labelled pixel.
    """
    ids, stack = _labelled(matrices)
    counts = counted(stack, protocol_name)
    value, per_item = scores(counts.sum(axis=0), protocol_name), scores(counts, protocol_name)
    replicates = _replicates(ids, counts, protocol_name)
    metrics = {}
    for name in METRICS:
        of_all, drawn = float(getattr(value, name)), getattr(replicates, name)
        metrics[name] = Metric(of_all, np.where(np.isnan(drawn), of_all, drawn), getattr(per_item, name))
    rules = {**RULES[protocol_name], "unlabelled_items": "left out (items whose pixels are all ignored)"}
    return Scores(scorer, {**protocol, **rules}, ids, n_expected, metrics)


def class_rows(
    matrices: Mapping[str, NDArray[np.int64]], protocol_name: Protocol, classes: Sequence[str]
) -> list[ClassRow]:
    """The scores of each class, in the order of the classes' indices.

    Args:
        matrices: By item id, as `fcn.confusion.confusion` makes them, all of one shape.
        protocol_name: By which rules.
        classes: The names of the scored classes, as `LabelTable.classes` has them.

    Raises:
        UserError: No item has a labelled pixel.
    """
    ids, stack = _labelled(matrices)
    counts = counted(stack, protocol_name)
    value, per_item = scores(counts.sum(axis=0), protocol_name), scores(counts, protocol_name)
    replicates = _replicates(ids, counts, protocol_name)
    true_pixels = stack[:, :-1].sum(axis=-1)
    return [
        ClassRow(
            name,
            float(value.accuracies[index]),
            _interval(replicates.accuracies[:, index], per_item.accuracies[:, index]),
            float(value.ious[index]),
            _interval(replicates.ious[:, index], per_item.ious[:, index]),
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


def _replicates(ids: Sequence[str], counts: Counts, protocol: Protocol) -> FcnScores:
    """The scores of every bootstrap draw of the items."""
    weights = bootstrap.item_weights(ids)
    # An image's counts are exact in float32 up to 2**24 pixels; sums over images are to seven digits.
    summed = weights @ counts.reshape(len(ids), -1).astype(np.float32)
    return scores(summed.reshape(-1, *counts.shape[1:]), protocol)


def _interval(replicates: NDArray[np.floating], per_item: NDArray[np.floating]) -> Interval:
    """That of a class; none where fewer than two items have the class."""
    if np.count_nonzero(~np.isnan(per_item)) < 2:
        return NO_INTERVAL
    return bootstrap.interval(replicates[~np.isnan(replicates)])
