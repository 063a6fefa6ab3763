"""Gradients of a network as it is trained (batch norm, channels last) against finite differences, in float64."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fcn.network import FCN, FcnArchitecture, draw_weights, with_batch_norm
from tests.finite_differences import check_gradients


def trained_network(stride: Literal[4, 8]) -> FCN:
    network = FCN(FcnArchitecture(channels=4, width=1 / 32, hidden=8, stride=stride, padding="layers"))
    draw_weights(network, torch.Generator().manual_seed(0))
    with_batch_norm(network)
    return network.train().to(memory_format=torch.channels_last).double()


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stride", [4, 8])
def test_gradients_are_finite_differences(stride: Literal[4, 8], batch: int) -> None:
    network = trained_network(stride)
    random = torch.Generator().manual_seed(1)
    images = torch.randn(batch, 3, 64, 64, generator=random, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 4, (batch, 64, 64), generator=random)

    def loss() -> Tensor:
        rows = network(images).permute(0, 2, 3, 1).reshape(-1, 4)
        return functional.cross_entropy(rows, labels.reshape(-1))

    check_gradients(network, loss)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
