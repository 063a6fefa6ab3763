"""Grids with scores, classes, confusion and histograms, and studies of them, made without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reports.store import ledger
from reports.store.bootstrap import item_weights
from reports.store.layout import Grid, Run
from reports.store.scores import Metric, Scores
from tests.reports import analysed

ITEMS = tuple(f"street {number}" for number in range(6))
PUBLISHED = {"network": "FCN-8s, 20 channels for 19 classes, width 1, padded 100", "image_size": 256}
NAMES = ("road", "<b>", "=sum", "none here")
CITYSCAPES = {"name": "cityscapes", "direction": "labels-to-photo", "test": {"n": 500}}
MAPS = {"name": "paired", "root": "/data/maps", "direction": "BtoA", "train": {"n": 1096}, "test": {"n": 6}}
STREETS = {"name": "streets", "direction": "labels-to-photo", "test": {"n": 6}}


def score(run: Run, scorer: str, protocol: Mapping[str, object], salt: int, *metrics: str, items: int = 6) -> None:
    """Scores that differ by run; histograms and IoU have no values of single items."""
    random = np.random.default_rng([salt, *run.cell.encode(), run.seed or 0])
    weights = item_weights(ITEMS[:items], 200)
    numbers = {}
    for name in metrics:
        per_item = random.random(items) * (100 if name == "fooling_rate" else 1)
        whole = name.startswith("histogram") or name == "class_iou"
        numbers[name] = Metric(float(per_item.mean()), weights @ per_item / items, None if whole else per_item)
    ledger.write(run, Scores(scorer, protocol, ITEMS[:items], 6, numbers))


def label_scores(run: Run) -> None:
    """Classes, one of them nowhere in the truth, and what was taken for what."""
    random = np.random.default_rng([9, *run.cell.encode(), run.seed or 0])
    lines = ["class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images"]
    lines += [f"{name},{','.join(map(str, random.random(6)))},1000,6" for name in NAMES[:3]] + [
        "none here,,,,0.0,,,0,0"
    ]
    run.classes("fcn-strict").write_text("\n".join(lines))
    counts = [[*random.integers(0, 400, 3), 0, 3], [0, 1000, 1, 0, 0], [*random.integers(0, 400, 5)], [0] * 5]
    table = [f"{name},{','.join(map(str, line))}" for name, line in zip(NAMES, counts, strict=True)]
    run.confusion_table("fcn-strict").write_text("\n".join([f"truth,{','.join(NAMES)},beyond the classes", *table]))


def put_grid(grid: Grid, dataset: Mapping[str, object], cells: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """A grid with pictures; its trained runs."""
    settings = {"settings": {"image_size": 256}, "cells": {cell: {"objective": cell} for cell in cells}}
    document = {"title": grid.name, "source": "paper, Table 1", "dataset": dataset, "seeds": seeds, **settings}
    grid.folder.mkdir(parents=True)
    grid.json.write_text(json.dumps(document))
    runs = [grid.run(cell, seed) for cell in cells for seed in seeds]
    for place, run in enumerate([*runs, grid.real]):
        run.images.mkdir(parents=True)
        for number, item in enumerate(ITEMS):
            Image.new("RGB", (16, 16), (20 * place, 30 * number, 90)).save(run.images / f"{item}.png")
    return runs


def put_study(folder: Path, grid: Grid, name: str, cells: Sequence[str]) -> None:
    judged = [{item: (3, (place + 2 * number) % 4) for number, item in enumerate(ITEMS)} for place in range(len(cells))]
    algorithms = [analysed.algorithm(cell, 0.2 + 0.1 * place, judged[place]) for place, cell in enumerate(cells)]
    analysed.write(folder, analysed.document(algorithms, name, grid.name))
    for cell in cells:
        protocol = {"study": name, "study_fingerprint": analysed.FINGERPRINT}
        score(grid.run(cell, 0), f"amt-{name}", protocol, 5, "fooling_rate")
