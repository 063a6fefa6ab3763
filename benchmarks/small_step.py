"""Time of a training step of quickstart's cells, against that of another checkout.

    python benchmarks/small_step.py OTHER [--blocks 12] [--steps 10] [--late 0] [--json FILE]

OTHER is a checkout of p2pbench from before a change: `git worktree add ../before REVISION`. Two processes of one
thread, one a checkout, take blocks of steps in turns, so that they meet the same noise of the machine; each step is
what the training loop does: its rate, its seed, its batch, both updates. Printed are processor and wall time a step,
the median of the blocks, and the median of the ratios block by block; then the fastest blocks alone, which other
processes disturbed least. `--late N` takes N steps first, since numbers late in training are other numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import Record, options, revision

HERE = Path(__file__).resolve().parent.parent
CELLS = ("L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN")
SCENES = 480


def serve(cells: list[str], steps: int, late: int) -> None:
    """Take a block of steps of a cell whenever a line names it; answer with processor and wall seconds a step."""
    import numpy as np
    import torch

    from p2pbench.ablation.grid import QUICKSTART_SETTINGS
    from p2pbench.config import run_config
    from p2pbench.datasets.cache import CachedSamples
    from p2pbench.datasets.dataset import Channels
    from p2pbench.datasets.labelled import Streets
    from p2pbench.training.batches import Batches
    from p2pbench.training.model import build
    from p2pbench.training.optimizer import learning_rate
    from p2pbench.training.seeding import Purpose, torch_seed
    from p2pbench.training.step import training_step

    torch.set_num_threads(1)
    device, channels = torch.device("cpu"), Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
    try:  # what checkouts from before these changes do not have
        from p2pbench.runtime.device import keep_freed_memory
        from p2pbench.training.seeding import default_generator
    except ImportError:
        seed_noise: Any = torch.manual_seed
    else:
        keep_freed_memory()
        seed_noise = default_generator(device).manual_seed

    random = torch.Generator().manual_seed(0)
    runs = {}
    for cell in cells:
        config = run_config({**QUICKSTART_SETTINGS, "objective": cell}, "benchmark")
        side = config.load_side
        # Smooth pictures, as streets are: losses fall and gradients become small, as in a training.
        pictures = {
            part: torch.nn.functional.interpolate(
                torch.rand(SCENES, count, 6, 6, generator=random) * 255, (side, side), mode="bilinear"
            ).to(torch.uint8)
            for part, count in (("input", 3), ("target", 3), ("labels", 1))
        }
        batches = Batches(Streets(None), CachedSamples(channels, pictures), config, device)
        runs[cell] = config, build(config, channels, device), enumerate(batches.between(0, 10**6))

    def take(cell: str, count: int) -> tuple[float, float]:
        config, model, batches = runs[cell]
        processor, wall = time.process_time(), time.perf_counter()
        for _ in range(count):
            step, batch = next(batches)
            model.set_learning_rate(learning_rate(config, 0))
            seed_noise(torch_seed(config.seed, Purpose.DROPOUT, step))
            training_step(model, batch, config)
        return (time.process_time() - processor) / count, (time.perf_counter() - wall) / count

    for cell in cells:
        take(cell, late + 3)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(take(line.strip(), steps)), flush=True)


class Checkout:
    """A process that takes steps with the code of one checkout."""

    def __init__(self, root: Path, arguments: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments, "--serve"],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, cell: str | None = None) -> str:
        """A line of the process, after it took a block of steps of a cell."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if cell is not None:
            print(cell, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--late", type=int, default=0)
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.cells, arguments.steps, arguments.late)
        return
    passed = ["-", "--steps", str(arguments.steps), "--late", str(arguments.late), "--cells", *arguments.cells]
    checkouts = {"before": Checkout(arguments.other.resolve(), passed), "now": Checkout(HERE, passed)}
    for checkout in checkouts.values():
        assert checkout.ask() == "ready\n"
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for block in range(arguments.blocks):
        for cell in arguments.cells:
            for name in checkouts if block % 2 else reversed(checkouts):
                seconds.setdefault((name, cell), []).append(json.loads(checkouts[name].ask(cell)))
    record = Record("small_step", arguments)
    rows = table(seconds, arguments.cells)
    other = (revision(arguments.other) or "an unknown revision")[:12]
    blocks = f"{arguments.blocks} blocks of {arguments.steps} in one thread"
    record.table(f"A step of quickstart's cells, {blocks}, before: {other}", rows)
    record.save()


def table(seconds: dict[tuple[str, str], list[tuple[float, float]]], cells: Sequence[str]) -> list[dict[str, object]]:
    """A row a cell; then all cells together: their fastest blocks, and their medians."""
    rows: list[dict[str, object]] = [{"cell": cell} for cell in (*cells, "fastest", "together")]
    for place, kind in enumerate(("processor", "wall")):
        blocks = {key: [block[place] for block in both] for key, both in seconds.items()}
        pairs = [(blocks["before", cell], blocks["now", cell]) for cell in cells]
        medians = [(statistics.median(before), statistics.median(now)) for before, now in pairs]
        ratios = [statistics.median(b / n for b, n in zip(before, now, strict=True)) for before, now in pairs]
        for least in (min, statistics.median):
            before, now = (sum(least(side) for side in sides) for sides in zip(*pairs, strict=True))
            medians.append((before, now))
            ratios.append(before / now)
        for row, (before, now), ratio in zip(rows, medians, ratios, strict=True):
            row |= {f"{kind}_seconds_before": before, f"{kind}_seconds_now": now, f"{kind}_ratio": ratio}
    return rows


if __name__ == "__main__":
    main()
