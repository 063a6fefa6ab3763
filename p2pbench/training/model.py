"""What is trained: the networks and their optimizers, built from a run's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from p2pbench import __version__
from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Channels
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.scale import full_range
from p2pbench.networks.init import initialise
from p2pbench.networks.patchgan import discriminator
from p2pbench.networks.unet import DROPOUT_BLOCKS, Generator, depth_for
from p2pbench.training.adam import Adam
from p2pbench.training.card import Architecture, GeneratorCard
from p2pbench.training.randomness import Purpose, torch_seed


@dataclass(frozen=True)
class Model:
    """A generator, its discriminator where the objective has one, and an Adam for each."""

    generator: Generator
    discriminator: nn.Module | None
    generator_adam: Adam
    discriminator_adam: Adam | None

    def parts(self) -> Iterator[tuple[str, nn.Module | Adam]]:
        """All that has a state, by name."""
        for name in ("generator", "discriminator", "generator_adam", "discriminator_adam"):
            part = getattr(self, name)
            if part is not None:
                yield name, part

    def set_learning_rate(self, rate: float) -> None:
        """Give both optimizers a learning rate."""
        for adam in self.adams():
            adam.set_rate(rate)

    def adams(self) -> Iterator[Adam]:
        """The optimizers that there are."""
        yield self.generator_adam
        if self.discriminator_adam is not None:
            yield self.discriminator_adam


def architecture(config: RunConfig, channels: Channels) -> Architecture:
    """The generator that the settings ask for."""
    return Architecture(
        input_channels=channels.input,
        output_channels=channels.output,
        depth=depth_for(config.image_size),
        ngf=config.ngf,
        skips=config.generator == "unet",
        bottleneck_norm=config.bottleneck_norm,
        dropout_blocks=DROPOUT_BLOCKS,
    )


def make_card(config: RunConfig, dataset: Dataset, channels: Channels) -> GeneratorCard:
    """The card of a run's generator."""
    return GeneratorCard(
        architecture=architecture(config, channels),
        dataset=dataset.name,
        direction=dataset.direction,
        image_size=config.image_size,
        input_range=config.input_range or full_range(channels.input_dtype),
        input_bits=8 if channels.input_dtype == np.uint8 else 16,
        output_range=config.output_range or full_range(channels.output_dtype),
        output_bits=8 if channels.output_dtype == np.uint8 else 16,
        test_dropout=config.test_dropout,
        test_batch_norm=config.test_batch_norm,
        seed=config.seed,
        source=f"p2pbench {__version__}",
    )


def build_discriminator(config: RunConfig, channels: Channels) -> nn.Module | None:
    """The discriminator that the settings ask for, if any; a conditional one sees the input too."""
    if not config.adversarial:
        return None
    seen = channels.output + (channels.input if config.conditional else 0)
    return discriminator(seen, receptive_field=config.receptive_field, ndf=config.ndf)


def build(config: RunConfig, channels: Channels, device: torch.device) -> Model:
    """Networks with weights drawn from the run's seed, ready to be trained.

    Weights are channels-last on a GPU, whose convolutions of bfloat16 want them so; on a CPU the discriminator's
    alone, since the generator gains nothing (benchmarks/RESULTS.md).
    """
    random = torch.Generator().manual_seed(torch_seed(config.seed, Purpose.WEIGHTS))
    generator = architecture(config, channels).build()
    judge = build_discriminator(config, channels)
    for network in (generator, judge):
        if network is not None:
            initialise(network, random)
            network.to(device)
            if device.type == "cuda" or network is judge:
                network.to(memory_format=torch.channels_last)

    def adam(network: nn.Module) -> Adam:
        betas = (config.beta1, config.beta2)
        return Adam(network.parameters(), rate=config.learning_rate, betas=betas, device=device)

    return Model(generator, judge, adam(generator), None if judge is None else adam(judge))
