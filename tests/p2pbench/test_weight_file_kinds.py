"""What is given in place of a file of weights is named: empty, a picture, text, a web page, or cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save

from fcn import weights
from p2pbench.cli import cli
from p2pbench.config import run_config
from p2pbench.errors import MENDABLE
from p2pbench.metrics.published import check_weights
from p2pbench.training import checkpoint
from p2pbench.training.cyclegan_import import import_generator
from p2pbench.training.generator_file import read_generator
from p2pbench.training.model import build
from tests.p2pbench.test_arithmetic import CHANNELS
from tests.p2pbench.tiny import TINY


def init_of_a_scorer(path: Path) -> None:
    options = ("--dataset", "streets", "--train-items", "2", "--init", path, "--out", path.with_name("out"))
    raised = CliRunner().invoke(cli, ["fcn-train", *map(str, options)]).exception
    assert raised is not None
    raise raised


def load_checkpoint(path: Path) -> None:
    checkpoint.load(path, build(run_config(TINY, "test"), CHANNELS, torch.device("cpu")), {})


READERS: dict[str, Callable[[Path], object]] = {
    "generator": read_generator,
    "import of a generator": import_generator,
    "scorer": weights.load,
    "import of a scorer": weights.from_caffe,
    "init of a scorer": init_of_a_scorer,
    "published network": lambda path: check_weights(path, "Inception v3"),
    "checkpoint": load_checkpoint,
}


def picture(path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, "PNG")


def cut_weights(path: Path) -> None:
    torch.save({"a": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:-99])


def cut_safetensors(path: Path) -> None:
    path.write_bytes(save({"a": torch.zeros(99)})[:-9])


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "picture": (picture, "is a PNG picture"),
    "text": (lambda path: path.write_text("see the wiki\n"), "is text"),
    "web page": (lambda path: path.write_text("<!DOCTYPE html>"), "is a web page"),
    "cut weights": (cut_weights, "(is cut short or damaged|is a zip archive or a file of torch.save)"),
    "cut safetensors": (cut_safetensors, "(is cut short or damaged|is a safetensors file|file that is whole)"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_another_kind_of_file_is_named(reader: str, kind: str, tmp_path: Path) -> None:
    write, said = KINDS[kind]
    path = tmp_path / "given.safetensors"  # a name by which torch.load chooses its reader
    write(path)
    with pytest.raises(MENDABLE) as caught:
        READERS[reader](path)
    assert caught.match(rf"^{path}: [^;]*{said}[^;]*[;,] (expected .*(fetch|download) .*|delete it .*)$")
    assert "\n" not in str(caught.value)
