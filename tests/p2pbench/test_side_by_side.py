"""Several runs at once: whether they pay, and that nobody waits for one who does not come."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from p2pbench.ablation import side_by_side, workers
from p2pbench.ablation.data import Data
from p2pbench.ablation.pace import sustained, warm_up
from p2pbench.ablation.runner import run_grid
from p2pbench.ablation.side_by_side import NotMeasured, Rates, Totals, enough_seconds, verdict, weigh
from p2pbench.config import GridConfig, RunConfig
from p2pbench.training.interrupt import Stopped, StopRequest
from p2pbench.training.trainer import Progress
from tests.p2pbench.tiny import TINY

Tiny = Callable[..., RunConfig]
GRID = GridConfig(title="Two", cells={"L1": {"objective": "L1"}, "L1+cGAN": {}})


class Notes:
    """A listener that remembers what was said, and which threads told it of trainings."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tellers: set[threading.Thread] = set()

    def say(self, text: str) -> None:
        self.said.append(text)

    def count(self, work: str, done: int, total: int) -> None:
        pass

    def train(self, work: str, progress: Progress) -> None:
        self.tellers.add(threading.current_thread())


def test_runs_are_weighed_by_what_they_would_take_in_turn() -> None:
    # In a second at once 8 + 20 images, for which one after the other takes 8/10 + 20/40 s.
    totals = weigh([Rates(alone=10, beside=8), Rates(alone=40, beside=20)])
    assert totals.at_once == 28
    assert totals.in_turn == pytest.approx(28 / 1.3)
    assert totals.gain == pytest.approx(1.3)
    assert weigh([Rates(30, 10)] * 3) == Totals(30, 30)


def test_no_more_images_at_once_means_in_turn() -> None:
    assert verdict(2, Totals(61.04, 33.2)) == (
        "2 runs at once: 61.0 images/s in all, against 33.2 one after the other (1.84 times)"
    )
    assert verdict(3, Totals(30, 30)) == (
        "3 runs at once: 30.0 images/s in all, against 30.0 one after the other (1.00 times), "
        "so they go one after the other"
    )
    assert [Totals(at_once, 100).raised for at_once in (50, 100, 101)] == [False, False, True]


def test_slow_steps_are_measured_for_longer() -> None:
    assert enough_seconds(0.01) == 1
    assert enough_seconds(2.0) == 6


def test_only_steps_that_end_in_time_count_but_one_always_does() -> None:
    started = time.perf_counter()

    def slow_from_then_on(steps: int) -> float:
        time.sleep(0.01 * steps if time.perf_counter() - started < 0.3 else 1.0)
        return 0.0

    def slow(steps: int) -> float:
        time.sleep(0.2 * steps)
        return 0.0

    assert 0.01 <= sustained(slow_from_then_on, 0.01, 0.5, StopRequest()) < 0.05
    assert 0.15 <= sustained(slow, 0.2, 0.05, StopRequest()) < 0.4


def test_measuring_stops_when_asked() -> None:
    stop = StopRequest()
    stop.asked = True
    with pytest.raises(Stopped):
        warm_up(lambda steps: 0.0, stop)
    with pytest.raises(Stopped):
        sustained(lambda steps: 0.0, 0.1, 60, stop)


def files(folder: Path) -> dict[str, bytes]:
    """What a grid's runs left that must be the same to the last bit."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("generator.safetensors", "checkpoint.pt", "images/*.png")
        for path in sorted(folder.glob(f"two/*/seed-0/{name}"))
    }


@pytest.fixture
def run(folders: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, bytes], Notes]]:
    def start(parallel: int, **changed: object) -> tuple[dict[str, bytes], Notes]:
        notes = Notes()
        settings = {**TINY, "root": str(folders), "device": "cpu", "threads": 1, "epochs": 1, **changed}
        out = tmp_path / str(time.monotonic_ns())
        run_grid(out, "two", GRID, "own.toml", settings, [0], notes, parallel)
        return files(out), notes

    return start


def test_runs_are_the_same_at_once_in_turn_and_alone(
    run: Callable[..., tuple[dict[str, bytes], Notes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, notes = run(1)
    assert len(alone) == 10
    assert notes.tellers == {threading.main_thread()}
    assert not any("at once" in line for line in notes.said)

    monkeypatch.setattr(side_by_side, "NO_GAIN", 0.0)
    at_once, notes = run(5)  # two runs are left, so two at once
    assert at_once == alone
    assert threading.main_thread() not in notes.tellers
    assert notes.said[0].startswith("2 runs at once: ")
    assert notes.said[0].endswith(" times)")

    monkeypatch.setattr(side_by_side, "NO_GAIN", math.inf)
    in_turn, notes = run(2)
    assert in_turn == alone
    assert notes.tellers == {threading.main_thread()}
    assert notes.said[0].endswith(" times), so they go one after the other")


def test_runs_go_in_turn_where_workers_do_not_meet(
    run: Callable[..., tuple[dict[str, bytes], Notes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.0)
    made, notes = run(2)
    assert len(made) == 10
    assert notes.said[0] == (
        "2 runs at once: not all of their processes were ready within 0 s, so they go one after the other"
    )


def test_a_worker_that_fails_is_named_and_nobody_waits_for_it(tiny: Tiny, tiny_data: Data) -> None:
    good, bad = (tiny(), tiny_data.channels), (tiny(device="cuda:99"), tiny_data.channels)
    start = time.monotonic()
    with workers.workers(2, Notes(), StopRequest()) as opened:  # one waits for the other to measure beside it
        futures = [opened._pool.submit(workers._beside, *cell, 1.0) for cell in (good, bad)]
        with pytest.raises(NotMeasured, match="device 'cuda:99'"):
            opened._answers(futures)
    assert time.monotonic() - start < workers.PATIENCE / 2


def worker_processes() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline())
    ]


class Strikes:
    """Asks nobody to stop, but kills a worker when it is first looked at."""

    struck = False

    def __bool__(self) -> bool:
        if not self.struck:
            worker_processes()[0].kill()
            self.struck = True
        return False


def test_a_worker_that_dies_while_measuring_is_noticed(tiny: Tiny, tiny_data: Data) -> None:
    cells = [(tiny(seed=seed), tiny_data.channels) for seed in (0, 1)]
    with workers.workers(2, Notes(), Strikes()) as opened, pytest.raises(NotMeasured, match="a worker process died"):
        opened.measure(cells)


def test_ctrl_c_while_measuring_ends_soon_and_loses_nothing(
    run: Callable[..., tuple[dict[str, bytes], Notes]], tmp_path: Path
) -> None:
    stopped_at: list[float] = []

    def interrupt() -> None:
        while not worker_processes():
            time.sleep(0.05)
        stopped_at.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(Stopped, match="stopped while runs at once were measured"):
        run(2, epochs=100000)
    assert time.monotonic() - stopped_at[0] < 60
    assert not list(tmp_path.glob("*/two/*/seed-0/checkpoint.pt"))
