"""Ray clusters of several node processes on this machine, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray.cluster_utils import Cluster

from reports.store.layout import Run
from tests.patience import PATIENCE, wait_until

ROOT = Path(__file__).parents[3]
SMALL_STORE = 80 * 2**20


@contextmanager
def local_cluster(nodes: int) -> Iterator[Cluster]:
    """A head that does no work, where the command is given, and nodes of one CPU each."""
    # Nodes find the code under test wherever the command is given.
    code = pytest.MonkeyPatch()
    code.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": SMALL_STORE},
    )
    try:
        for _ in range(nodes):
            add_node(cluster)
        yield cluster
    finally:
        code.undo()
        cluster.shutdown()


def add_node(cluster: Cluster, cpus: int = 1, **options: Any) -> Any:  # noqa: ANN401 (of Ray)
    """One more machine, as it were."""
    node = cluster.add_node(wait=False, num_cpus=cpus, object_store_memory=SMALL_STORE, **options)
    cluster.wait_for_nodes(timeout=PATIENCE)
    return node


def workers_at_work(node: Any) -> list[psutil.Process]:  # noqa: ANN401
    """The processes of a node that do a job."""
    return processes(node, "ray::p2pbench")


def processes(node: Any, title: str) -> list[psutil.Process]:  # noqa: ANN401
    """The worker processes of a node whose titles begin so."""
    (raylet,) = node.all_processes["raylet"]
    found = []
    for child in psutil.Process(raylet.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has ended since
            if " ".join(child.cmdline()).startswith(title):
                found.append(child)
    return found


def node_at_work(cluster: Cluster) -> Any:  # noqa: ANN401
    """The node that does a job now."""
    (node,) = [node for node in cluster.worker_nodes if workers_at_work(node)]
    return node


def wait_for_step(run: Run, step: int) -> None:
    """Until losses.csv has that step."""
    wait_until(lambda: logged_steps(run) >= step, f"{run.folder}: step {step}")


def wait_for_file(path: Path) -> None:
    """Until it is there."""
    wait_until(path.exists, str(path))


def logged_steps(run: Run) -> int:
    """The last whole row of losses.csv."""
    lines = run.losses.read_text().split("\n")[1:-1] if run.losses.exists() else []
    return int(lines[-1].split(",")[0]) if lines else 0


def saved_step(run: Run) -> int:
    """Where a resumed training would begin."""
    step: int = torch.load(run.checkpoint, weights_only=True)["step"]
    return step


def rows(run: Run) -> list[list[str]]:
    """losses.csv without the speed."""
    lines = [line.split(",") for line in run.losses.read_text().splitlines()]
    return [line[:2] + line[3:] for line in lines]


def made(run: Run) -> dict[str, bytes]:
    """The generator and the outputs of a run, byte for byte."""
    files = [run.generator, *run.pictures().values()]
    return {path.name: Path(path).read_bytes() for path in files}
