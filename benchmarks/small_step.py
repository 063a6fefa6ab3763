"""How long a training step of quickstart's cells takes, against the same of another checkout.

    python benchmarks/small_step.py OTHER [--blocks 12] [--steps 10] [--late 0]

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
from pathlib import Path
from typing import Any

from p2pbench.cli import SPINS

HERE = Path(__file__).resolve().parent.parent
CELLS = ("L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN")
SCENES = 480


def serve(cells: list[str], steps: int, late: int) -> None:
    """Take a block of steps of a cell whenever a line names it; answer with processor and wall seconds a step."""
    import numpy as np
    import torch

    from p2pbench.ablation.quickstart import SETTINGS
    from p2pbench.config import run_config
    from p2pbench.datasets.cache import CachedSamples, Channels
    from p2pbench.datasets.drawn import Streets
    from p2pbench.training.batches import Batches
    from p2pbench.training.model import build
    from p2pbench.training.randomness import Purpose, torch_seed
    from p2pbench.training.schedule import learning_rate
    from p2pbench.training.step import training_step

    torch.set_num_threads(1)
    device, channels = torch.device("cpu"), Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
    try:  # what checkouts from before these changes do not have
        from p2pbench.training.freed_memory import keep_freed_memory
        from p2pbench.training.randomness import default_generator
    except ImportError:
        seed_noise: Any = torch.manual_seed
    else:
        keep_freed_memory()
        seed_noise = default_generator(device).manual_seed

    random = torch.Generator().manual_seed(0)
    runs = {}
    for cell in cells:
        config = run_config({**SETTINGS, "objective": cell}, "benchmark")
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
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    print(f"{'cell':10}{'processor ms a step':>30}{'wall ms a step':>30}")
    print(f"{'':10}" + f"{'before':>10}{'now':>10}{'ratio':>10}" * 2)
    totals: dict[str, list[float]] = {"before": [0.0, 0.0], "now": [0.0, 0.0]}
    for cell in arguments.cells:
        line = f"{cell:10}"
        for kind in (0, 1):
            before, now = ([block[kind] for block in seconds[name, cell]] for name in ("before", "now"))
            ratio = statistics.median(b / n for b, n in zip(before, now, strict=True))
            totals["before"][kind] += statistics.median(before)
            totals["now"][kind] += statistics.median(now)
            line += f"{1000 * statistics.median(before):10.1f}{1000 * statistics.median(now):10.1f}{ratio:10.2f}"
        print(line)
    line = f"{'fastest':10}"
    for kind in (0, 1):
        least = {
            name: sum(min(block[kind] for block in seconds[name, cell]) for cell in arguments.cells)
            for name in checkouts
        }
        line += f"{1000 * least['before']:10.1f}{1000 * least['now']:10.1f}{least['before'] / least['now']:10.2f}"
    print(line)
    line = f"{'together':10}"
    for kind in (0, 1):
        before_, now_ = totals["before"][kind], totals["now"][kind]
        line += f"{1000 * before_:10.1f}{1000 * now_:10.1f}{before_ / now_:10.2f}"
    print(line)


if __name__ == "__main__":
    main()
