"""Generators without training, `generate` as a call, and what it leaves, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner, Result
from PIL import Image

from p2pbench.cli import cli
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import MENDABLE
from p2pbench.networks.generator import DROPOUT_BLOCKS, Generator, GeneratorArchitecture
from p2pbench.training.generator_file import GeneratorCard, save_generator

DEEP = (0.0, 65535.0)


def saved(path: Path, seed: int = 0, channels: tuple[int, int] = (3, 3), **card: Any) -> Path:  # noqa: ANN401
    """A generator with weights of its own, for pictures of 8 bits unless the card says otherwise."""
    torch.manual_seed(seed)
    shape = GeneratorArchitecture(
        input_channels=channels[0],
        output_channels=channels[1],
        depth=5,
        ngf=2,
        skips=True,
        bottleneck_norm=False,
        dropout_blocks=(0,),
    )
    settings = {
        "dataset": "folders",
        "direction": "AtoB",
        "image_size": 32,
        "input_range": (0.0, 255.0),
        "input_bits": 8,
        "output_range": (0.0, 255.0),
        "output_bits": 8,
        "test_dropout": True,
        "test_batch_norm": "batch",
        "seed": 0,
        "source": "a test",
        **card,
    }
    save_generator(path, Generator(shape), GeneratorCard.model_validate({"architecture": shape, **settings}))
    return path


def generator_of(**architecture: Any) -> Generator:  # noqa: ANN401 (any field)
    """A generator of RGB pictures with the paper's dropout, unless the fields say otherwise."""
    paper = {"input_channels": 3, "output_channels": 3, "bottleneck_norm": False, "dropout_blocks": DROPOUT_BLOCKS}
    return Generator(GeneratorArchitecture(**paper | architecture))


def save(path: Path, values: Picture) -> None:
    Image.fromarray(values).save(path)


def generate(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["generate", *map(str, arguments), "--device", "cpu"])
    if result.exception and not isinstance(result.exception, (SystemExit, *MENDABLE)):
        raise result.exception
    return result


def refused(*arguments: object) -> str:
    """The one line of a refused call, which changes no file of the test's folder."""
    everything = Path(str(arguments[1])).parent
    before = content(everything)
    error = generate(*arguments).exception
    assert isinstance(error, MENDABLE)
    assert content(everything) == before
    return str(error)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name not in {"generation.json", "made.jsonl"}}


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "generation.json").read_text())
    return found
