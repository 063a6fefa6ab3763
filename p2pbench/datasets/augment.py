"""The paper's jitter and mirror: one crop and one flip for input, target and labels alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Augmentation(NamedTuple):
    """Where one item is cropped and whether it is flipped."""

    top: int
    left: int
    flip: bool


def draw(
    random: np.random.Generator, count: int, *, load_side: int, image_size: int, mirror: bool, crop_from_one: bool
) -> list[Augmentation]:
    """Crops and flips for `count` items.

    The offset of a crop is uniform over all that fit; the released code never draws 0 (`crop_from_one`).
    """
    spare = load_side - image_size
    first = 1 if crop_from_one and spare > 0 else 0
    offsets = random.integers(first, spare, size=(count, 2), endpoint=True)
    flips = random.random(count) < 0.5
    return [
        Augmentation(int(top), int(left), bool(flip) and mirror)
        for (top, left), flip in zip(offsets, flips, strict=True)
    ]


def apply(pictures: Tensor, augmentations: Sequence[Augmentation], image_size: int) -> Tensor:
    """Crop and flip pictures (B, C, H, W) or labels (B, 1, H, W), each by its own augmentation."""
    cut = []
    for picture, (top, left, flip) in zip(pictures, augmentations, strict=True):
        square = picture[:, top : top + image_size, left : left + image_size]
        cut.append(square.flip(-1) if flip else square)
    return torch.stack(cut)
