"""Small results folders with real pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.browser import QUICK, shared_browser

if TYPE_CHECKING:  # fixtures import what is slow to import
    from playwright.sync_api import Browser

    from reports.store.layout import Run
    from tests.reports.browsing import Visits

ITEMS = ("bridge", "church", "harbour", "square")
PROTOCOL = {"scale": "0..1", "ssim_window": 11}


def _paint(path: Path, seed: int, size: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _score(run: Run, values: Sequence[float], items: Sequence[str], n_expected: int) -> None:
    from reports.store import bootstrap, ledger
    from reports.store.scores import Metric, Scores

    per_item = np.array(values)
    weights = bootstrap.item_weights(items, 200)
    metric = Metric(float(per_item.mean()), weights @ per_item.astype(np.float32) / len(items), per_item)
    ledger.write(run, Scores("image", PROTOCOL, tuple(items), n_expected, {"l1": metric}))


def _log(run: Run, seed: int) -> None:
    noise = np.random.default_rng(seed).random(30)
    lines = [f"{10 * step},{step},60.5,,{value:.4f},," for step, value in enumerate(noise)]
    run.losses.write_text("step,epoch,images_per_second,G_GAN,G_L1,D_real,D_fake\n" + "\n".join(lines) + "\n")


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a results folder: one grid of finished, scored runs, with input and ground truth."""
    from reports.store.arithmetic import ARITHMETIC
    from reports.store.layout import Grid

    def make(
        cells: Sequence[str] = ("L1", "L1+cGAN"),
        seeds: Sequence[int] = (0,),
        items: Sequence[str] = ITEMS,
        name: str = "losses",
        title: str = "What the loss does",
    ) -> Path:
        results = tmp_path / "results"
        grid = Grid(results / name)
        grid.folder.mkdir(parents=True)
        document = {
            "title": title,
            "source": "a paper, table 1",
            "cells": {cell: {"l1_weight": 100 * place} for place, cell in enumerate(cells)},
            "seeds": list(seeds),
            "dataset": {"name": "streets", "root": "/data", "test_split": "val", "note": "", "test": {"n": 4}},
            "settings": {"steps": 300, "optimizer": {"name": "adam"}},
            "versions": {"numpy": "2.0"},
            "git_revision": "abc123",
        }
        grid.json.write_text(json.dumps(document))
        for number, item in enumerate(items):
            _paint(grid.input.images / f"{item}.png", number)
            _paint(grid.real.images / f"{item}.png", 100 + number)
        _score(grid.real, [0.0] * len(items), items, len(items))
        for place, cell in enumerate(cells):
            for seed in seeds:
                run = grid.run(cell, seed)
                for number, item in enumerate(items):
                    _paint(run.images / f"{item}.png", 1000 * place + 10 * seed + number)
                run.config.write_text(json.dumps({"settings": {}, "arithmetic": ARITHMETIC}))
                run.generator.write_bytes(b"weights")
                _score(run, [0.2 * (place + 1) + 0.01 * number for number in range(len(items))], items, len(items))
                _log(run, place)
        return results

    return make


@pytest.fixture
def results(build: Callable[..., Path]) -> Path:
    """Two cells with one seed, four items: l1 is .20 .21 .22 .23 for L1 and .40 .41 .42 .43 for L1+cGAN."""
    return build()


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with everything in it; its results are in the folder above that of the report."""
    from reports import html
    from tests.reports import rich as rich_results

    results = rich_results.write(tmp_path_factory.mktemp("rich") / "results")
    return html.write_report(results, results / "report")


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Browser:
    """The browser that tests share; another one if they name it."""
    return shared_browser(getattr(request, "param", QUICK))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """A function that opens pages; a test fails where one of them complains, or asks anything but the disk."""
    from tests.reports.browsing import Visits

    visits = Visits(browser)
    yield visits
    visits.close()
    visits.check()
