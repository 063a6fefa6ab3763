"""Whether a GPU's training step is right: its losses and gradients against plain networks, and its replays.

Used by `cuda_step.py`, whose docstring says what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.cache import CachedSamples
from p2pbench.datasets.labelled import Streets
from p2pbench.runtime.precision import set_up
from p2pbench.training.batches import Batch, Batches
from p2pbench.training.cuda_graph import ReplayedSteps, open_steps
from p2pbench.training.model import Model, build
from p2pbench.training.step import adversarial, training_step
from train_step import CHANNELS, plain_model, plain_step

NAMES = ("D_real", "D_fake", "G_GAN", "G_L1")
TOLERANCES = {"float32": (0.01, 0.002), "bf16": (0.10, 0.03)}  # of a loss: relative, or absolute
STEPS_COMPARED = 8


def samples(config: RunConfig, count: int) -> CachedSamples:
    """Made-up pairs: smooth pictures and their negatives."""
    random = torch.Generator().manual_seed(0)
    side = config.load_side
    coarse = torch.rand(count, 3, 8, 8, generator=random) * 255
    input_ = nn.functional.interpolate(coarse, (side, side), mode="bilinear").to(torch.uint8)
    return CachedSamples(CHANNELS, {"input": input_, "target": 255 - input_})


def settings(precision: str, **changed: Any) -> RunConfig:  # noqa: ANN401 (any setting)
    """The paper's, in a precision."""
    return run_config({"precision": precision, **changed}, "benchmark")


def say(text: str) -> None:
    """Print a training's message."""
    print(f"  says: {text}", flush=True)


def without_dropout(model: Model) -> Model:
    """The same networks; noise lies in memory as tensors do, so that it differs between layouts."""
    for module in model.generator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def verdict(worst: float) -> str:
    """Largest differences allowed between two implementations of a step."""
    return f"{'' if worst <= 1 else 'WRONG: '}losses apart by {100 * worst:.1f} % of what is allowed"


def apart(ours: dict[str, float], theirs: dict[str, float], relative: float, absolute: float) -> float:
    """The largest difference of two steps' losses, in units of what is allowed."""
    return max(abs(ours[name] - theirs[name]) / max(absolute, relative * abs(theirs[name])) for name in NAMES)


def against_plain(precision: str, device: torch.device, **changed: Any) -> str:  # noqa: ANN401 (any setting)
    """Our steps and the plain ones, side by side."""
    config = settings(precision, **changed)
    set_up(config, device)
    plain = plain_model(config, device, dropout=False)
    batches = Batches(Streets(None), samples(config, 12), config, device)
    plain_batches = Batches(Streets(None), samples(config, 12), config, torch.device("cpu")).between(0, STEPS_COMPARED)
    ours = open_steps(without_dropout(build(config, CHANNELS, device)), batches, range(STEPS_COMPARED), say)
    worst = 0.0
    for step, batch in enumerate(plain_batches):
        with ours.stream():
            ours.take(step)
            losses = ours.losses()
        expected = torch.stack(plain_step(plain, batch.input.to(device), batch.target.to(device))).tolist()
        worst = max(worst, apart(losses, dict(zip(NAMES, expected, strict=True)), *TOLERANCES[precision]))
    if isinstance(ours, ReplayedSteps):
        assert ours.captured, "steps were not captured"
    return verdict(worst)


def against_uncaptured(precision: str, device: torch.device) -> str:
    """Replays and the same steps one by one, with dropout."""
    config = settings(precision)
    set_up(config, device)
    found: list[list[dict[str, float]]] = []
    for captured in (True, False):
        batches = Batches(Streets(None), samples(config, 12), config, device)
        steps = ReplayedSteps(build(config, CHANNELS, device), batches, range(STEPS_COMPARED), say)
        found.append([])
        with nullcontext() if captured else without_graphs(), steps.stream():
            for step in range(STEPS_COMPARED):
                steps.take(step)
                found[-1].append(steps.losses())
        assert steps.captured == captured
    return verdict(max(apart(one, other, 0.01, 1e-3) for one, other in zip(*found, strict=True)))


@contextmanager
def without_graphs() -> Iterator[None]:
    """In this block, nothing can be captured."""

    def refuse() -> None:
        raise RuntimeError("not captured, so that both ways can be compared")

    graph = torch.cuda.CUDAGraph
    torch.cuda.CUDAGraph = refuse  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        torch.cuda.CUDAGraph = graph  # type: ignore[misc]


def gradients(device: torch.device, **changed: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (any setting)
    """Difference of the first gradients from those of plain networks in float64 on the CPU, without dropout."""
    changed["adversarial_gradient"] = "before-update"  # both networks' then rest on the first weights alone
    config, cpu = settings("float32", **changed), torch.device("cpu")
    batch = next(Batches(Streets(None), samples(config, 12), config, cpu).between(0, 1))
    plain = plain_model(config, cpu, dropout=False)
    generator, discriminator = plain.generator.double(), plain.discriminator.double()
    x, y = batch.input.double(), batch.target.double()
    output = generator(x)
    on_fake = discriminator(torch.cat([x, output], 1))
    (adversarial(on_fake, real=True) + 100 * (output - y).abs().mean()).backward()
    discriminator.zero_grad()
    on_fake, on_real = (discriminator(torch.cat([x, shown], 1)) for shown in (output.detach(), y))
    (0.5 * (adversarial(on_fake, real=False) + adversarial(on_real, real=True))).backward()
    there = Batch(batch.input.to(device), batch.target.to(device), None)
    rows: list[dict[str, Any]] = []
    for precision in ("float32", "bf16") if device.type == "cpu" else ("float32", "tf32", "bf16"):
        config = settings(precision, **changed)
        set_up(config, device)
        model = without_dropout(build(config, CHANNELS, device))
        training_step(model, there, config)
        for title, ours, theirs in (
            ("generator", model.generator, generator),
            ("discriminator", model.discriminator, discriminator),
        ):
            assert ours is not None
            rows.append({"network": title, "precision": precision, **gradients_apart(ours, theirs)})
    return rows


def gradients_apart(ours: nn.Module, expected: nn.Module) -> dict[str, object]:
    """Relative differences in the norm: of all weights together, and of the worst that has a gradient to speak of."""
    pairs: dict[str, tuple[float, float]] = {}
    for (name, one), (_, other) in zip(ours.named_parameters(), expected.named_parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        difference = (one.grad.double().cpu() - other.grad).norm().item()
        pairs[name] = (difference, other.grad.norm().item())
    whole = math.hypot(*(norm for _, norm in pairs.values()))
    shares = {name: difference / norm for name, (difference, norm) in pairs.items() if norm > 1e-4 * whole}
    worst = max(shares, key=shares.__getitem__)
    together = math.hypot(*(difference for difference, _ in pairs.values())) / whole
    return {"all_weights": together, "worst_weight": shares[worst], "which": worst}
