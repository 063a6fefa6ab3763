"""Random crops and flips of training samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Augmentation(NamedTuple):
    """Crop position and flip of one item."""

    top: int
    left: int
    flip: bool


def draw(
    random: np.random.Generator, count: int, *, load_side: int, image_size: int, mirror: bool, crop_from_one: bool
) -> list[Augmentation]:
    """Draw crops and flips for `count` items.

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


def apply(pictures: Iterable[Tensor], augmentations: Sequence[Augmentation], image_size: int) -> Tensor:
    """Crop and flip pictures (C, H, W) or label maps (1, H, W).

    Each has its own augmentation; the result is (B, C, S, S).
    """
    cut = []
    for picture, (top, left, flip) in zip(pictures, augmentations, strict=True):
        square = picture[:, top : top + image_size, left : left + image_size]
        cut.append(square.flip(-1) if flip else square)
    return torch.stack(cut)


def as_rows(items: Sequence[int], augmentations: Sequence[Augmentation]) -> list[list[int]]:
    """Make the rows for `gather`, one per item: item, top, left, flip."""
    return [[item, *map(int, augmentation)] for item, augmentation in zip(items, augmentations, strict=True)]


def gather(pictures: Tensor, rows: Tensor, image_size: int) -> Tensor:
    """Crop and flip as `apply`, by one indexing operation.

    It runs on the pictures' device, without waiting for it.

    Args:
        pictures: all items (N, C, H, W).
        rows: of the batch (B, 4), integers on the same device, as `as_rows` makes them.
        image_size: S.

    Returns:
        (B, C, S, S), channels-last in memory.
    """
    # All indices are tensors on the device, so that the operation can be part of a CUDA graph, whose crops change by
    # step.
    item, top, left, flip = rows.unbind(1)
    along = torch.arange(image_size, device=rows.device)
    across = torch.where(flip[:, None] == 1, image_size - 1 - along, along)
    down, right = top[:, None] + along, left[:, None] + across
    return pictures[item[:, None, None], :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
