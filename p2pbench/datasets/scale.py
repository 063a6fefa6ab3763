"""Between the values of pictures and the [-1, 1] of networks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from reports.grids import shown

Range = tuple[float, float]
"""The values that are -1 and 1, black and white; a picture's values beyond them are clipped."""


def full_range(dtype: DTypeLike) -> Range:
    """All values of 8 or 16 bits: (0, 255) or (0, 65535)."""
    return (0.0, float(np.iinfo(np.dtype(dtype).type).max))


def within(picture: NDArray[np.uint8 | np.uint16], ends: Range | None) -> NDArray[np.float64]:
    """Picture values clipped to a range, less its lower end; as they are where none is declared."""
    values = picture.astype(np.float64)
    return values if ends is None else np.clip(values, *ends) - ends[0]


def span(dtype: DTypeLike, ends: Range | None) -> float:
    """The length of a range; 255 or 65535 where none is declared."""
    low, high = ends or full_range(dtype)
    return high - low


def declared(ends: Range | None) -> dict[str, str]:
    """The protocol's entry for a declared range; empty without one, so that fingerprints stay as they were."""
    return {} if ends is None else {"output_range": f"{shown(ends)} are black to white, values beyond are clipped"}


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
