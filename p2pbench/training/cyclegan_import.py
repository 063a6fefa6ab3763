"""Generators of pytorch-CycleGAN-and-pix2pix: `latest_net_G.pth` of its pix2pix model, unet_256 or unet_128.

That code nests a block in a block: `model.model.1.model.3...`. Its networks differ from ours in four ways: nesting;
skips are concatenated (encoder, decoder), ours (decoder, encoder) as in the paper's own code; no convolution but the
last has a bias; and the innermost decoder block has no dropout, while the three (unet_256) or two (unet_128) after it
have. The weights are reordered, missing biases are 0, and dropout goes where it was trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fcn.torch_files import UNREADABLE, reason
from p2pbench.datasets.pairs import Paired
from p2pbench.datasets.scale import full_range
from p2pbench.errors import UserError
from p2pbench.networks.unet import Generator
from p2pbench.training.card import Architecture, GeneratorCard

EXPECTED = "expected a latest_net_G.pth of its pix2pix model (unet_256 or unet_128, batch norm)"
NORM_ENTRIES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class _Layer(NamedTuple):
    """Where a convolution, and the batch norm behind it, stand in the file and in our network."""

    theirs: str
    ours: str
    their_norm: str | None
    our_norm: str | None


def import_generator(path: Path, direction: str) -> tuple[Generator, GeneratorCard]:
    """A generator with the weights of such a file, and its card.

    Args:
        path: the .pth file.
        direction: "AtoB" or "BtoA", as it was trained.

    Raises:
        UserError: not such a file, or an entry is missing, left over or misshaped; it is named as in the file.
    """
    weights = _read(path)
    architecture = _architecture(weights, path)
    generator = architecture.build()
    converted, used, problems = {}, set(), []
    state = generator.state_dict()
    for theirs, ours in _names(architecture.depth):
        if theirs not in weights and _may_be_missing(ours, architecture.depth):
            converted[ours] = torch.zeros_like(state[ours])
            continue
        if theirs not in weights:
            problems.append(f"{theirs} is missing")
            continue
        value = weights[theirs]
        used.add(theirs)
        if value.shape != state[ours].shape:
            problems.append(f"{theirs} has shape {tuple(value.shape)}, expected {tuple(state[ours].shape)}")
        else:
            converted[ours] = _swap_skip(ours, value)
    problems += [f"{name} is left over" for name in sorted(weights.keys() - used)]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(f"{path}: {'; '.join(problems[:5])}{more}; {EXPECTED}")
    generator.load_state_dict(converted)
    ends = full_range("uint8")
    card = GeneratorCard(
        architecture=architecture,
        dataset=Paired.name,
        direction=direction,
        image_size=2**architecture.depth,
        input_range=ends,
        output_range=ends,
        output_bits=8,
        test_dropout=True,
        test_batch_norm="batch",
        seed=0,
        source=f"imported from {path.name} of pytorch-CycleGAN-and-pix2pix",
    )
    return generator, card


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {EXPECTED}") from None
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read as weights ({reason(error)}); {EXPECTED}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: holds something else than named weights; {EXPECTED}")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _architecture(weights: dict[str, Tensor], path: Path) -> Architecture:
    """What the shapes of the outermost and the number of the nested blocks say."""
    depth = 1
    while f"{_block(depth)}.1.weight" in weights:
        depth += 1
    first, last = weights.get("model.model.0.weight"), weights.get("model.model.3.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4 or depth < 5:
        shown = ", ".join(list(weights)[:3]) or "nothing"
        raise UserError(f"{path}: not a U-Net of that code: its entries begin with {shown}; {EXPECTED}")
    return Architecture(
        input_channels=first.shape[1],
        output_channels=last.shape[1],
        depth=depth,
        ngf=first.shape[0],
        skips=True,
        bottleneck_norm=False,
        dropout_blocks=tuple(range(1, depth - 4)),
    )


def _block(level: int) -> str:
    """The name of a nested block's list: level 0 is the outermost; within it the next is number 1, then number 3."""
    return "model.model" + ("" if level == 0 else ".1.model" + ".3.model" * (level - 1))


def _layers(depth: int) -> Iterator[_Layer]:
    yield _Layer("model.model.0", "encoder.0", None, None)
    yield _Layer("model.model.3", f"decoder.{depth - 1}.1", None, None)
    for level in range(1, depth):
        block, innermost = _block(level), level == depth - 1
        encoder, decoder = f"encoder.{level}", f"decoder.{depth - 1 - level}"
        if innermost:  # relu, conv, relu, up, norm
            yield _Layer(f"{block}.1", f"{encoder}.1", None, None)
            yield _Layer(f"{block}.3", f"{decoder}.1", f"{block}.4", f"{decoder}.2")
        else:  # relu, conv, norm, the next block, relu, up, norm, perhaps dropout
            yield _Layer(f"{block}.1", f"{encoder}.1", f"{block}.2", f"{encoder}.2")
            yield _Layer(f"{block}.5", f"{decoder}.1", f"{block}.6", f"{decoder}.2")


def _names(depth: int) -> Iterator[tuple[str, str]]:
    """Their name and ours of every entry of our network."""
    for layer in _layers(depth):
        yield f"{layer.theirs}.weight", f"{layer.ours}.weight"
        yield f"{layer.theirs}.bias", f"{layer.ours}.bias"
        if layer.their_norm is not None:
            for entry in NORM_ENTRIES:
                yield f"{layer.their_norm}.{entry}", f"{layer.our_norm}.{entry}"


def _may_be_missing(ours: str, depth: int) -> bool:
    """With batch norm that code gives no convolution a bias but the last; old files have no count of batches."""
    bias = ours.endswith((".1.bias", "encoder.0.bias")) and ours != f"decoder.{depth - 1}.1.bias"
    return bias or ours.endswith("num_batches_tracked")


def _swap_skip(ours: str, value: Tensor) -> Tensor:
    """Up-convolutions behind a skip take (encoder, decoder) in the file, (decoder, encoder) here."""
    if not ours.startswith("decoder.") or not ours.endswith(".1.weight") or ours == "decoder.0.1.weight":
        return value
    encoder, decoder = value.chunk(2, dim=0)
    return torch.cat([decoder, encoder])
