"""Import of generators of pytorch-CycleGAN-and-pix2pix: `latest_net_G.pth` of its unet_256 or unet_128.

That code nests its blocks: `model.model.1.model.3...`. Its networks differ from ours in four ways: nesting; skips are
concatenated (encoder, decoder), ours (decoder, encoder) as in the paper's own code; no convolution but the last has a
bias; and the innermost decoder block has no dropout, while the three (unet_256) or two (unet_128) after it have, unless
it was trained with --no_dropout. So weights are reordered, missing biases set to 0, and dropout put where it was.

Dropout has no weights, and channels have no names, so the user gives what such a file cannot say. The options that a
model was trained with are in the `train_opt.txt` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fcn.weights import MEND, UNREADABLE, read, reason
from p2pbench.datasets.dataset import B_TO_A
from p2pbench.datasets.pairs import PairedDataset
from p2pbench.datasets.photos import Colorization
from p2pbench.datasets.transforms import full_range
from p2pbench.errors import UserError
from p2pbench.networks.generator import Generator, GeneratorArchitecture
from p2pbench.training.generator_file import IMPORTED, GeneratorCard
from reports.store.names import printable

EXPECTED = "expected a latest_net_G.pth of its pix2pix model (unet_256 or unet_128, batch norm)"
LAB = (1, 2)  # L in, ab out
SHOWN = 3  # entries named of a file that is something else
LONGEST_NAME = 80
NORM_ENTRIES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class _Layer(NamedTuple):
    """Names of a convolution, and of the batch norm behind it, in the file and in our network."""

    theirs: str
    ours: str
    their_norm: str | None
    our_norm: str | None


def import_generator(
    path: Path, *, dropout: bool | None = None, dataset: str | None = None, direction: str | None = None
) -> tuple[Generator, GeneratorCard]:
    """Import a generator and make its card.

    Args:
        path: the .pth file.
        dropout: whether it was trained with dropout.
        dataset: "paired", or "colorization" for L in and ab out; None where the channels leave no doubt.
        direction: "AtoB" or "BtoA" of paired pictures, as it was trained; None is "BtoA".

    Raises:
        UserError: not such a file, or an entry is missing, left over or misshaped; it is named as in the file. Or
            something is asked for that the file cannot say, or said that its channels contradict.
    """
    weights = _read(path)
    architecture = _architecture(weights, path)
    _check_norm(weights, architecture.depth, path)
    kind = _dataset(architecture, dataset, direction, path)
    if dropout is None and architecture.dropout_blocks:
        raise UserError(
            f"{path}: cannot say whether it was trained with dropout; give --dropout, or --no-dropout if its "
            "train_opt.txt says no_dropout: True"
        )
    if not dropout:
        architecture = architecture.model_copy(update={"dropout_blocks": ()})
    generator = Generator(architecture)
    converted, used, problems = {}, set(), []
    state = generator.state_dict()
    # All problems are gathered, so that one message names them.
    for theirs, ours in _names(architecture.depth):
        if theirs not in weights and _may_be_missing(ours, architecture.depth):
            # Nothing depends on these: batch norm takes a bias before it away.
            converted[ours] = torch.zeros_like(state[ours])
            continue
        if theirs not in weights:
            problems.append(f"{theirs} is missing")
            continue
        value = weights[theirs]
        used.add(theirs)
        if value.shape != state[ours].shape:
            problems.append(f"{theirs} has shape {tuple(value.shape)}, expected {tuple(state[ours].shape)}")
        elif not torch.isfinite(value).all():
            problems.append(f"{theirs} holds NaN or infinite values")
        else:
            converted[ours] = _swap_skip(ours, value)
    problems += [f"{_shown(name)} is left over" for name in sorted(weights.keys() - used)]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(f"{path}: {'; '.join(problems[:5])}{more}; {EXPECTED}")
    generator.load_state_dict(converted)
    bits: Literal[8, 16] = 16 if kind is Colorization else 8
    ends = full_range(f"uint{bits}")
    card = GeneratorCard(
        architecture=architecture,
        dataset=kind.name,
        direction=kind.directions[0] if kind is Colorization else direction or B_TO_A,
        image_size=2**architecture.depth,
        input_range=ends,
        input_bits=bits,
        output_range=ends,
        output_bits=bits,
        test_dropout=bool(architecture.dropout_blocks),
        test_batch_norm="batch",
        seed=0,
        source=f"{IMPORTED} {path.name} of pytorch-CycleGAN-and-pix2pix",
    )
    return generator, card


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = read(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {EXPECTED}") from None
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read as weights ({reason(error, path)}); {EXPECTED}; {MEND}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        found = f"a dictionary of {_first(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise UserError(
            f"{path}: holds {found}, not weights alone; {EXPECTED}; where it was made, save net.state_dict()"
        )
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _architecture(weights: dict[str, Tensor], path: Path) -> GeneratorArchitecture:
    """Infer the architecture from the shapes of the outermost block and the number of nested ones."""
    depth = 1
    while f"{_block(depth)}.1.weight" in weights:
        depth += 1
    first, last = weights.get("model.model.0.weight"), weights.get("model.model.3.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4 or depth < 5:
        what = "a ResNet" if any(".conv_block." in name for name in weights) else "not a U-Net of that code"
        raise UserError(f"{path}: {what}: its entries begin with {_first(weights)}; {EXPECTED}")
    return GeneratorArchitecture(
        input_channels=first.shape[1],
        output_channels=last.shape[1],
        depth=depth,
        ngf=first.shape[0],
        skips=True,
        bottleneck_norm=False,
        dropout_blocks=tuple(range(1, depth - 4)),
    )


def _check_norm(weights: dict[str, Tensor], depth: int, path: Path) -> None:
    """Refuse other norms than batch norm, which alone has weights and running statistics both.

    Instance norm has neither there, or one of the two in files of other versions; the convolutions before it have a
    bias, those before batch norm have none.
    """
    layers = [layer for layer in _layers(depth) if layer.their_norm is not None]
    entries = {entry for layer in layers for entry in NORM_ENTRIES if f"{layer.their_norm}.{entry}" in weights}
    if {"weight", "running_mean"} <= entries:
        return
    biased = any(f"{layer.theirs}.bias" in weights for layer in layers)
    norm = "instance norm (--norm instance)" if entries or biased else "no norm (--norm none)"
    raise UserError(f"{path}: was trained with {norm}, which cannot be imported; {EXPECTED}")


def _dataset(
    architecture: GeneratorArchitecture, dataset: str | None, direction: str | None, path: Path
) -> type[PairedDataset] | type[Colorization]:
    """Infer the dataset type from the channels and the user's options."""
    channels = architecture.input_channels, architecture.output_channels
    shown = f"{path}: has {channels[0]} to {channels[1]} channels"
    if channels == LAB and dataset is None:
        raise UserError(
            f"{shown} and cannot say which; give --dataset {Colorization.name} if they are L and ab, as its "
            f"colorization model has them, or --dataset {PairedDataset.name}"
        )
    if dataset != Colorization.name:
        return PairedDataset
    if channels != LAB:
        raise UserError(f"{shown}; expected 1 to 2, L to ab, for --dataset {Colorization.name}; leave that out")
    if direction is not None:
        raise UserError(f"--direction {direction}: {Colorization.name} has one direction; leave it out")
    return Colorization


def _first(names: Iterable[object]) -> str:
    """List the first names of a file."""
    return ", ".join(_shown(str(name)) for name in islice(names, SHOWN)) or "nothing"


def _shown(name: str) -> str:
    return printable(name[:LONGEST_NAME])


def _block(level: int) -> str:
    """Name of a nested block's list: level 0 is the outermost.

    The next is its entry 1, all others entry 3.
    """
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
    """Yield the file's and our name of every entry of our network."""
    for layer in _layers(depth):
        yield f"{layer.theirs}.weight", f"{layer.ours}.weight"
        yield f"{layer.theirs}.bias", f"{layer.ours}.bias"
        if layer.their_norm is not None:
            for entry in NORM_ENTRIES:
                yield f"{layer.their_norm}.{entry}", f"{layer.our_norm}.{entry}"


def _may_be_missing(ours: str, depth: int) -> bool:
    """Whether the file may lack an entry: biases before batch norm, and the batch count of old versions."""
    bias = ours.endswith((".1.bias", "encoder.0.bias")) and ours != f"decoder.{depth - 1}.1.bias"
    return bias or ours.endswith("num_batches_tracked")


def _swap_skip(ours: str, value: Tensor) -> Tensor:
    """Swap the inputs of up-convolutions behind a skip: (encoder, decoder) in the file, (decoder, encoder) here."""
    if not ours.startswith("decoder.") or not ours.endswith(".1.weight") or ours == "decoder.0.1.weight":
        return value
    encoder, decoder = value.chunk(2, dim=0)
    return torch.cat([decoder, encoder])
