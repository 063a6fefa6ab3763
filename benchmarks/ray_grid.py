"""Speedup of a grid by a second machine: 6 cells, single-threaded, on node processes of one CPU each.

    python benchmarks/ray_grid.py [--repeats 3] [--epochs 20] [--json FILE]

Both clusters are Ray's, of node processes on this machine, and take turns, so that they meet the same noise. Measured
is the time from the first run given out to the last run done, training and pictures; neither the start of Ray nor the
scores.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from record import Record, options

from ray.cluster_utils import Cluster

from p2pbench.ablation.data import data_key, open_data
from p2pbench.ablation.grid import PlannedRun, plan_grid
from p2pbench.ablation.ray import execute_on_cluster
from p2pbench.cluster.connection import connected
from p2pbench.config import GridConfig
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.terminal import Terminal
from p2pbench.training.records import write_run
from reports.store.layout import Grid
from timing import medians

SETTINGS = {
    **{"dataset": "streets", "train_items": 100, "test_items": 10, "image_size": 64, "batch_size": 4},
    **{"receptive_field": 34, "ngf": 16, "ndf": 32, "threads": 1, "device": "cpu"},
}
STORE = 80 * 2**20


def seconds(nodes: int, plan: Sequence[PlannedRun], folder: Grid) -> float:
    """One pass over the grid, in a folder of its own, on so many nodes."""
    data = {data_key(planned.config): open_data(planned.config, lambda done, total: None) for planned in plan}
    for planned in plan:
        write_run(planned.run, planned.config, data[data_key(planned.config)].items.describe())
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        with connected(cluster.address) as found, stop_request() as stop:
            start = time.monotonic()
            for planned, error in execute_on_cluster(found, folder, plan, data, Terminal(), stop):
                if error is not None:
                    raise error
                print(f"  {nodes} nodes: {planned.name} after {time.monotonic() - start:.1f} s", flush=True)
            return time.monotonic() - start
    finally:
        cluster.shutdown()


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    chosen = parser.parse_args()
    grid = GridConfig(title="Six", cells={f"seed-of-{n}": {"learning_rate": 2e-4 + n * 1e-6} for n in range(6)})
    taken: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(chosen.repeats):
        with tempfile.TemporaryDirectory() as results:
            for nodes in (1, 2) if repeat % 2 == 0 else (2, 1):
                folder = Grid(Path(results) / f"nodes-{nodes}")
                plan = plan_grid(folder, grid, "benchmark", {**SETTINGS, "epochs": chosen.epochs}, [0]).runs
                taken[nodes].append(seconds(nodes, plan, folder))
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"one node {taken[1][-1]:.1f} s, two {taken[2][-1]:.1f} s (load {load})", flush=True)
    record = Record("ray_grid", chosen)
    title = f"Six cells, epochs: {chosen.epochs}, medians of {chosen.repeats}"
    record.table(title, medians({"one node": taken[1], "two nodes": taken[2]}))
    record.save()


if __name__ == "__main__":
    main()
