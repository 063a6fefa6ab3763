"""A stage of convolutions and its pool computed in bands of rows, so that what lies between stays in the cache.

At 1024x2048 the first stages make maps of 700 MB each. Made whole, they go through memory, freshly mapped each time,
once a layer; in bands only what is pooled is ever whole. The results are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 32  # of the last convolution in a band, even


def pooled(x: Tensor, layers: Sequence[nn.Conv2d]) -> Tensor:
    """Convolutions of stride 1, each with a ReLU, and then a 2x2 max-pool of stride 2 that rounds up; no gradients.

    Args:
        x: (B, C, H, W).
        layers: 3x3 convolutions with a padding of 0 or 1.
    """
    height, width = (side + sum(2 * _padding(layer) - 2 for layer in layers) for side in x.shape[-2:])
    shape = (x.shape[0], layers[-1].out_channels, -(-height // 2), -(-width // 2))
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for first in range(0, height, ROWS):
        band = _rows(x, layers, first, min(first + ROWS, height))
        result[..., first // 2 : (first + ROWS) // 2, :] = functional.max_pool2d(band, 2, ceil_mode=True)
    return result


def _rows(x: Tensor, layers: Sequence[nn.Conv2d], first: int, last: int) -> Tensor:
    """The rows `first` to `last` of what the layers make of x, from the rows before that they need."""
    if not layers:
        return x[..., first:last, :]
    *before, layer = layers
    padding = _padding(layer)
    height = x.shape[-2] + sum(2 * _padding(other) - 2 for other in before)
    top, bottom = first - padding, last - padding + 2
    begin, end = max(top, 0), min(bottom, height)
    rows = _rows(x, before, begin, end)
    if (begin, end) != (top, bottom):  # at the edge of the map: the layer's own padding
        rows = functional.pad(rows, (0, 0, begin - top, bottom - end))
    convolved = functional.conv2d(rows, layer.weight, layer.bias, padding=(0, padding))
    return functional.relu(convolved, inplace=True)


def _padding(layer: nn.Conv2d) -> int:
    padding = layer.padding[0]
    assert isinstance(padding, int)
    return padding
