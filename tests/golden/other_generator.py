"""A generator as pytorch-CycleGAN-and-pix2pix saves it: names and shapes of its unet_128, drawn from a seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

DEPTH, WIDTH = 7, 2


def write_other_generator(path: Path) -> None:
    """Write the state dict of a U-Net of nested blocks."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def draw(name: str, *shape: int) -> None:
        state[name] = 0.1 * torch.randn(*shape, generator=generator)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            draw(f"{name}.{part}", channels)
        state[f"{name}.running_var"] = torch.ones(channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    widths = [WIDTH * min(2**level, 8) for level in range(DEPTH)]
    prefix = "model.model"
    draw(f"{prefix}.0.weight", widths[0], 3, 4, 4)
    draw(f"{prefix}.3.weight", 2 * widths[0], 3, 4, 4)
    draw(f"{prefix}.3.bias", 3)
    prefix += ".1.model"
    for outer, inner in zip(widths[:-2], widths[1:-1], strict=True):
        draw(f"{prefix}.1.weight", inner, outer, 4, 4)
        norm(f"{prefix}.2", inner)
        draw(f"{prefix}.5.weight", 2 * inner, outer, 4, 4)
        norm(f"{prefix}.6", outer)
        prefix += ".3.model"
    draw(f"{prefix}.1.weight", widths[-1], widths[-2], 4, 4)
    draw(f"{prefix}.3.weight", widths[-1], widths[-2], 4, 4)
    norm(f"{prefix}.4", widths[-2])
    torch.save(state, path)
