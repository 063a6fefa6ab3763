"""The scores worked out plainly from pixels, and label maps to try them on.

Sources: docs/paper-protocol.md#script and docs/paper-protocol.md#quirks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fcn.labels import IGNORE

CLASSES = 19

Maps = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""Truth and prediction of some images."""


def random_maps(rng: np.random.Generator, images: int, beyond: float) -> Maps:
    """Maps that agree on half of their pixels, with ignored ones, rare and absent classes, and channel 19.

    Args:
        rng: The randomness.
        images: How many.
        beyond: The share of pixels that are predicted as channel 19.
    """
    present = rng.permutation(CLASSES)[: rng.integers(1, CLASSES + 1)]
    share = rng.dirichlet(np.full(len(present) + 1, 0.5))
    maps = []
    for _ in range(images):
        shape = rng.integers(8, 40, 2)
        truth = rng.choice(np.array([*present, IGNORE], np.uint8), shape, p=share)
        noise = rng.integers(0, CLASSES, shape, dtype=np.uint8)
        prediction = np.where((rng.random(shape) < 0.5) & (truth != IGNORE), truth, noise)
        prediction[rng.random(shape) < beyond] = CLASSES
        maps.append((truth, prediction))
    return maps


def official(maps: Maps) -> tuple[list[float], int]:
    """Pixel accuracy, class accuracy and class IoU as the published script computes them; how many images it drops.

    NaN where no pixel counts; the script prints 0 there.
    """
    total = np.zeros((CLASSES, CLASSES))
    images_dropped = 0
    for truth, prediction in maps:
        scored = truth < CLASSES
        cells = CLASSES * truth[scored].astype(int) + prediction[scored]
        counts = np.bincount(cells, minlength=CLASSES * CLASSES)
        if len(counts) == CLASSES * CLASSES:
            total += counts.reshape(CLASSES, CLASSES)
        else:
            images_dropped += 1
    if not total.any():
        return [float("nan")] * 3, images_dropped
    right, rows, columns = np.diag(total), total.sum(axis=1), total.sum(axis=0)
    accuracies, ious = right / (rows + 1e-12), right / (rows + columns - right + 1e-12)
    return [right.sum() / (total.sum() + 1e-12), accuracies.mean(), ious.mean()], images_dropped


def strict(maps: Maps) -> list[float]:
    """The same by the strict protocol, class by class from the pixels of all images; NaN where none is labelled.

    IoU is the mean over the classes of truth and prediction, accuracy that over the classes of the truth.
    """
    truth = np.concatenate([pair[0].ravel() for pair in maps])
    prediction = np.concatenate([pair[1].ravel() for pair in maps])[truth != IGNORE]
    truth = truth[truth != IGNORE]
    if not len(truth):
        return [float("nan")] * 3
    accuracies, ious = [], []
    for class_ in range(CLASSES):
        of_class, as_class = truth == class_, prediction == class_
        if of_class.any():
            accuracies.append((of_class & as_class).sum() / of_class.sum())
        if (of_class | as_class).any():
            ious.append((of_class & as_class).sum() / (of_class | as_class).sum())
    return [float((truth == prediction).mean()), float(np.mean(accuracies)), float(np.mean(ious))]
