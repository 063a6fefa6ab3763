"""Pictures gathered into batches for a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures
from p2pbench.datasets.pictures import Picture
from p2pbench.metrics.missing import Missing
from reports.names import counted

Batch = tuple[NDArray[np.uint8 | np.uint16], ...]


def batches(items: Iterable[tuple[Picture, ...]], pixels: int) -> Iterator[Batch]:
    """Stack items, each of one or more pictures (H, W, C) of one form, into batches (N, H, W, C), in their order.

    Neighbours of the same size, channels and depth share a batch, of at most so many pixels unless one has more.
    """
    gathered: list[tuple[Picture, ...]] = []
    for item in items:
        one = item[0]
        if gathered:
            other = gathered[0][0]
            alike = (one.shape, one.dtype) == (other.shape, other.dtype)
            if not alike or (len(gathered) + 1) * one.shape[0] * one.shape[1] > pixels:
                yield _stack(gathered)
                gathered = []
        gathered.append(item)
    if gathered:
        yield _stack(gathered)


def rgb(picture: Picture, scorer: str) -> Picture:
    """A picture (H, W, 1 or 3) as RGB, grey repeated, of the same depth.

    Raises:
        Missing: it has other channels, of which nobody knows the colours.
    """
    if picture.shape[2] not in (1, 3):
        raise Missing(f"{scorer} sees RGB or grey, and these pictures have {counted(picture.shape[2], 'channel')}")
    return pictures.convert(picture, 3)


def _stack(items: list[tuple[Picture, ...]]) -> Batch:
    return tuple(np.stack(side) for side in zip(*items, strict=True))
