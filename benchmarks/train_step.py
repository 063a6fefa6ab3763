"""How long one training step takes, against the same step written plainly; and the loader's share of it.

    python benchmarks/train_step.py [--steps 15] [--device auto]

U-Net, conditional 70x70 discriminator, L1+cGAN at 256x256, ngf = ndf = 64, batch 1. Both steps run in one process and
take turns, so that they meet the same noise of the machine. The plain step is what a reader of the paper would write:
contiguous NCHW tensors, Adam unfused as torch has it by default, gradients set to zero. The loader is that of a
training: a cached dataset, one item cropped, flipped and scaled.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from p2pbench.cli import SPINS

os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # as the command line has it; read when torch is imported

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from p2pbench.config import RunConfig, run_config  # noqa: E402
from p2pbench.datasets.cache import CachedSamples, Channels  # noqa: E402
from p2pbench.datasets.drawn import Streets  # noqa: E402
from p2pbench.training.batches import Batch, Batches  # noqa: E402
from p2pbench.training.device import pick_device  # noqa: E402
from p2pbench.training.model import Model, build  # noqa: E402
from p2pbench.training.objective import adversarial  # noqa: E402
from p2pbench.training.step import training_step  # noqa: E402

CHANNELS = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
WARM_UP = 2


def plain_model(config: RunConfig, device: torch.device) -> Model:
    """The same networks and weights with torch's default Adam."""
    built = build(config, CHANNELS, device)
    assert built.discriminator is not None
    networks = built.generator, built.discriminator
    adams = [torch.optim.Adam(n.parameters(), lr=config.learning_rate, betas=(0.5, 0.999)) for n in networks]
    return Model(*networks, *adams)


def plain_step(model: Model, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The paper's step, written plainly."""
    generator, judge = model.generator, model.discriminator
    assert judge is not None
    assert model.discriminator_adam is not None
    output = generator(x)
    judge.requires_grad_(True)
    model.discriminator_adam.zero_grad(set_to_none=False)
    fake = adversarial(judge(torch.cat([x, output.detach()], 1)), real=False)
    real = adversarial(judge(torch.cat([x, y], 1)), real=True)
    (0.5 * (fake + real)).backward()
    model.discriminator_adam.step()
    judge.requires_grad_(False)
    model.generator_adam.zero_grad(set_to_none=False)
    fooled = adversarial(judge(torch.cat([x, output], 1)), real=True)
    (fooled + 100 * (output - y).abs().mean()).backward()
    model.generator_adam.step()
    return fooled.item(), (fake + real).item()


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    config = run_config({}, "benchmark")
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
            "plain": lambda: plain_step(plain, x, y),
            "loader": lambda: next(batches),
        }
        for name in turns if step % 2 else reversed(turns):
            seconds[name].append(clock(turns[name], device))
    median = {name: statistics.median(values[WARM_UP:]) for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["ours"][WARM_UP:], seconds["plain"][WARM_UP:], strict=True)]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.steps} steps each")
    print(f"ours   {1000 * median['ours']:8.1f} ms/step  {1 / median['ours']:.2f} steps/s")
    print(f"plain  {1000 * median['plain']:8.1f} ms/step  {1 / median['plain']:.2f} steps/s")
    print(
        f"plain / ours, pair by pair: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print(f"loader {1000 * median['loader']:8.2f} ms/step, {100 * median['loader'] / median['ours']:.2f} % of a step")


if __name__ == "__main__":
    main()
