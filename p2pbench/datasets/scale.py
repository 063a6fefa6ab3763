"""Between the values of pictures and the [-1, 1] of networks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

Range = tuple[float, float]


def full_range(dtype: DTypeLike) -> Range:
    """All values of 8 or 16 bits: (0, 255) or (0, 65535)."""
    return (0.0, float(np.iinfo(np.dtype(dtype).type).max))


def to_network(values: Tensor, ends: Range) -> Tensor:
    """Picture values as float32, the range's ends becoming -1 and 1; values outside it are clipped."""
    low, high = ends
    return values.to(torch.float32).sub_(low).mul_(2 / (high - low)).sub_(1).clamp_(-1, 1)


def from_network(output: Tensor, ends: Range, dtype: DTypeLike) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """One output (C, H, W) in [-1, 1] as a picture (H, W, C): the inverse of `to_network`, rounded."""
    low, high = ends
    values = (output.detach().double().cpu() + 1) * ((high - low) / 2) + low
    limit = np.iinfo(np.dtype(dtype).type).max
    picture: NDArray[np.uint8] | NDArray[np.uint16] = (
        values.round().clamp(0, limit).permute(1, 2, 0).numpy().astype(dtype)
    )
    return picture
