"""What can be wrong with a cluster, its machines and their workers: each is one line that says how to mend it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ray.cluster_utils import Cluster

import p2pbench
from p2pbench.cli import cli
from p2pbench.cluster import terms
from p2pbench.cluster.connection import connected
from p2pbench.cluster.line import Answer
from p2pbench.cluster.tasks import Needs, Task
from p2pbench.errors import UserError
from p2pbench.training.interrupt import Stopped, StopRequest
from reports.layout import Grid
from tests.p2pbench.cluster import work
from tests.p2pbench.cluster.nodes import ROOT, add_node
from tests.p2pbench.test_ablation import Notes

ONE_CPU = Needs(1, 0)
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from p2pbench.cli import main; main(sys.argv[1:])"


def command(*arguments: str, code: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


def carried_out(
    cluster: Cluster, out: Path, *works: tuple[Any, ...], notes: Notes | None = None, stop: StopRequest | None = None
) -> list[Answer]:
    """The answers of tasks, in the order of the tasks."""
    tasks = [Task(each.__name__, each, tuple(arguments), ONE_CPU, out / "kept") for each, *arguments in works]
    with connected(cluster.address) as found:
        answers = dict(found.carry_out(tasks, out, notes or Notes(), StopRequest() if stop is None else stop))
    return [answers[number] for number in range(len(tasks))]


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
    code = "import sys, p2pbench.commands.train_ablation, p2pbench.commands.fcn_score; sys.exit('ray' in sys.modules)"
    assert command(code=code).returncode == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "--address nonsense: expected auto or HOST:PORT"),
        ("ray://127.0.0.1:10001", "give the command on a machine of the cluster"),
        ("127.0.0.1:99999", "nobody answers there"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, said: str) -> None:
    with pytest.raises(UserError, match=said), connected(address):
        pass


def test_a_port_that_is_closed_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(UserError, match=f"--address {address}: nobody answers there") as error, connected(address):
        pass
    assert time.monotonic() - start < 10
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
    with terms.agreed(tmp_path) as agreed:
        assert terms.refusal(agreed) is None
        monkeypatch.setattr(p2pbench, "__version__", "0.0.9")
        problem = terms.refusal(agreed)
        assert problem is not None
        assert "found p2pbench 0.0.9, expected 0.1.0" in problem
        monkeypatch.undo()
        monkeypatch.setattr(terms, "PACKAGES", ("p2pbench",))
        assert "found the code of p2pbench " in str(terms.refusal(agreed))
        monkeypatch.undo()
        monkeypatch.setattr(terms, "SECONDS_TO_APPEAR", 0.0)
        (token,) = tmp_path.iterdir()
        token.write_text("another's")
        assert "does not see the results folder" in str(terms.refusal(agreed))
        token.unlink()
        assert "does not see the results folder" in str(terms.refusal(agreed))


OTHER_TORCH = """
import importlib.metadata as metadata
found = metadata.version
metadata.version = lambda name: "0.0.1" if name == "torch" else found(name)
"""
NO_CLUSTER = "import sys; sys.modules['p2pbench.cluster.terms'] = None"
OTHER_FOLDER = """
import pathlib
read = pathlib.Path.read_bytes
def read_bytes(path):
    if path.name.startswith(".seen-"):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return read(path)
pathlib.Path.read_bytes = read_bytes
"""


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (OTHER_TORCH, "found torch 0.0.1, expected"),
        (NO_CLUSTER, "does not have this version of p2pbench"),
        (OTHER_FOLDER, "does not see the results folder"),
    ],
)
def test_a_machine_with_other_versions_or_folders_is_refused_before_anything_is_done(
    cluster: Cluster, tmp_path: Path, difference: str, said: str
) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(difference)
    node = add_node(cluster, env_vars={"PYTHONPATH": os.pathsep.join([str(tmp_path / "start"), str(ROOT)])})
    out = tmp_path / "out"
    try:
        with pytest.raises(UserError, match=said) as error:
            carried_out(cluster, out, (work.die, tmp_path))
    finally:
        cluster.remove_node(node)
    assert str(error.value).startswith("Ray's node ")
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


def test_work_whose_device_fails_is_done_again_in_another_process(cluster: Cluster, tmp_path: Path) -> None:
    notes = Notes()
    (answer,) = carried_out(cluster, tmp_path, (work.fail_once, tmp_path), notes=notes)
    assert (answer.result, answer.error) == ("done", None)
    failed = [line for line in notes.said if "failed (CUDA error: unspecified launch failure)" in line]
    assert len(failed) == 1
    assert sum("goes on from its last state" in line for line in notes.said) == 1


def test_work_that_kills_its_worker_is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    (answer,) = carried_out(cluster, tmp_path, (work.die, tmp_path))
    assert isinstance(answer.error, UserError)
    assert str(answer.error).startswith("die: its worker died 3 times without getting further")
    assert len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 3


def test_a_bug_of_ours_shows_its_traceback(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        carried_out(cluster, tmp_path, (work.bug,))


class StopsAll(Notes):
    """Asks to stop, as Ctrl-C does, as soon as both nodes are at work."""

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self._stop = stop

    def say(self, text: str) -> None:
        super().say(text)
        if not self._stop and self.said.count("waiting") == 2:
            self._stop.handle(signal.SIGINT, None)


def test_a_wish_to_stop_reaches_all_workers_and_what_has_not_begun(cluster: Cluster, tmp_path: Path) -> None:
    stop = StopRequest()
    works = [(work.wait_for_stop, tmp_path)] * 4
    answers = carried_out(cluster, tmp_path, *works, notes=StopsAll(stop), stop=stop)
    assert (tmp_path / "saved").exists()
    assert sorted(str(answer.result) for answer in answers) == ["None", "None", "stopped", "stopped"]
    assert sum(isinstance(answer.error, Stopped) for answer in answers) == 2


def test_a_folder_of_results_is_clean_for_the_report(tmp_path: Path) -> None:
    with terms.agreed(tmp_path / "grid"):
        assert Grid(tmp_path / "grid").runs() == []
    assert list((tmp_path / "grid").iterdir()) == []
