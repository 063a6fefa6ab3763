"""Generator files: weights as safetensors, with a card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from fcn.weights import MEND, no_safetensors
from p2pbench.datasets.transforms import full_range
from p2pbench.errors import UserError
from p2pbench.networks.generator import Generator, GeneratorArchitecture
from reports.store import atomic
from reports.store.ranges import shown

METADATA_KEY = "p2pbench"
IMPORTED = "imported from"  # begins a card's source if the generator was trained elsewhere


class GeneratorCard(BaseModel):
    """Architecture, data format and test mode of a generator, and its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: GeneratorArchitecture
    dataset: str
    direction: str
    image_size: int
    input_range: tuple[float, float]
    input_bits: Literal[8, 16] | None = None
    """Depth of the pictures that it was trained on; None in files of older versions."""
    output_range: tuple[float, float]
    output_bits: Literal[8, 16]
    test_dropout: bool
    test_batch_norm: Literal["batch", "running"]
    seed: int
    source: str
    """Program that trained it, such as "p2pbench 0.1.0", or the file it was imported from."""


def input_bits(card: GeneratorCard) -> int | None:
    """Depth of the pictures that a generator was trained on.

    None where an older card leaves it open.

    An older card has the range of the values alone, which is all of 8 or 16 bits unless the settings had another.
    """
    if card.input_bits is None and card.input_range == full_range("uint8"):
        return 8
    if card.input_bits is None and card.input_range[1] > full_range("uint8")[1]:
        return 16
    return card.input_bits


def save_generator(
    path: Path, generator: Generator, card: GeneratorCard, note: Callable[[Path, str], None] | None = None
) -> None:
    """Write a generator and its card, whole or not at all.

    Args:
        path: the file.
        generator: on any device.
        card: how it is to be used.
        note: called with the path and the SHA-256 of the content before the file takes its place.
    """
    # Contiguous, whatever the memory layout in training: safetensors stores bytes as they lie.
    weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    content = save(weights, metadata={METADATA_KEY: card.model_dump_json()})
    if note is not None:
        # Noted before the file appears, so that no file of ours is ever without its record.
        note(path, hashlib.sha256(content).hexdigest())
    atomic.write(path, content)


def read_generator(path: Path) -> tuple[Generator, GeneratorCard]:
    """Load a generator onto the CPU, with its card.

    Raises:
        UserError: no such file, not a generator's file, a range beyond the depth of the pictures, or entries that do
            not fit the architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        card = GeneratorCard.model_validate_json(metadata[METADATA_KEY])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a generator.safetensors of a finished run") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: {no_safetensors(path, error)}; expected a generator.safetensors of a finished run, or one that "
            f"was imported; {MEND}"
        ) from None
    except (KeyError, ValidationError):
        raise UserError(
            f"{path}: holds no generator's card; expected a file written by `p2pbench train` or `generator-import`"
        ) from None
    for side, ends, bits in (
        ("input", card.input_range, card.input_bits or 16),
        ("output", card.output_range, card.output_bits),
    ):
        low, high = full_range(f"uint{bits}")
        if not low <= ends[0] < ends[1] <= high:
            raise UserError(
                f"{path}: found {side}_range {shown(ends)}, expected it within {shown((low, high))}, the values of "
                f"{bits} bits; train it anew with the data's own range"
            )
    generator = Generator(card.architecture)
    load_weights(generator, weights, path)
    return generator, card


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Set all of a network's weights.

    Raises:
        UserError: an entry is missing, left over or of another shape, the first few are named; or holds a value that is
            no finite number.
    """
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is left over" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise UserError(f"{path}: weights of another architecture: {shown}")
    if broken := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
        raise UserError(
            f"{path}: {broken[0]} holds NaN or infinite values, expected weights of a training that went well; give "
            "another file"
        )
    network.load_state_dict(weights)
