"""A results folder with everything that the report shows, and values whose order a test can work out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports.store import bootstrap, ledger
from reports.store.arithmetic import ARITHMETIC
from reports.store.layout import Grid, Run
from reports.store.metrics import describe
from reports.store.scores import Metric, Scores
from tests.reports import analysed

ITEMS = tuple(f"street-{number:02}" for number in range(40))
CELLS = ("L1", "GAN", "L1+cGAN", "old")
GRIDS = ("first", "second")
FEW = 14  # items of the second grid
TITLE = "What the loss does"
METRICS = ("psnr", "l1", "sharpness")
"""Higher is better, lower is better, and neither is."""

POOLED = ("fid", "histogram_l", "histogram_a", "histogram_b", "class_accuracy")
"""Without values by item; with them a table is as wide as they come."""

WITHOUT_PSNR = "GAN"
APART = "old"
"""Scored under another protocol, without the last item."""

UNLABELLED = ITEMS[5]
CLASSES = ("road", "building", "sky")
_STEPS = {"L1": 300, "GAN": 500, "L1+cGAN": 200, "old": 400, "real": 100}  # of the last digit shown, to a cell's least
_SIZE = (120, 160)  # larger than a thumbnail
_COLOURS = bytes.fromhex("804080" + "464646" + "4682b4") + bytes(3 * 253)


def write(results: Path) -> Path:
    """Make the results: two grids with the same cells and title, the second without all but pictures and scores."""
    random = np.random.default_rng(0)
    first, second = (Grid(results / name) for name in GRIDS)
    _write_grid(first, random, ITEMS)
    _write_more(first, random)
    _write_grid(second, random, ITEMS[:FEW])
    judged = {item: (3, number % 4) for number, item in enumerate(ITEMS)}
    algorithms = [analysed.algorithm(cell, 0.2, judged) for cell in ("L1", "L1+cGAN")]
    analysed.write(results, analysed.document(algorithms, grid=first.name))
    protocol = {"study": "first", "study_fingerprint": analysed.FINGERPRINT}
    for cell in ("L1", "L1+cGAN"):
        rates = np.array([100 * fooled / trials for trials, fooled in judged.values()])
        _score(first.run(cell, 0), "amt-first", protocol, ITEMS, len(ITEMS), {"fooling_rate": rates})
    return results


def of_item(grid: Grid, cell: str, metric: str, scorer: str = "image") -> dict[str, float]:
    """What the items of a cell scored, from the ledger; empty where it does not have the metric."""
    scores = ledger.read_scorer(grid.real if cell == "real" else grid.run(cell, 0), scorer)
    found = scores.metrics.get(metric)
    if found is None or found.per_item is None:
        return {}
    return dict(zip(scores.item_ids, found.per_item.tolist(), strict=True))


def _write_grid(grid: Grid, random: np.random.Generator, items: Sequence[str]) -> None:
    grid.folder.mkdir(parents=True)
    document = {
        "title": TITLE,
        "source": "a paper, table 1",
        "cells": {cell: {"l1_weight": place} for place, cell in enumerate(CELLS)},
        "seeds": [0],
        "dataset": {"name": "streets", "root": "/data", "test_split": "val", "note": "", "test": {"n": len(items)}},
        "settings": {"steps": 300},
        "versions": {"numpy": "2.0"},
        "git_revision": "abc123",
    }
    grid.json.write_text(json.dumps(document))
    for run in (grid.input, grid.real, *(grid.run(cell, 0) for cell in CELLS)):
        _write_pictures(run.images, items, random)
    for run in (grid.real, *(grid.run(cell, 0) for cell in CELLS)):
        _write_scores(run, items, random)
    for cell in CELLS:
        grid.run(cell, 0).config.write_text(json.dumps({"settings": {}, "arithmetic": ARITHMETIC}))
        grid.run(cell, 0).generator.write_bytes(b"weights")


def _write_more(grid: Grid, random: np.random.Generator) -> None:
    """Label maps, classes, colours and losses."""
    _write_maps(grid.labels, [item for item in ITEMS if item != UNLABELLED], random)
    for run in (grid.real, *(grid.run(cell, 0) for cell in CELLS)):
        _write_maps(run.segmentations, ITEMS, random)
        _write_classes(run, random)
        weights = bootstrap.item_weights(ITEMS, 200)
        iou = Metric(0.4, 0.4 + 0.01 * weights[:, 0])
        ledger.write(run, Scores("fcn-strict", {"fcn": "strict"}, ITEMS, len(ITEMS), {"class_iou": iou}))
    for cell in CELLS:
        _write_colours(grid.run(cell, 0), random)
        _write_losses(grid.run(cell, 0), random)


def _write_pictures(folder: Path, items: Sequence[str], random: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for item in items:
        pixels = random.integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{item}.png", compress_level=1)


def _write_maps(folder: Path, items: Sequence[str], random: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for item in items:
        blocks = random.integers(0, len(CLASSES), (3, 4), dtype=np.uint8)
        drawn = Image.fromarray(np.kron(blocks, np.ones((20, 20), np.uint8)), "P")
        drawn.putpalette(_COLOURS)
        drawn.save(folder / f"{item}.png")


def _write_scores(run: Run, items: Sequence[str], random: np.random.Generator) -> None:
    """Values that are equal to what is shown of them, all different in a cell."""
    scored = items[:-1] if run.cell == APART else items
    steps = {name: random.permutation(len(scored)) + _STEPS[run.cell] for name in METRICS}
    values = {name: np.round(step / 10 ** describe(name).digits, 4) for name, step in steps.items()}
    if run.cell == WITHOUT_PSNR:
        del values["psnr"]
    protocol = {"scale": "0..1", "window": 7 if run.cell == APART else 11}
    _score(run, "image", protocol, scored, len(items), values, POOLED)


def _write_classes(run: Run, random: np.random.Generator) -> None:
    """What the scorer of label maps says of each class, and what it takes for which."""
    counts = random.integers(0, 5000, (len(CLASSES), len(CLASSES) + 1))
    lines = ["class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images"]
    for place, name in enumerate(CLASSES):
        share = counts[place, place] / counts[place].sum()
        lines.append(f"{name},{share},{share},{share},{share},{share},{share},{counts[place].sum()},{len(ITEMS)}")
    run.classes("fcn-strict").write_text("\n".join(lines) + "\n")
    rows = [",".join([name, *map(str, counts[place])]) for place, name in enumerate(CLASSES)]
    head = ",".join(["truth", *CLASSES, "void"])
    run.confusion_table("fcn-strict").write_text("\n".join([head, *rows]) + "\n")


def _write_losses(run: Run, random: np.random.Generator) -> None:
    lines = [f"{10 * step},{step},60.5,,{value:.4f},," for step, value in enumerate(random.random(30))]
    run.losses.write_text("step,epoch,images_per_second,G_GAN,G_L1,D_real,D_fake\n" + "\n".join(lines) + "\n")


def _write_colours(run: Run, random: np.random.Generator) -> None:
    lines = ["channel,low,high,output,target"]
    for channel, first in (("L", 0), ("a", -50), ("b", -50)):
        counts = random.integers(1, 1000, (100, 2))
        lines += [f"{channel},{first + place},{first + place + 1},{a},{b}" for place, (a, b) in enumerate(counts)]
    run.lab_histograms.write_text("\n".join(lines) + "\n")


def _score(
    run: Run,
    scorer: str,
    protocol: Mapping[str, object],
    items: Sequence[str],
    n_expected: int,
    values: Mapping[str, NDArray[np.float64]],
    pooled: Sequence[str] = (),
) -> None:
    weights = bootstrap.item_weights(items, 200)
    metrics = {
        name: Metric(float(each.mean()), weights @ each.astype(np.float32) / len(items), each)
        for name, each in values.items()
    }
    metrics |= {name: Metric(0.8, 0.8 + 0.01 * weights[:, 0]) for name in pooled}
    ledger.write(run, Scores(scorer, protocol, tuple(items), n_expected, metrics))
