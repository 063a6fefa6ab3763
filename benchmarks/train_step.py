"""Time of one training step, against the same step written plainly; and the loader's share of it.

    python benchmarks/train_step.py [--steps 15] [--device auto] [--json FILE]

U-Net, conditional 70x70 discriminator, L1+cGAN at 256x256, ngf = ndf = 64, batch 1. Both steps run in one process and
take turns, so that they meet the same noise of the machine. The plain step is what a reader of the paper would write:
contiguous NCHW tensors, Adam unfused as torch has it by default, gradients set to zero. The loader is that of a
training: a cached dataset, one item cropped, flipped and scaled.
"""

from __future__ import annotations

from typing import NamedTuple

from record import Record, options

import numpy as np
import torch
from torch import Tensor, nn

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.cache import CachedSamples
from p2pbench.datasets.dataset import Channels
from p2pbench.datasets.labelled import Streets
from p2pbench.runtime.device import keep_freed_memory, pick_device
from p2pbench.runtime.precision import resolved, set_up
from p2pbench.training.batches import Batch, Batches
from p2pbench.training.model import build
from p2pbench.training.step import adversarial, training_step
from timing import clock, medians

CHANNELS = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
WARM_UP = 2


class Plain(NamedTuple):
    """Networks of torch's own layers, and torch's default Adams."""

    generator: nn.Module
    discriminator: nn.Module
    generator_adam: torch.optim.Adam
    judge_adam: torch.optim.Adam


def plain_model(config: RunConfig, device: torch.device, *, dropout: bool = True) -> Plain:
    """The same networks and weights, written plainly."""
    built = build(config, CHANNELS, device)
    assert built.discriminator is not None
    networks = built.generator, built.discriminator
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
        for module in network.modules():
            for layer in (nn.Conv2d, nn.ConvTranspose2d):
                if isinstance(module, layer):
                    module.__class__ = layer
            if isinstance(module, nn.Dropout) and not dropout:
                module.p = 0.0
    betas = (config.beta1, config.beta2)
    adams = [torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=betas) for network in networks]
    return Plain(*networks, *adams)


def plain_step(model: Plain, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The paper's step, written plainly; D_real, D_fake, G_GAN and G_L1."""
    generator, discriminator = model.generator, model.discriminator
    output = generator(x)
    discriminator.requires_grad_(True)
    model.judge_adam.zero_grad(set_to_none=False)
    fake = adversarial(discriminator(torch.cat([x, output.detach()], 1)), real=False)
    real = adversarial(discriminator(torch.cat([x, y], 1)), real=True)
    (0.5 * (fake + real)).backward()
    model.judge_adam.step()
    discriminator.requires_grad_(False)
    model.generator_adam.zero_grad(set_to_none=False)
    fooled = adversarial(discriminator(torch.cat([x, output], 1)), real=True)
    distance = (output - y).abs().mean()
    (fooled + 100 * distance).backward()
    model.generator_adam.step()
    return real, fake, fooled, distance


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    keep_freed_memory()  # as a training does; the plain step gains from it too
    config = resolved(run_config({"precision": "float32"}, "benchmark"), device)
    set_up(config, device)
    random = torch.Generator().manual_seed(0)
    x, y = (torch.rand(1, 3, 256, 256, generator=random).to(device) * 2 - 1 for _ in range(2))
    ours, plain = build(config, CHANNELS, device), plain_model(config, device)

    items, side = 16, config.load_side
    pictures = {
        part: torch.randint(0, 256, (items, channels, side, side), generator=random).to(torch.uint8)
        for part, channels in (("input", 3), ("target", 3), ("labels", 1))
    }
    batches = Batches(Streets(None), CachedSamples(CHANNELS, pictures), config, device).between(0, 10_000)

    seconds: dict[str, list[float]] = {"ours": [], "plain": [], "loader": []}
    for step in range(WARM_UP + arguments.steps):
        turns = {
            "ours": lambda: training_step(ours, Batch(x, y, None), config),
            "plain": lambda: torch.stack(plain_step(plain, x, y)).tolist(),
            "loader": lambda: next(batches),
        }
        for name in turns if step % 2 else reversed(turns):
            seconds[name].append(clock(turns[name], device))
    record = Record("train_step", arguments)
    record.table(
        f"A training step on {device.type}, medians of {arguments.steps}",
        medians({name: values[WARM_UP:] for name, values in seconds.items()}),
    )
    record.save()


if __name__ == "__main__":
    main()
