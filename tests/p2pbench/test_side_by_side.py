"""Several runs at once: whether they pay, and that nobody waits for one who does not come."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from p2pbench.ablation import timing, workers
from p2pbench.ablation.data import Data, data_key
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.runner import _is_quicker
from p2pbench.ablation.timing import NotMeasured, Rates, Totals, enough_seconds, sustained, throughput, verdict, warm_up
from p2pbench.config import GridConfig, RunConfig
from p2pbench.errors import UserError
from p2pbench.runtime.device import DeviceLost
from p2pbench.runtime.interrupt import Stopped, StopRequest, stop_request
from p2pbench.runtime.progress import TrainingProgress
from reports.store.layout import Run
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY
from tests.patience import PATIENCE, wait_until

pytestmark = pytest.mark.process

Tiny = Callable[..., RunConfig]
LARGE = {"batch_size": 2**40}  # more than an address space holds: refused at once
GRID = GridConfig(title="Two", cells={"L1": {"objective": "L1"}, "L1+cGAN": {}})


class Heard(Notes):
    """Remembers too which threads told it of trainings."""

    def __init__(self) -> None:
        super().__init__()
        self.tellers: set[threading.Thread] = set()

    def train(self, work: str, progress: TrainingProgress) -> None:
        self.tellers.add(threading.current_thread())


def test_runs_are_weighed_by_what_they_would_take_in_turn() -> None:
    # In a second at once 8 + 20 images, for which one after the other takes 8/10 + 20/40 s.
    totals = throughput([Rates(alone=10, concurrent=8), Rates(alone=40, concurrent=20)])
    assert totals.concurrent == 28
    assert totals.sequential == pytest.approx(28 / 1.3)
    assert totals.gain == pytest.approx(1.3)
    assert throughput([Rates(30, 10)] * 3) == Totals(30, 30)


def test_no_more_images_at_once_means_in_turn() -> None:
    assert verdict(2, Totals(61.04, 33.2)) == (
        "2 concurrent runs: 61.0 images/s in total, against 33.2 sequentially (1.84 times)"
    )
    assert verdict(3, Totals(30, 30)) == (
        "3 concurrent runs: 30.0 images/s in total, against 30.0 sequentially (1.00 times), so they run sequentially"
    )
    assert [Totals(at_once, 100).raised for at_once in (50, 100, 101)] == [False, False, True]


class Rated(workers.Workers):
    """Measures what it is told to: of runs that get through one image a second alone, how many times as many."""

    def __init__(self, *gains: float) -> None:
        self._gains = list(gains)

    def measure(self, cells: Sequence[workers.Cell]) -> list[Rates]:
        gain = self._gains.pop(0)
        return [Rates(1.0, gain / len(cells)) for _ in cells]


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((2.0,), "2.0 images/s in total, against 1.0 sequentially (2.00 times)"),
        ((0.9, 1.5), "1.5 images/s in total, against 1.0 sequentially (1.50 times)"),
        (
            (0.9, 0.5),
            "0.9 images/s in total, against 1.0 sequentially (0.90 times), so they run sequentially",
        ),
    ],
)
def test_what_does_not_pay_is_measured_once_more(
    gains: tuple[float, ...], said: str, tiny: Tiny, tiny_data: Data, tmp_path: Path
) -> None:
    plan = [PlannedRun(Run(tmp_path, "L1", seed), tiny(seed=seed)) for seed in (0, 1)]
    opened, notes = Rated(*gains), Notes()
    assert _is_quicker(opened, plan, {data_key(plan[0].config): tiny_data}, notes) == (max(gains) > 1)
    assert notes.said == [f"2 concurrent runs: {said}"]
    assert opened._gains == []


def test_after_a_lost_device_no_other_run_begins(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = threading.Event()

    def lose_the_device(planned: PlannedRun) -> Exception | None:
        if planned.run.seed == 0:
            return DeviceLost("cuda stopped working")
        looked_at.wait()  # the one that was taken up meanwhile
        return None

    monkeypatch.setattr(workers, "_work", lose_the_device)
    plan = [PlannedRun(Run(tmp_path, "L1", seed), tiny(seed=seed)) for seed in range(4)]
    with ThreadPoolExecutor(1) as pool:
        forwarder = workers._EventForwarder(queue.Queue(), Notes())  # type: ignore[arg-type]
        opened = workers.Workers(pool, StopRequest(), SimpleNamespace(value=False), forwarder)  # type: ignore[arg-type]
        outcomes = opened.execute(plan)
        _, lost = next(outcomes)
        looked_at.set()
        errors = {planned.run.seed: error for planned, error in outcomes}
    assert isinstance(lost, DeviceLost)
    assert [seed for seed, error in errors.items() if error is None] in ([], [1])
    for seed in (2, 3):
        assert "not begun, since a device stopped working" in str(errors[seed])


def test_slow_steps_are_measured_for_longer() -> None:
    assert enough_seconds(0.01) == 1
    assert enough_seconds(2.0) == 6


def test_only_steps_that_end_in_time_count_but_one_always_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("p2pbench.ablation.timing.time", SimpleNamespace(perf_counter=lambda: now))

    def slow_from_then_on(steps: int) -> float:
        nonlocal now
        now += 0.01 * steps if now < 0.28 else 1.0
        return 0.0

    def slow(steps: int) -> float:
        nonlocal now
        now += 0.2 * steps
        return 0.0

    assert sustained(slow_from_then_on, 0.01, 0.5, StopRequest()) == pytest.approx(0.01)
    assert now == pytest.approx(1.3)
    assert sustained(slow, 0.2, 0.05, StopRequest()) == pytest.approx(0.2)
    assert now == pytest.approx(1.7)


def test_measuring_stops_when_asked() -> None:
    stop = StopRequest()
    stop.requested = True
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
def run(folders: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, bytes], Heard]]:
    def start(parallel: int, **changed: object) -> tuple[dict[str, bytes], Heard]:
        notes = Heard()
        settings = {**TINY, "root": str(folders), "device": "cpu", "threads": 1, "epochs": 1, **changed}
        out = tmp_path / str(time.monotonic_ns())
        run_grid(out, "two", GRID, "own.toml", settings, [0], notes, parallel)
        return files(out), notes

    return start


def test_runs_are_the_same_at_once_and_alone(
    run: Callable[..., tuple[dict[str, bytes], Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, notes = run(1)
    assert len(alone) == 10
    assert notes.tellers == {threading.main_thread()}
    assert not any("at once" in line for line in notes.said)

    monkeypatch.setattr(timing, "NO_GAIN", 0.0)
    at_once, notes = run(5)  # two runs are left, so two at once
    assert at_once == alone
    assert threading.main_thread() not in notes.tellers
    assert notes.said[0].startswith("2 concurrent runs: ")
    assert notes.said[0].endswith(" times)")


def test_runs_go_in_turn_where_workers_do_not_wait_for_all(
    run: Callable[..., tuple[dict[str, bytes], Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.0)
    made, notes = run(2)
    assert len(made) == 10
    assert notes.tellers == {threading.main_thread()}
    assert notes.said[0] == (
        "2 concurrent runs: not all of their processes were ready within 0 s, so they run sequentially"
    )


def test_a_worker_that_fails_is_named_and_nobody_waits_for_it(tiny: Tiny, tiny_data: Data) -> None:
    good, bad, large = ((tiny(**changed), tiny_data.channels) for changed in ({}, {"device": "cuda:99"}, LARGE))
    start = time.monotonic()
    with workers.workers(2, Notes(), StopRequest()) as opened:  # one waits for the other to measure beside it
        futures = [opened._pool.submit(workers._time_concurrent, *cell, 1.0) for cell in (good, bad)]
        with pytest.raises(NotMeasured, match="device 'cuda:99'"):
            opened._results(futures)
        with pytest.raises(NotMeasured, match="^one alone does not fit into the memory of cpu$"):
            opened._results([opened._pool.submit(workers._time_alone, *large)])
    assert time.monotonic() - start < workers.PATIENCE


def worker_processes(parent: int | None = None) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one of those
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


class Strikes:
    """Asks nobody to stop, but kills a worker when it is first looked at."""

    struck = False

    def __bool__(self) -> bool:
        if not self.struck:
            worker_processes()[0].kill()
            self.struck = True
        return False


def test_a_worker_that_dies_is_noticed(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    cells = [(tiny(seed=seed), tiny_data.channels) for seed in (0, 1)]
    with workers.workers(2, Notes(), Strikes()) as opened:
        with pytest.raises(NotMeasured, match="a worker process died"):
            opened.measure(cells)
        with pytest.raises(
            UserError,
            match="^a worker process died, .*; rerun the same command to resume, with fewer concurrent runs if",
        ):
            list(opened.execute([PlannedRun(Run(tmp_path, "L1", 0), cells[0][0])]))


def linger() -> float:
    """In a worker: nothing, until it is to stop."""
    wait_until(lambda: workers._worker.stop, "the request to stop")
    return 0.0


def die_with_the_lock_of_news() -> None:
    """In a worker: nobody else can send events any more."""
    workers._worker.progress.say("about to die")
    news: Any = workers._worker.progress._send
    news.__self__._wlock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def chatter() -> None:
    """In a worker: more events than a pipe holds."""
    for _ in range(1000):
        workers._worker.progress.say("x" * 1000)


class Deaf(Notes):
    """Listens to nothing, as a terminal whose window was closed."""

    def say(self, text: str) -> None:
        raise BrokenPipeError(text[:1])


def test_a_worker_that_dies_telling_news_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SECONDS_FOR_LAST_EVENTS", 0.5)
    with workers.workers(1, Notes(), StopRequest()) as opened:
        assert isinstance(opened._pool.submit(die_with_the_lock_of_news).exception(PATIENCE), BrokenProcessPool)
        start = time.monotonic()
    assert time.monotonic() - start < PATIENCE


def test_what_a_listener_raises_ends_the_work_and_workers_and_threads_end_too() -> None:
    before = set(threading.enumerate())
    with workers.workers(1, Deaf(), StopRequest()) as opened:
        opened._pool.submit(chatter)
        with pytest.raises(BrokenPipeError, match="x"):
            opened._results([opened._pool.submit(linger)])
    assert not worker_processes()
    assert set(threading.enumerate()) <= before


class Announces(Notes):
    """Lets another process know that something was said."""

    def __init__(self, heard: Event) -> None:
        super().__init__()
        self._heard = heard

    def say(self, text: str) -> None:
        self._heard.set()


def say_so_and_wait_for_the_others() -> None:
    """In a worker."""
    workers._worker.progress.say("here")
    workers._wait_for_all()


def wait_for_one_who_does_not_come(heard: Event) -> None:
    """In a process that starts workers."""
    with workers.workers(2, Announces(heard), StopRequest()) as opened:
        opened._pool.submit(say_so_and_wait_for_the_others).result()


def test_workers_that_wait_for_one_another_leave_with_their_parent() -> None:
    context = multiprocessing.get_context("spawn")
    heard = context.Event()
    parent = context.Process(target=wait_for_one_who_does_not_come, args=(heard,))
    parent.start()
    assert heard.wait(PATIENCE)
    started = worker_processes(parent.pid)
    assert len(started) == 1
    parent.kill()
    assert psutil.wait_procs(started, PATIENCE)[1] == []
    parent.join()


def was_heard() -> bool:
    """Whether this process has taken note of a Ctrl-C."""
    request = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return isinstance(request, StopRequest) and request.requested


@contextmanager
def ctrl_c(times: int, suspend: bool = False) -> Iterator[list[float]]:
    """Give Ctrl-C as soon as there is a worker, which may be suspended before; yields when that was."""
    given: list[float] = []
    over = threading.Event()

    def interrupt() -> None:
        while not (found := worker_processes()):
            if over.wait(0.05):
                return
        if suspend:
            found[0].suspend()
        for _ in range(times):
            given.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
            while not was_heard():  # two signals at once would be one
                if over.wait(0.05):
                    return
            if over.wait(1.0):
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield given
    finally:
        over.set()
        thread.join()


def test_ctrl_c_while_measuring_ends_soon_and_loses_nothing(
    run: Callable[..., tuple[dict[str, bytes], Heard]], tmp_path: Path
) -> None:
    with ctrl_c(1) as given, pytest.raises(Stopped, match="stopped while concurrent runs were measured"):
        run(2, epochs=100000)
    assert time.monotonic() - given[0] < PATIENCE
    assert not list(tmp_path.glob("*/two/*/seed-0/checkpoint.pt"))


@pytest.mark.parametrize("ended", [False, True])
def test_a_second_ctrl_c_does_not_wait_for_workers(ended: bool) -> None:
    with ctrl_c(2, suspend=True) as given:
        with pytest.raises(KeyboardInterrupt), stop_request() as stop:  # noqa: SIM117, PT012
            with workers.workers(1, Notes(), stop) as opened:
                answer = opened._pool.submit(workers._wait_for_all)
                if not ended:
                    opened._results([answer])
        assert len(given) == 2
        assert time.monotonic() - given[1] < PATIENCE
    wait_until(lambda: not worker_processes(), "the end of killed workers")
