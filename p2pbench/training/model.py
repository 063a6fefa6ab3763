"""Networks and optimizers of a run, and their memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from p2pbench.config import SMALLEST_IMAGE, RunConfig, affecting
from p2pbench.datasets.dataset import Channels, Dataset
from p2pbench.datasets.transforms import full_range
from p2pbench.installation import VERSION
from p2pbench.networks.discriminator import initialise, patch_gan
from p2pbench.networks.generator import DROPOUT_BLOCKS, Generator, GeneratorArchitecture, depth_for
from p2pbench.training.generator_file import GeneratorCard
from p2pbench.training.optimizer import Adam
from p2pbench.training.seeding import Purpose, torch_seed

COPIES = 4  # of each weight: itself, its gradient, Adam's two moments
SPARE = 1.3  # factor for what kernels and gaps between blocks take beside the tensors
GRADIENTS_TOO = 2  # a map has a gradient of its size
WRONG_BY = 0.9  # share of the estimated bytes that surely do not fit, where the estimate did not


@dataclass(frozen=True)
class Model:
    """Generator and discriminator, if any, each with its Adam."""

    generator: Generator
    discriminator: nn.Module | None
    generator_adam: Adam
    discriminator_adam: Adam | None

    def parts(self) -> Iterator[tuple[str, nn.Module | Adam]]:
        """Yield all parts with a state, by name."""
        for name in ("generator", "discriminator", "generator_adam", "discriminator_adam"):
            part = getattr(self, name)
            if part is not None:
                yield name, part

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of both optimizers."""
        for adam in self.adams():
            adam.set_rate(rate)

    def adams(self) -> Iterator[Adam]:
        """Yield the optimizers."""
        yield self.generator_adam
        if self.discriminator_adam is not None:
            yield self.discriminator_adam


def architecture(config: RunConfig, channels: Channels) -> GeneratorArchitecture:
    """Generator architecture of the settings."""
    return GeneratorArchitecture(
        input_channels=channels.input,
        output_channels=channels.output,
        depth=depth_for(config.image_size),
        ngf=config.ngf,
        skips=config.generator == "unet",
        bottleneck_norm=config.bottleneck_norm,
        dropout_blocks=DROPOUT_BLOCKS,
    )


def make_card(config: RunConfig, dataset: Dataset, channels: Channels) -> GeneratorCard:
    """Make the card of a run's generator."""
    return GeneratorCard(
        architecture=architecture(config, channels),
        dataset=dataset.name,
        direction=dataset.direction,
        input_range=config.input_range or full_range(channels.input_dtype),
        input_bits=8 if channels.input_dtype == np.uint8 else 16,
        output_range=config.output_range or full_range(channels.output_dtype),
        output_bits=8 if channels.output_dtype == np.uint8 else 16,
        **{key: getattr(config, key) for key in affecting("outputs")},
        seed=config.seed,
        source=f"p2pbench {VERSION}",
    )


def build_discriminator(config: RunConfig, channels: Channels) -> nn.Module | None:
    """Build the discriminator of the settings, if any.

    A conditional one sees the input too.
    """
    if not config.adversarial:
        return None
    seen = channels.output + (channels.input if config.conditional else 0)
    return patch_gan(seen, receptive_field=config.receptive_field, ndf=config.ndf)


def build(config: RunConfig, channels: Channels, device: torch.device) -> Model:
    """Build networks and optimizers, with weights drawn from the run's seed.

    Weights are channels-last on a GPU, as cuDNN's bfloat16 convolutions need them; on a CPU the discriminator's alone,
    since the generator gains nothing (benchmarks/RESULTS.md).
    """
    # On the CPU whatever the device, so that a run starts from the same weights everywhere.
    random = torch.Generator().manual_seed(torch_seed(config.seed, Purpose.WEIGHTS))
    generator = Generator(architecture(config, channels))
    discriminator = build_discriminator(config, channels)
    for network in (generator, discriminator):
        if network is not None:
            initialise(network, random)
            network.to(device)
            if device.type == "cuda" or network is discriminator:
                network.to(memory_format=torch.channels_last)

    def adam(network: nn.Module) -> Adam:
        betas = (config.beta1, config.beta2)
        return Adam(network.parameters(), rate=config.learning_rate, betas=betas, device=device)

    discriminator_adam = None if discriminator is None else adam(discriminator)
    return Model(generator, discriminator, adam(generator), discriminator_adam)


def needed_bytes(config: RunConfig, channels: Channels, batch_size: int) -> int:
    """Estimated memory of a step, in bytes.

    Summed over its tensors on the meta device, without computing them.
    """
    # Tensors of the meta device have shapes and no memory, so even a step that does not fit can be measured.
    with torch.device("meta"):
        generator, discriminator = Generator(architecture(config, channels)), build_discriminator(config, channels)
        networks = [network for network in (generator, discriminator) if network is not None]
        x = torch.empty(1, channels.input, config.image_size, config.image_size)
        maps, output = _kept(generator, x)
        if discriminator is not None:
            seen = torch.cat([x, output], 1) if config.conditional else output
            # Two forward passes keep their maps until the backward pass.
            maps += 2 * _kept(discriminator, seen)[0]  # real and fake
    if config.precision == "bf16":
        maps //= 2
    weights = sum(parameter.nbytes for network in networks for parameter in network.parameters())
    return int(SPARE * (COPIES * weights + batch_size * GRADIENTS_TOO * maps))


def _kept(network: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """Count the bytes of maps that a network keeps for its gradients; its output too."""
    # Tensors are counted once per storage: a ReLU's output and the next layer's input are the same memory.
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output: Tensor = network(x)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    size = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return size, output.detach()


def what_fits(config: RunConfig, channels: Channels, available: int) -> str:
    """Largest batch_size, else image_size, that fits into `available` bytes."""
    fitting = [size for size in range(1, config.batch_size) if needed_bytes(config, channels, size) <= available]
    if fitting:
        return f"batch_size = {fitting[-1]} would fit"
    # Sizes are powers of two, so the next smaller one is half.
    side = config.image_size // 2
    while side >= SMALLEST_IMAGE:
        smaller = config.model_copy(update={"image_size": side, "batch_size": 1})
        if needed_bytes(smaller, channels, 1) <= available:
            return f"image_size = {side} with batch_size = 1 would fit"
        side //= 2
    return "not even the smallest pictures would fit; take a smaller ngf and ndf"


def out_of_memory(config: RunConfig, channels: Channels, device: torch.device) -> str:
    """Message for a step that did not fit on a device.

    Its need, the free memory, and what would fit.
    """
    gib = 2**30
    need = needed_bytes(config, channels, config.batch_size)
    asked = f"batch_size = {config.batch_size} at image_size = {config.image_size} needs about {need / gib:.1f} GiB"
    if device.type != "cuda":
        return f"out of memory: {asked}; take a smaller batch_size"
    free, total = torch.cuda.mem_get_info(device)
    # PyTorch's cached blocks count as free: the failed step's memory is back in its cache by now.
    available = free + torch.cuda.memory_reserved(device)
    return (
        f"out of memory on {device}: {asked}, and {available / gib:.1f} of its {total / gib:.1f} GiB are free; "
        # It did not fit, so an estimate that says it fits is too low.
        + what_fits(config, channels, min(available, int(WRONG_BY * need)))
    )
