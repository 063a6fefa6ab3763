"""Gradients held to the forward pass alone, for the case that a library's backward pass is what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

STEP = 1e-6


def check_gradients(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Assert that each weight's gradient is the slope of the loss along a random direction, in float64."""
    random = torch.Generator().manual_seed(2)
    gradients = torch.autograd.grad(loss(), list(network.parameters()))
    for (name, weight), gradient in zip(network.named_parameters(), gradients, strict=True):
        direction = torch.randn(weight.shape, generator=random, dtype=torch.float64)
        with torch.no_grad():
            above = float(_moved(weight, direction, STEP, loss))
            below = float(_moved(weight, direction, -2 * STEP, loss))
            weight.add_(direction, alpha=STEP)
        slope = (above - below) / (2 * STEP)
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-4), name


def _moved(weight: Tensor, direction: Tensor, step: float, loss: Callable[[], Tensor]) -> Tensor:
    weight.add_(direction, alpha=step)
    return loss()
