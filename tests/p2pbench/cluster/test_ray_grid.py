"""Grids on a real Ray cluster of several node processes: the same files as by the local engine, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray.cluster_utils import Cluster

from p2pbench.ablation import ray
from p2pbench.ablation.data import open_data
from p2pbench.ablation.grid import PlannedRun
from p2pbench.cluster import jobs
from p2pbench.cluster.jobs import Job
from p2pbench.config import GridConfig, run_config
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import StopRequest
from p2pbench.runtime.progress import TrainingProgress
from p2pbench.training.records import read_run
from reports.store.layout import Grid, Run
from tests.p2pbench.cluster.nodes import (
    ROOT,
    add_node,
    logged_steps,
    made,
    node_at_work,
    rows,
    saved_step,
    wait_for_file,
    wait_for_step,
    workers_at_work,
)
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.test_training import assert_same
from tests.p2pbench.tiny import TINY
from tests.patience import PATIENCE

pytestmark = pytest.mark.ray

LONG = 20  # epochs, of 12 steps each: time enough to kill something in the middle
CELLS: dict[str, dict[str, Any]] = {"L1": {"objective": "L1"}, "L1+cGAN": {}}
Train = Callable[..., Grid]


@pytest.fixture(scope="module")
def train(folders: Path) -> Train:
    """Train a grid here, or on a cluster."""

    def start(
        out: Path,
        cluster: jobs.Cluster | None = None,
        notes: Notes | None = None,
        cells: dict[str, dict[str, Any]] = CELLS,
        **changed: Any,  # noqa: ANN401 (any setting)
    ) -> Grid:
        settings = {**TINY, "root": str(folders), "device": "cpu", "threads": 1, "log_every": 1, **changed}
        grid = GridConfig(title="Two", cells=cells)
        return run_grid(out, "two", grid, "own.toml", settings, [0], notes or Notes(), cluster=cluster)

    return start


@pytest.fixture(scope="module")
def uninterrupted(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """By the local engine, in one go."""
    return train(tmp_path_factory.mktemp("local"), epochs=LONG)


def assert_same_run(run: Run, other: Run) -> None:
    assert_same(*(torch.load(each.checkpoint, weights_only=True) for each in (run, other)))
    assert made(run) == made(other)
    assert rows(run) == rows(other)


def test_a_grid_is_the_same_as_by_the_local_engine_and_all_runs_are_heard(
    found: jobs.Cluster, train: Train, tmp_path: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = train(tmp_path / "local")
    notes = Notes()
    monkeypatch.chdir(folders.parent)  # relative paths lead elsewhere in a worker
    out = Path(os.path.relpath(tmp_path / "ray"))
    by_ray = train(out, found, notes, root=folders.name)
    for run, other in zip(by_ray.runs(), local.runs(), strict=True):
        assert (run.cell, run.seed) == (other.cell, other.seed)
        assert_same_run(run, other)
        assert sorted(run.scorers()) == sorted(other.scorers())
    finished = {(work, progress.step) for work, progress in notes.trained if progress.step == progress.total}
    assert finished == {("L1 seed 0", 24), ("L1+cGAN seed 0", 24)}
    assert {(work, done) for work, done, total in notes.counted if done == total} >= {
        ("L1 seed 0: pictures", 3),
        ("L1+cGAN seed 0: pictures", 3),
    }
    assert sum(": on " in line for line in notes.said) == 2
    assert sum("trained, pictures made" in line for line in notes.said) == 2
    assert not list((tmp_path / "ray").rglob(".seen-*"))
    again = Notes()
    train(out, found, again, root=folders.name)
    assert again.trained == []


def test_a_killed_machine_costs_the_steps_since_the_last_checkpoint(
    cluster: Cluster, found: jobs.Cluster, train: Train, tmp_path: Path, uninterrupted: Grid
) -> None:
    cells = {"L1+cGAN": CELLS["L1+cGAN"]}
    run = Grid(tmp_path / "two").run("L1+cGAN", 0)
    saved: list[int] = []

    def kill() -> None:
        wait_for_step(run, 30)
        wait_for_file(run.checkpoint)
        node = node_at_work(cluster)
        (worker,) = workers_at_work(node)
        worker.suspend()  # so that it saves no more
        saved.append(saved_step(run))
        cluster.remove_node(node, allow_graceful=False)
        with suppress(psutil.NoSuchProcess):  # it may have gone with its machine
            worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    notes = Notes()
    try:
        train(tmp_path, found, notes, cells, epochs=LONG, checkpoint_seconds=0.5)
    finally:
        killer.join()
        add_node(cluster)
    steps = [progress.step for _, progress in notes.trained]
    places = [place for place in range(1, len(steps)) if steps[place] <= steps[place - 1]]
    again = places[0] if places else next(p for p in range(len(steps)) if steps[p] == saved[0] + 1)
    assert len(places) <= 1
    assert saved[0] > 0
    assert steps[again] == saved[0] + 1  # nothing before the checkpoint was done twice
    assert steps[-1] == 12 * LONG
    (lost,) = [line for line in notes.said if "lost" in line]
    assert lost.startswith("L1+cGAN seed 0: lost on ")
    assert_same_run(run, uninterrupted.run("L1+cGAN", 0))


def command(out: Path, folders: Path, toml: Path, *arguments: str, **settings: object) -> list[str]:
    rest = {key: value for key, value in TINY.items() if key != "dataset"}
    given = {**rest, "epochs": LONG, "threads": 1, "log_every": 1, "device": "cpu", **settings}
    options = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    toml.write_text('title = "Two"\n[cells."L1"]\nobjective = "L1"\n[cells."L1+cGAN"]\nobjective = "L1+cGAN"\n')
    where = ["--dataset", "folders", "--root", str(folders), "--out", str(out)]
    return [sys.executable, "-m", "p2pbench", "train-ablation", str(toml), *where, *options, *arguments]


def test_ctrl_c_saves_all_runs_and_the_same_command_goes_on(
    cluster: Cluster, folders: Path, tmp_path: Path, uninterrupted: Grid
) -> None:
    """Pressed in a terminal, where it reaches Ray's processes too: the cluster is one of this command alone."""
    grid = Grid(tmp_path / "out" / "two")
    line = command(tmp_path / "out", folders, tmp_path / "two.toml", "--engine", "ray", checkpoint_seconds=1000.0)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    runs = [grid.run("L1", 0), grid.run("L1+cGAN", 0)]
    wait_for_step(runs[0] if (os.cpu_count() or 1) == 1 else runs[1], 3)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "rerun the same command to resume" in said.splitlines()[-1]
    begun = [run for run in runs if run.losses.exists()]
    assert begun
    steps = [saved_step(run) for run in begun]
    assert steps == [logged_steps(run) for run in begun]
    assert 0 < min(steps) < 12 * LONG
    by_address = [*line, "--address", cluster.address]
    again = subprocess.run(by_address, capture_output=True, text=True, timeout=PATIENCE)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("report: ")
    for run in runs:
        assert_same_run(run, uninterrupted.run(run.cell, 0))


def test_a_gpu_that_is_not_there_is_named_with_its_machine(
    cluster: Cluster, found: jobs.Cluster, train: Train, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="a job needs 1 CPU and a GPU, but no machine of the cluster has that"):
        train(tmp_path, found, device="cuda")
    with pytest.raises(UserError, match="a job needs 5 CPUs, but no machine"):
        train(tmp_path, found, threads=5)
    with pytest.raises(UserError, match="device 'cuda:1': with --engine ray expected auto, cpu or cuda"):
        train(tmp_path, found, device="cuda:1")
    assert not (tmp_path / "two").exists()
    node = add_node(cluster, num_gpus=1)
    try:
        with pytest.raises(UserError, match=r"machine .*: Ray assigned this process a GPU, but device 'cuda' is not"):
            train(tmp_path, found, cells={"L1": CELLS["L1"]}, device="auto")
    finally:
        cluster.remove_node(node)


def test_a_machine_that_decodes_the_pictures_says_how_far_it_is(
    cluster: Cluster, found: jobs.Cluster, train: Train, tmp_path: Path
) -> None:
    own = {"PYTHONPATH": str(ROOT), "P2PBENCH_CACHE": str(tmp_path / "cache")}
    node = add_node(cluster, cpus=2, env_vars=own)
    notes = Notes()
    try:
        train(tmp_path, found, notes, {"L1": CELLS["L1"]}, threads=2)  # no other node has so many
    finally:
        cluster.remove_node(node)
    assert ("L1 seed 0: pictures decoded", 12, 12) in notes.counted


class StopsAtThree(Notes):
    """Fails when a training has taken three steps."""

    def train(self, work: str, progress: TrainingProgress) -> None:
        if progress.step == 3:
            raise UserError("stopped by the test")


def test_a_run_keeps_its_threads_on_smaller_machines(found: jobs.Cluster, train: Train, tmp_path: Path) -> None:
    cells = {"L1": CELLS["L1"]}
    with pytest.raises(UserError, match="stopped by the test"):
        train(tmp_path, None, StopsAtThree(), cells, threads=9, checkpoint_seconds=0.0)
    grid = train(tmp_path, found, cells=cells, threads=None)
    assert read_run(grid.run("L1", 0)).settings.threads == 9
    assert grid.run("L1", 0).generator.exists()
    other = train(tmp_path / "other", found, cells=cells, threads=None)
    assert read_run(other.run("L1", 0)).settings.threads == 1  # what a job gets there, and keeps


def test_other_pictures_on_a_machine_are_named(
    found: jobs.Cluster, train: Train, folders: Path, tmp_path: Path
) -> None:
    planned = PlannedRun(Grid(tmp_path / "two").run("L1", 0), run_config({**TINY, "root": str(folders)}, "test"))
    data = open_data(planned.config, lambda done, total: None)
    described = {**data.describe(), "train": {**data.describe()["train"], "content": "another"}}
    needs = found.needs("cpu", 1)
    job = Job(planned.name, ray._train, (planned, described), needs, planned.run.checkpoint)
    ((_, answer),) = found.execute([job], tmp_path, Notes(), StopRequest())
    assert "holds other items on this machine" in str(answer.error)
