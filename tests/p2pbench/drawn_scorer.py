"""Scorers without training, Cityscapes' folders, and `fcn-score` as a call, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from fcn import weights
from fcn.labels import LabelTable
from fcn.network import FCN, FcnArchitecture, draw_weights
from fcn.weights import Card
from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.datasets.labelled import NATIVE_SIZE
from p2pbench.errors import MENDABLE
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.truth import open_truth
from reports.store.layout import Run
from tests.p2pbench.grids import run_grid
from tests.p2pbench.tiny import TINY

PHOTO_SIZE = 48


def make_scorer(path: Path, table: LabelTable, channels: int, seed: int = 0, source: str = "drawn") -> Path:
    """A scorer that has learned nothing, but chooses among all its channels."""
    network = FCN(FcnArchitecture(channels, width=1 / 32, hidden=8))
    draw_weights(network, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.get_parameter("upscore8.weight").normal_(generator=torch.Generator().manual_seed(seed))
    weights.save(path, network, Card(network.architecture, table.classes, table.name, PHOTO_SIZE, source, None))
    return path


def score(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["fcn-score", "--device", "cpu", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, (SystemExit, *MENDABLE)):
        raise result.exception
    return result


def error(*arguments: object) -> str:
    """The one line that a call ends with."""
    result = score(*arguments)
    assert isinstance(result.exception, MENDABLE)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def make_cityscapes(root: Path, items: int, highest: int) -> Path:
    """Photos, and labels with values up to `highest`, in the official folders."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for frame in range(items):
            for folder, ending, pixels in (
                ("leftImg8bit", "leftImg8bit", rng.integers(0, 256, (32, 64, 3))),
                ("gtFine", "gtFine_labelIds", rng.integers(0, highest + 1, (32, 64))),
            ):
                path = root / folder / split / "ulm" / f"ulm_{frame:06d}_000019_{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


ITEMS = 4


SMALL = {"dataset": "streets", "train_items": 4, "test_items": ITEMS, "epochs": 1, "device": "cpu"}


def train(results: Path, name: str, cells: tuple[str, ...] = ("L1", "cGAN"), **settings: Any) -> None:  # noqa: ANN401
    grid = GridConfig(title="Tiny", cells={cell: {"objective": cell} for cell in cells})
    run_grid(results, name, grid, "own.toml", {**TINY, **SMALL, **settings}, [0], Terminal())


def maps(run: Run, file: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Truth and prediction worked out step by step (docs/paper-protocol.md#script)."""
    network, _ = weights.load(file)
    truth = open_truth("streets:")
    pairs = []
    for id_, path in run.pictures().items():
        image = Image.open(path).convert("RGB").resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BILINEAR)
        image = image.resize((NATIVE_SIZE, NATIVE_SIZE), Image.Resampling.BILINEAR)
        bgr = np.asarray(image, np.float32)[:, :, ::-1] - np.array((72.78044, 83.21195, 73.45286), np.float32)
        with torch.no_grad():
            scores = network(torch.from_numpy(bgr.transpose(2, 0, 1).copy())[None])
        pairs.append((truth.labels(id_), scores[0].argmax(0).numpy().astype(np.uint8)))
    return pairs
