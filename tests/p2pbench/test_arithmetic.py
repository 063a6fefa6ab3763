"""Arithmetic of our own against the library's: whole networks, forward and backward, and whole training steps.

In float64, so that a difference is a fault and not rounding. A layer that equals the library's on its own may still be
wrong in a network: a view that it returns can meet a kernel that takes it for something else.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from p2pbench.config import ReceptiveField, RunConfig, run_config, smallest_image
from p2pbench.datasets.dataset import Channels
from p2pbench.networks.discriminator import patch_gan
from p2pbench.networks.generator import depth_for
from p2pbench.training.batches import Batch
from p2pbench.training.model import Model, build
from p2pbench.training.step import training_step
from tests.finite_differences import check_gradients
from tests.p2pbench.generating import generator_of

Network = TypeVar("Network", bound=nn.Module)

TOLERANCE = 1e-9
NOISE = 1e-3  # of the largest norm; far below are biases before batch norm, whose true gradient is 0
SIZES = (32, 64, 128, 256)
BATCHES = (1, 2)
CHANNELS = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
FORMATS = (torch.contiguous_format, torch.channels_last)


def library(network: Network) -> Network:
    """A copy of a network whose convolutions are the library's."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for layer in (nn.Conv2d, nn.ConvTranspose2d):
            if isinstance(module, layer):
                module.__class__ = layer
    return network


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    """Values between -1 and 1."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Largest relative difference of any tensor, by norms."""
    assert len(ours) == len(theirs) > 0
    smallest = NOISE * max(tensor.norm() for tensor in theirs)
    pairs = zip(ours, theirs, strict=True)
    return max(float((one - other).norm() / torch.maximum(other.norm(), smallest)) for one, other in pairs)


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Output of a network, then the gradients of x and of all weights, for a random gradient at the output."""
    x = x.clone().requires_grad_()
    made = network(x)
    return [made.detach(), *torch.autograd.grad(made, [x, *network.parameters()], random_tensor(*made.shape, seed=1))]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("skips", [True, False])
def test_generators(size: int, batch: int, skips: bool) -> None:
    torch.manual_seed(0)
    for bottleneck_norm in (False, True):
        ours = generator_of(
            depth=depth_for(size), ngf=4, skips=skips, bottleneck_norm=bottleneck_norm, dropout_blocks=()
        ).double()
        x = random_tensor(batch, 3, size, size)
        assert difference(gradients(ours, x), gradients(library(ours), x)) < TOLERANCE


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("receptive_field", get_args(ReceptiveField))
@pytest.mark.parametrize("memory_format", FORMATS)
def test_discriminators(receptive_field: ReceptiveField, batch: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours = patch_gan(6, receptive_field=receptive_field, ndf=4).double().to(memory_format=memory_format)
    plain = library(ours).to(memory_format=torch.contiguous_format)
    for size in SIZES:
        if size >= smallest_image(receptive_field):
            x = random_tensor(batch, 6, size, size)
            assert difference(gradients(ours, x), gradients(plain, x)) < TOLERANCE


def double(config: RunConfig) -> Model:
    """Networks and optimizers of a run, in float64."""
    model = build(config, CHANNELS, torch.device("cpu"))
    for network in (model.generator, model.discriminator):
        if network is not None:
            network.double()
    return model


def plain(config: RunConfig) -> Model:
    """The same of the library's layers, contiguous, with the library's Adam."""
    ours = double(config)
    networks = [library(network) for network in (ours.generator, ours.discriminator) if network is not None]
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
    betas = (config.beta1, config.beta2)
    adams: list[Any] = [torch.optim.Adam(net.parameters(), lr=config.learning_rate, betas=betas) for net in networks]
    return Model(networks[0], networks[1], adams[0], adams[1])  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.parametrize("batches", [(1,) * 5, (2,) * 5, (2, 2, 1, 2, 1)], ids=["1", "2", "last of one item"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("generator", ["unet", "encoder-decoder"])
def test_five_steps_of_training(generator: str, size: int, batches: tuple[int, ...]) -> None:
    settings = {"generator": generator, "image_size": size, "receptive_field": 16, "ngf": 4, "ndf": 4}
    config = run_config({**settings, "precision": "float32"}, "test")
    ours, theirs = double(config), plain(config)
    for step, batch in enumerate(batches):
        x, y = (random_tensor(batch, 3, size, size, seed=2 * step + part) for part in range(2))
        losses = []
        for model in (ours, theirs):
            torch.manual_seed(step)  # of dropout
            losses.append(training_step(model, Batch(x, y, None), config))
        assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    for (_, one), (_, other) in zip(ours.parts(), theirs.parts(), strict=True):
        if isinstance(one, nn.Module):
            state, expected = one.state_dict(), other.state_dict()
            assert all(torch.allclose(state[name], expected[name], TOLERANCE, TOLERANCE) for name in expected)
        else:
            for moment in ("exp_avg", "exp_avg_sq"):
                moments = [[s[moment] for s in adam.state_dict()["state"].values()] for adam in (one, other)]
                assert difference(*moments) < TOLERANCE


@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_are_finite_differences(batch: int) -> None:
    torch.manual_seed(0)
    network = generator_of(depth=5, ngf=4, skips=True, dropout_blocks=()).double()
    x, at_output = random_tensor(batch, 3, 32, 32), random_tensor(batch, 3, 32, 32, seed=1)
    check_gradients(network, lambda: torch.sum(network(x) * at_output))
