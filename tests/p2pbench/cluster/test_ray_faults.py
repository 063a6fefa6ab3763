"""What can be wrong with a cluster, its machines and their workers: each is one line that says how to mend it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from ray.cluster_utils import Cluster

from p2pbench.ablation.data import Data
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.references import fill_references
from p2pbench.ablation.run import missing_items
from p2pbench.cli import cli
from p2pbench.cluster import jobs, nodes
from p2pbench.cluster.connection import connected
from p2pbench.cluster.jobs import Job, Needs
from p2pbench.cluster.worker import JobResult
from p2pbench.config import RunConfig
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stopped, StopRequest
from p2pbench.training.records import write_run
from reports.store.layout import Grid
from tests.p2pbench.cluster import work
from tests.p2pbench.cluster.nodes import ROOT, add_node, processes, rows
from tests.p2pbench.test_ablation import Notes
from tests.patience import PATIENCE

pytestmark = pytest.mark.ray

ONE_CPU = Needs(1, 0)
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from p2pbench.cli import main; main(sys.argv[1:])"


def command(*arguments: str, code: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)


def carried_out(
    found: jobs.Cluster,
    out: Path,
    *works: tuple[Any, ...],
    notes: Notes | None = None,
    stop: StopRequest | None = None,
    needs: Needs = ONE_CPU,
) -> list[JobResult]:
    """The answers of jobs, in the order of the jobs."""
    given = [Job(each.__name__, each, tuple(arguments), needs, out / "kept") for each, *arguments in works]
    answers = dict(found.execute(given, out, notes or Notes(), StopRequest() if stop is None else stop))
    return [answers[number] for number in range(len(given))]


def test_without_ray_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = command("train-ablation", "losses", "--engine", "ray", code=WITHOUT_RAY)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: --engine ray needs Ray")
    assert line.endswith("pip install 'p2pbench[cluster]'")
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = CliRunner().invoke(cli, ["fcn-score", "results", "--engine", "ray"]).exception
    assert "pip install 'p2pbench[cluster]'" in str(refused)


def test_the_local_engine_does_not_import_ray() -> None:
    code = "import sys, p2pbench.ablation.runner, p2pbench.scoring.segmentation; sys.exit('ray' in sys.modules)"
    assert command(code=code).returncode == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "--address nonsense: expected auto or HOST:PORT"),
        ("ray://127.0.0.1:10001", "give the command on a machine of the cluster"),
        ("127.0.0.1:99999", "does not answer"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, said: str) -> None:
    with pytest.raises(UserError, match=said), connected(address):
        pass


def test_a_port_that_is_closed_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match=f"--address {address}: does not answer") as error, connected(address):
        pass
    assert "\n" not in str(error.value)


def test_options_that_belong_to_the_other_engine_are_wrong_usage() -> None:
    for arguments, said in (
        (("--engine", "ray", "--parallel", "2"), "--parallel is for --engine local"),
        (("--address", "auto"), "give --engine ray too"),
    ):
        ended = CliRunner().invoke(cli, ["train-ablation", "losses", *arguments])
        assert ended.exit_code == 2
        assert said in ended.stderr


def test_other_code_or_libraries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with nodes.shared_environment(tmp_path) as environment:
        assert nodes.refusal(environment) is None
        monkeypatch.setattr(nodes, "VERSION", "0.0.9")
        problem = nodes.refusal(environment)
        assert problem is not None
        assert "found p2pbench 0.0.9, expected 0.1.0" in problem
        monkeypatch.undo()
        monkeypatch.setattr(nodes, "PACKAGES", ("p2pbench",))
        assert "found the code of p2pbench " in str(nodes.refusal(environment))
        monkeypatch.undo()
        monkeypatch.setattr(nodes, "SECONDS_TO_APPEAR", 0.0)
        (token,) = tmp_path.iterdir()
        token.write_text("another's")
        assert "does not see the results folder" in str(nodes.refusal(environment))
        token.unlink()
        assert "does not see the results folder" in str(nodes.refusal(environment))


OTHER_TORCH = """
import importlib.metadata as metadata
found = metadata.version
metadata.version = lambda name: "0.0.1" if name == "torch" else found(name)
"""
NO_CLUSTER = "import sys; sys.modules['p2pbench.cluster'] = None"
OTHER_FOLDER = """
import pathlib
read = pathlib.Path.read_bytes
def read_bytes(path):
    if path.name.startswith(".seen-"):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return read(path)
pathlib.Path.read_bytes = read_bytes
"""


def add_other_node(cluster: Cluster, folder: Path, difference: str) -> Any:  # noqa: ANN401 (of Ray)
    """A machine whose Python begins with that code."""
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(difference)
    return add_node(cluster, env_vars={"PYTHONPATH": os.pathsep.join([str(folder / "start"), str(ROOT)])})


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (OTHER_TORCH, "found torch 0.0.1, expected"),
        (NO_CLUSTER, "does not have this version of p2pbench"),
        (OTHER_FOLDER, "does not see the results folder"),
    ],
)
def test_a_machine_with_other_versions_or_folders_is_refused_before_anything_is_done(
    cluster: Cluster, found: jobs.Cluster, tmp_path: Path, difference: str, said: str
) -> None:
    node = add_other_node(cluster, tmp_path, difference)
    out = tmp_path / "out"
    try:
        with pytest.raises(UserError, match=said) as error:
            carried_out(found, out, (work.die, tmp_path))
    finally:
        cluster.remove_node(node)
    assert str(error.value).startswith("Ray's node ")
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


class AddsAnother(Notes):
    """Has another machine join once all are at work, and lets these go on once that one was refused."""

    def __init__(self, cluster: Cluster, folder: Path, difference: str) -> None:
        super().__init__()
        self._rest = cluster, folder, difference
        self.node: Any = None

    def say(self, text: str) -> None:
        super().say(text)
        if self.node is None and self.said.count("waiting") == 2:
            self.node = add_other_node(*self._rest)
        if "it gets no more work" in text:
            (self._rest[1] / "go on").touch()


def test_a_machine_that_joins_late_and_differs_gets_no_work(
    cluster: Cluster, found: jobs.Cluster, tmp_path: Path
) -> None:
    notes = AddsAnother(cluster, tmp_path, OTHER_TORCH)
    works = [(work.wait_for_file, tmp_path / "go on")] * 5  # Ray keeps no order, so any two of them begin
    try:
        answers = carried_out(found, tmp_path / "out", *works, notes=notes)
    finally:
        cluster.remove_node(notes.node)
    assert [answer.error for answer in answers] == [None] * 5
    (refusal,) = [line for line in notes.said if "found torch 0.0.1, expected" in line]
    assert refusal.endswith("it gets no more work from this command, which continues elsewhere")


def test_each_job_with_a_gpu_has_a_process_of_its_own(cluster: Cluster, found: jobs.Cluster, tmp_path: Path) -> None:
    node = add_node(cluster, num_gpus=1)
    try:
        answers = carried_out(found, tmp_path, *[(work.name_process,)] * 3, needs=Needs(1, 1))
    finally:
        cluster.remove_node(node)
    assert len({answer.result for answer in answers}) == 3


def test_a_run_whose_device_fails_goes_on_from_its_checkpoint(
    found: jobs.Cluster, tmp_path: Path, tiny: Callable[..., RunConfig], tiny_data: Data
) -> None:
    config = tiny(checkpoint_seconds=0.0, precision="float32", threads=1)
    grid = Grid(tmp_path / "grid")
    planned = PlannedRun(grid.run("L1+cGAN", 0), config)
    fill_references(grid, tiny_data, config, Notes())
    write_run(planned.run, config, tiny_data.describe())
    notes = Notes()
    job = (work.train_on_a_device_that_fails, planned, tmp_path)
    (answer,) = carried_out(found, grid.folder, job, notes=notes)
    assert (answer.result, answer.error) == ("done", None)
    assert sum("cpu stopped working" in line and "last checkpoint is as it was" in line for line in notes.said) == 1
    taken = [int(row[0]) for row in rows(planned.run)[1:]]
    assert taken == [*range(10, 25, 10), 24]
    # The seventh step was not saved when its report failed, so it is taken twice; the first six are not.
    assert [progress.step for _, progress in notes.trained].count(1) == 1
    assert missing_items(planned.run, tiny_data.items.test) == []


def test_work_that_stops_unasked_is_done_again(found: jobs.Cluster, tmp_path: Path) -> None:
    notes = Notes()
    again, given_up = carried_out(found, tmp_path, (work.stop_unasked, tmp_path), (work.never_go_on,), notes=notes)
    assert (again.result, again.error) == ("done", None)
    assert sum(
        line.startswith("stop_unasked: lost on ") and "no answer from this machine" in line for line in notes.said
    )
    assert not isinstance(given_up.error, Stopped)
    assert str(given_up.error).startswith("never_go_on: its worker was lost 3 times without progress")


class KillsHub(Notes):
    """Has the system kill the hub as soon as both nodes are at work."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    def say(self, text: str) -> None:
        super().say(text)
        if self.said.count("waiting") == 2:
            hubs = processes(self._cluster.head_node, "ray::MessageHub")
            max(hubs, key=psutil.Process.create_time).kill()  # those of earlier calls may still be ending


def test_a_dead_hub_is_one_line_and_all_work_is_saved(cluster: Cluster, found: jobs.Cluster, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="process that collects progress events died") as error:
        carried_out(found, tmp_path, *[(work.wait_for_stop, tmp_path)] * 3, notes=KillsHub(cluster))
    assert "\n" not in str(error.value)
    assert (tmp_path / "saved").exists()


def test_a_full_disk_is_one_line_with_machine_and_file(found: jobs.Cluster, tmp_path: Path) -> None:
    (answer,) = carried_out(found, tmp_path, (work.fill_the_disk, Path("checkpoint.pt")))
    assert isinstance(answer.error, UserError)
    assert str(answer.error) == (
        f"fill_the_disk: machine {socket.gethostname()}: checkpoint.pt: No space left on device; mend that and rerun "
        "the same command"
    )


def test_work_that_kills_its_worker_is_given_up(found: jobs.Cluster, tmp_path: Path) -> None:
    (answer,) = carried_out(found, tmp_path, (work.die, tmp_path))
    assert isinstance(answer.error, UserError)
    assert str(answer.error).startswith("die: its worker was lost 3 times without progress")
    assert len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 3


def test_a_bug_of_ours_shows_its_traceback(found: jobs.Cluster, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        carried_out(found, tmp_path, (work.bug,))


class StopsAll(Notes):
    """Asks to stop, as Ctrl-C does, as soon as both nodes are at work."""

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self._stop = stop

    def say(self, text: str) -> None:
        super().say(text)
        if not self._stop and self.said.count("waiting") == 2:
            self._stop.handle(signal.SIGINT, None)


def test_a_wish_to_stop_reaches_all_workers_and_what_has_not_begun(found: jobs.Cluster, tmp_path: Path) -> None:
    stop = StopRequest()
    works = [(work.wait_for_stop, tmp_path)] * 4
    answers = carried_out(found, tmp_path, *works, notes=StopsAll(stop), stop=stop)
    assert (tmp_path / "saved").exists()
    assert sorted(str(answer.result) for answer in answers) == ["None", "None", "stopped", "stopped"]
    assert sum(isinstance(answer.error, Stopped) for answer in answers) == 2


def test_a_folder_of_results_is_clean_for_the_report(tmp_path: Path) -> None:
    with nodes.shared_environment(tmp_path / "grid"):
        assert Grid(tmp_path / "grid").runs() == []
    assert list((tmp_path / "grid").iterdir()) == []
