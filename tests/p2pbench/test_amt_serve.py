"""`p2pbench amt serve`: real processes, real signals."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from p2pbench.cli import cli
from tests.amt.study import ALGORITHMS, make_pictures
from tests.p2pbench.forked import Started
from tests.p2pbench.tiny import Command
from tests.patience import PATIENCE, wait_until

SMALL = ("--raters", "2", "--practice", "2", "--trials", "4", "--size", "16x16")


class Server:
    """A server process, once it answers."""

    def __init__(self, process: Started) -> None:
        self.process = process
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith("Ctrl-C"):
            line = process.stdout.readline()
            assert line, process.communicate()
            self.lines.append(line.strip())
        text = "\n".join(self.lines)
        port = re.search(r"127\.0\.0\.1:(\d+)", text)
        assert port, text
        self.port = int(port[1])
        self.password = found[1] if (found := re.search(r"one-time password: (\S+)", text)) else None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        wait_until(self.answers, "an answer of the server")

    def answers(self) -> bool:
        """Whether it does now."""
        try:
            return self.http.get("/api/studies/first").status_code == 200
        except httpx.TransportError:
            return False

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
                found += [child] * ("spawn_main" in " ".join(child.cmdline()))
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study made from folders."""
    root = tmp_path_factory.mktemp("made")
    make_pictures(root / "pictures")
    fakes = [f"--fake={name}={root / 'pictures' / name}" for name in ALGORITHMS]
    real = str(root / "pictures" / "real")
    cli.main(
        ["amt", "create", str(root / "results"), "--name", "first", "--real", real, *fakes, *SMALL],
        standalone_mode=False,
    )
    return root


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """A results folder with that study."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results"


@pytest.fixture
def serve(p2pbench: Command, results: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of those results; they are killed after the test."""
    running = []

    def start(*more: str) -> Server:
        running.append(Server(p2pbench("amt", "serve", str(results), "--port", "0", *more)))
        return running[-1]

    yield start
    for server in running:
        server.http.close()
        server.process.kill()
        server.process.communicate()


def test_it_prints_the_links_and_the_password_once(serve: Callable[..., Server]) -> None:
    first = serve("--workers", "1")
    assert first.lines[0] == f"raters:     http://127.0.0.1:{first.port}/s/first/"
    assert first.lines[1] == f"researcher: http://127.0.0.1:{first.port}/admin/"
    assert first.password
    assert first.http.get("/s/first/").status_code == 200
    assert first.http.get("/admin/", follow_redirects=True).status_code == 200
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(PATIENCE)
    assert serve("--workers", "1").password is None


def test_a_stop_lets_requests_finish_and_leaves_nobody(serve: Callable[..., Server]) -> None:
    server = serve("--workers", "2")
    workers = server.workers()
    assert len(workers) == 2
    server.process.send_signal(signal.SIGINT)
    server.process.wait(PATIENCE)
    gone, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert not alive
    out, errors = server.process.communicate()
    assert server.process.returncode == 0
    assert out.endswith("stopped; all acknowledged answers are kept\n")
    assert errors == ""


def test_killed_it_goes_on_where_it_was(serve: Callable[..., Server]) -> None:
    server = serve("--workers", "2")
    body = {"rater": "one", "rater_source": "open"}
    session = server.http.post("/api/studies/first/sessions", json=body).json()
    workers = server.workers()
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert not alive, "workers outlive the server, and keep its port"
    again = serve("--workers", "1")
    found = again.http.post("/api/studies/first/sessions", json=body)
    assert found.status_code == 200
    assert found.json()["session"] == session["session"]


def test_a_worker_that_dies_is_replaced(serve: Callable[..., Server]) -> None:
    server = serve("--workers", "2")
    victim = server.workers()[0]
    victim.kill()

    def replaced() -> bool:
        workers = server.workers()
        return len(workers) == 2 and victim not in workers

    wait_until(replaced, "another worker")
    server.wait()


def test_a_second_server_and_a_port_in_use_are_refused(
    serve: Callable[..., Server], p2pbench: Command, results: Path
) -> None:
    server = serve("--workers", "1")
    second = p2pbench("amt", "serve", str(results), "--port", "0")
    _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 1
    assert "another server serves this file" in said
    other = results.with_name("other")
    shutil.copytree(results, other)
    taken = p2pbench("amt", "serve", str(other), "--port", str(server.port))
    _, said = taken.communicate(timeout=PATIENCE)
    assert taken.returncode == 1
    assert said.startswith(f"Error: 127.0.0.1:{server.port}: cannot listen there")
    assert len(said.splitlines()) == 1


def test_pictures_that_are_gone_are_noticed_at_the_start(results: Path, p2pbench: Command) -> None:
    next((results / "study" / "first" / "pictures").iterdir()).unlink()
    server = p2pbench("amt", "serve", str(results), "--port", "0")
    _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 1
    assert "found 35 of 36 pictures" in said


def test_behind_a_proxy_under_a_prefix(serve: Callable[..., Server]) -> None:
    server = serve("--workers", "1", "--public-url", "https://lab.example.org/study/")
    assert server.lines[0] == "raters:     https://lab.example.org/study/s/first/"
    for path in ("/s/first/", "/study/s/first/"):  # with the prefix cut off by the proxy, or not
        assert server.http.get(path).status_code == 200
