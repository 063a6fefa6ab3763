"""Toy photos whose colours tell the classes, to train on in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fcn.labels import IGNORE
from fcn.scoring import Example, Loaded

COLOURS = np.array([(40, 60, 200), (200, 50, 40), (60, 180, 70), (230, 220, 60)], np.uint8)
CLASSES = len(COLOURS)
Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def scene(seed: int, height: int = 48, width: int = 64) -> Picture:
    """Blobs whose colours tell their class, on a background of class 0, with some unlabelled pixels."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.uint8)
    for _ in range(6):
        y, x = rng.integers(0, height), rng.integers(0, width)
        tall, wide = rng.integers(8, 18, 2)
        labels[((row - y) / tall) ** 2 + ((column - x) / wide) ** 2 < 1] = rng.integers(0, CLASSES)
    photo = np.clip(COLOURS[labels] + rng.normal(0, 15, (height, width, 3)), 0, 255).astype(np.uint8)
    labels[rng.random((height, width)) < 0.05] = IGNORE
    return photo, labels


def example(picture: Picture, id_: str = "", loads: list[str] | None = None) -> Example:
    def load() -> Loaded:
        if loads is not None:
            loads.append(id_)
        return Loaded(*picture)

    return Example(id_, lambda: id_, load)


def scenes(seeds: Sequence[int], height: int = 48, width: int = 64, loads: list[str] | None = None) -> list[Example]:
    return [example(scene(seed, height, width), f"scene {seed}", loads) for seed in seeds]


def labelled(*rows: Sequence[int]) -> Example:
    labels = np.array(rows, np.uint8)
    return example((np.zeros((*labels.shape, 3), np.uint8), labels), "labelled")
