"""Images per second of K concurrent trainings on one device.

    python benchmarks/parallel.py [--parallel 1 2 3 4] [--device auto]

L1+cGAN: 256x256, ngf = ndf = 64, batch 1 on a GPU; quickstart's size on a CPU. This is what `p2pbench train-ablation
--parallel K` measures before it trains: real steps, first of one process, then of K that take them at the same time.
K = 1 shows how far two measurements of the same are apart.
"""

from __future__ import annotations

import record

import numpy as np

from p2pbench.ablation.grid import QUICKSTART_SETTINGS
from p2pbench.ablation.timing import NotMeasured, Totals, throughput
from p2pbench.ablation.workers import workers
from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.dataset import Channels
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.precision import resolved
from p2pbench.runtime.terminal import Terminal

CHANNELS = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))


def measure(count: int, config: RunConfig) -> Totals:
    """So many at once, against one after the other."""
    with stop_request() as stop, workers(count, Terminal(), stop) as opened:
        return throughput(opened.measure([(config, CHANNELS)] * count))


def main() -> None:
    """Measure and print."""
    parser = record.options(__doc__)
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = pick_device(chosen.device)
    size = {} if device.type == "cuda" else QUICKSTART_SETTINGS
    config = resolved(run_config({**size, "device": chosen.device}, "benchmark"), device)
    found = record.Record("parallel", chosen)
    rows: list[dict[str, object]] = []
    for count in chosen.parallel:
        try:
            totals = measure(count, config)
        except NotMeasured as problem:
            rows.append({"runs": count, "problem": str(problem)})
        else:
            rates = {"images_per_second_at_once": totals.concurrent, "images_per_second_in_turn": totals.sequential}
            rows.append({"runs": count, **rates, "gain": totals.gain})
    found.table(f"{config.image_size}x{config.image_size}, {config.precision}", rows)
    found.save()


if __name__ == "__main__":
    main()
