"""Time and memory of a report, size of its first view, and growth of its time with the items.

Makes results folders of 20 cells with 125, 250 and 500 items of 256x256 pixels (pictures, label maps, and per-item
scores of three scorers), writes each folder's report in a process of its own, and opens the largest in Chromium.

    python benchmarks/report.py [--items 125 250 500] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import Record, options

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from scipy.ndimage import gaussian_filter

from browser import chromium
from reports.store import bootstrap, ledger
from reports.store.layout import Grid
from reports.store.scores import Metric, Scores

CELLS, SIZE, DISTINCT = 20, 256, 24
METRICS = {
    "fcn-official": ("pixel_accuracy", "class_accuracy", "class_iou"),
    "fcn-strict": ("pixel_accuracy", "class_accuracy", "class_iou"),
    "image": ("l1", "psnr", "ssim", "gmsd", "sharpness"),
}


def photos(folder: Path) -> list[Path]:
    """Pictures with about as many bytes as photos of street scenes."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(DISTINCT):
        smooth = gaussian_filter(random.normal(size=(SIZE, SIZE, 3)), (12, 12, 0)) * 900
        pixels = np.clip(128 + smooth + random.normal(size=(SIZE, SIZE, 3)) * 3.5, 0, 255).astype(np.uint8)
        paths.append(folder / f"photo-{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def label_maps(folder: Path) -> list[Path]:
    """Palette pictures of 19 classes in patches."""
    random = np.random.default_rng(1)
    paths = []
    for number in range(DISTINCT):
        patches = random.integers(0, 19, (16, 16), dtype=np.uint8).repeat(SIZE // 16, 0).repeat(SIZE // 16, 1)
        picture = Image.frombytes("P", (SIZE, SIZE), patches.tobytes())
        picture.putpalette(random.integers(0, 256, 768, dtype=np.uint8).tobytes())
        paths.append(folder / f"labels-{number}.png")
        picture.save(paths[-1])
    return paths


def make(results: Path, items: int, photo_files: list[Path], label_files: list[Path]) -> None:
    """A results folder with one grid."""
    ids = [f"item-{number:04}" for number in range(items)]
    weights = bootstrap.item_weights(ids)
    random = np.random.default_rng(2)
    grid = Grid(results / "bench")
    grid.folder.mkdir(parents=True)
    cells = [f"cell {number:02}" for number in range(CELLS)]
    grid.json.write_text(json.dumps({"title": "Bench", "cells": {cell: {} for cell in cells}, "seeds": [0]}))
    _copies(grid.input.images, ids, label_files)
    _copies(grid.labels, ids, label_files)
    runs = [grid.real, *(grid.run(cell, 0) for cell in cells)]
    for place, run in enumerate(runs):
        _copies(run.images, ids, photo_files[place:] + photo_files[:place])
        _copies(run.segmentations, ids, label_files[place:] + label_files[:place])
        run.generator.touch()
        for scorer, names in METRICS.items():
            values = {name: random.random(items) for name in names}
            metrics = {name: Metric(each.mean(), weights @ each / items, each) for name, each in values.items()}
            ledger.write(run, Scores(scorer, {"bench": 1}, tuple(ids), items, metrics))


def _copies(folder: Path, ids: list[str], sources: list[Path]) -> None:
    folder.mkdir(parents=True)
    for number, item in enumerate(ids):
        shutil.copyfile(sources[number % len(sources)], folder / f"{item}.png")


def measure(results: Path) -> tuple[float, float]:
    """Seconds and peak bytes of one report, in a process of its own."""
    command = [sys.executable, "-m", "p2pbench", "report", str(results)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 2**10


def first_view(page: Path) -> tuple[float, float]:
    """Seconds until the page has loaded, and the bytes it has read by then."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        view = browser.new_page(viewport={"width": 1440, "height": 900})
        read: set[str] = set()
        view.on("request", lambda request: read.add(request.url))
        start = time.perf_counter()
        view.goto(page.as_uri())
        seconds = time.perf_counter() - start
        view.wait_for_timeout(1000)
        browser.close()
    root = page.parent.as_uri() + "/"
    files = [page.parent / url.removeprefix(root) for url in read if url.startswith(root)]
    return seconds, sum(file.stat().st_size for file in files)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[125, 250, 500])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    record = Record("report", chosen)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photo_files, label_files = photos(Path(folder)), label_maps(Path(folder))
        for items in chosen.items:
            results = Path(folder) / f"results-{items}"
            make(results, items, photo_files, label_files)
            runs = [measure(results) for _ in range(chosen.repeats)]
            seconds = float(np.median([run[0] for run in runs]))
            peak = max(run[1] for run in runs)
            rows.append(
                {"items": items, "seconds": seconds, "seconds_per_item": seconds / items, "peak_memory_bytes": peak}
            )
            print(f"{items} items: {seconds:.1f} s", flush=True)
        page = results / "report/index.html"
        size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        views = [first_view(page) for _ in range(chosen.repeats)]
        loaded, read = (float(np.median(part)) for part in zip(*views, strict=True))
    record.table(f"A report of {CELLS} cells, pictures of {SIZE}x{SIZE}, medians of {chosen.repeats}", rows)
    view = {"items": items, "seconds_to_load": loaded, "bytes_read": read, "bytes_of_report": size}
    record.table("Its first view in Chromium", [view])
    record.save()


if __name__ == "__main__":
    main()
