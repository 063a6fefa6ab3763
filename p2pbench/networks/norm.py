"""Batch normalisation and dropout as the paper uses them, in training and in test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

BatchNormMode = Literal["batch", "running"]


class BottleneckNorm(nn.BatchNorm2d):
    """Batch normalisation that also takes a single value a channel, as at a 1x1 bottleneck with batch 1.

    The mean of one value is the value, so it is zeroed: what happened in all of the paper's batch-1 runs
    (docs/paper-protocol.md#editions). PyTorch refuses such a batch; this gives the shift alone, and a gradient of zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return (x - x) * self.weight[:, None, None] + self.bias[:, None, None]
        return super().forward(x)


@contextmanager
def for_testing(network: nn.Module, *, dropout: bool, batch_norm: BatchNormMode) -> Iterator[None]:
    """Set a network's dropout and batch normalisation apart for testing; on leaving, all is as it was.

    `.eval()` moves both together, and the paper tests with both as in training
    (docs/paper-protocol.md#training): dropout is the generator's only noise and batch normalisation takes the test
    batch's statistics. Running statistics are read at most, never changed.
    """
    was_training = {module: module.training for module in network.modules()}
    momenta = {module: module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train(dropout)
        elif isinstance(module, nn.BatchNorm2d):
            module.train(batch_norm == "batch")
            module.momentum = 0.0
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training
        for norm, momentum in momenta.items():
            norm.momentum = momentum
