"""Concurrent runs of a grid, each in its own process.

Small networks do not fill a machine.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, Protocol

import torch

from fcn.segmenting import is_out_of_memory
from p2pbench.ablation.data import KeptData
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.run import RunOutcome, execute
from p2pbench.ablation.timing import NotMeasured, Rates, Timer, enough_seconds, step_timer, sustained, warm_up
from p2pbench.config import RunConfig
from p2pbench.datasets.dataset import Channels
from p2pbench.errors import MENDABLE, UserError
from p2pbench.runtime.device import DeviceLost, pick_device
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import SECONDS_BETWEEN_EVENTS, ForwardedProgress, ProgressReporter, report

PATIENCE = 300.0  # seconds that workers wait for one another before they measure
SECONDS_FOR_LAST_EVENTS = 5.0
DIED = "a worker process died, perhaps for lack of memory"

Cell = tuple[RunConfig, Channels]
"""Settings and channels, which determine the duration of a step."""


class Workers:
    """Worker processes, each with one run at a time; opened by `workers`."""

    def __init__(self, pool: ProcessPoolExecutor, stop: Stop, stopping: Flag, forwarder: _EventForwarder) -> None:
        self._pool, self._stop, self._stopping, self._forwarder = pool, stop, stopping, forwarder

    def measure(self, cells: Sequence[Cell]) -> list[Rates]:
        """Time the steps of runs: each alone, then all concurrently.

        There are as many runs as workers.

        Raises:
            NotMeasured: A worker failed, died, or did not get ready; the message says which.
            Stopped: A stop was requested.
        """
        try:
            with _sigint_blocked():
                started = [self._pool.submit(_wait_for_all) for _ in cells]
            self._results(started)  # importing torch loads the processors: nothing is timed while workers start
            # Seeds of a cell take equally long, so a cell is timed once.
            cells = [(config.model_copy(update={"seed": 0}), channels) for config, channels in cells]
            alone: dict[Cell, float] = {}
            for cell in cells:
                if cell not in alone:
                    (alone[cell],) = self._results([self._pool.submit(_time_alone, *cell)])
            # At worst all share one processor, and a step takes as many times as long as there are runs.
            seconds = enough_seconds(len(cells) * max(alone.values()))
            concurrent = self._results([self._pool.submit(_time_concurrent, *cell, seconds) for cell in cells])
        except BrokenBarrierError:
            raise NotMeasured(f"not all of their processes were ready within {PATIENCE:.0f} s") from None
        except BrokenProcessPool:
            raise NotMeasured(DIED) from None
        sizes = [config.batch_size for config, _ in cells]
        return [
            Rates(size / alone[cell], size / step) for size, cell, step in zip(sizes, cells, concurrent, strict=True)
        ]

    def execute(self, plan: Sequence[PlannedRun]) -> Generator[RunOutcome, None, None]:
        """Execute runs; yields each finished run with its error, if any.

        A stop request reaches all workers; every run then saves its state, and its outcome is `Stopped`. Exceptions of
        the reporter are raised here.

        Raises:
            UserError: A worker died before.
        """
        try:
            waiting: dict[Future[Exception | None], PlannedRun] = {
                self._pool.submit(_work, planned): planned for planned in plan
            }
        except BrokenProcessPool:
            raise _died() from None
        while waiting:
            done, _ = wait(waiting, timeout=SECONDS_BETWEEN_EVENTS, return_when=FIRST_COMPLETED)
            self._check()
            for future in done:
                outcome = _outcome(future)
                # After a CUDA error a process cannot use the GPU again: its worker would fail every run it takes.
                if isinstance(outcome, DeviceLost):
                    for other in waiting:
                        other.cancel()
                yield waiting.pop(future), outcome

    def _results(self, futures: Sequence[Future[float]]) -> list[float]:
        """Wait for results; raises the error that caused a failure, not its consequences."""
        while wait(futures, timeout=SECONDS_BETWEEN_EVENTS).not_done:
            self._check()
        if self._stop:
            raise Stopped("stopped while concurrent runs were measured; nothing changed, rerun the same command")
        errors = [error for future in futures if (error := future.exception()) is not None]
        # A worker that fails breaks the barrier of the others, so a broken barrier is never the cause.
        for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]

    def _check(self) -> None:
        """Forward a stop request to the workers; raise the reporter's exception, if any."""
        if self._stop:
            self._stopping.value = True
        if self._forwarder.failure is not None:
            raise self._forwarder.failure


@contextmanager
def workers(count: int, reporter: ProgressReporter, stop: Stop) -> Iterator[Workers]:
    """Start worker processes for the block.

    At its end their runs save their state.

    A KeyboardInterrupt that ends the block, or comes while runs save, kills the processes.

    Args:
        count: The number of processes.
        reporter: Receives progress.
        stop: The stop flag.
    """
    context = multiprocessing.get_context("spawn")  # a CUDA context does not survive a fork
    # Not an Event: it has a lock, and a worker that dies while holding it would block all others.
    stopping = context.RawValue(ctypes.c_bool, False)
    events: Queue[Any] = context.Queue()
    forwarder = _EventForwarder(events, reporter)
    others = multiprocessing.active_children()
    forwarder.start()
    try:
        given = events, stopping, context.Barrier(count), PATIENCE, count
        pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=given)
        # The outer block covers the shutdown, in which a second Ctrl-C may come while runs save their state.
        with _killed_by_interrupt(others):
            try:
                with _killed_by_interrupt(others):
                    yield Workers(pool, stop, stopping, forwarder)
            finally:
                stopping.value = True
                pool.shutdown(cancel_futures=True)
    finally:
        try:
            events.put(None)
            forwarder.join(SECONDS_FOR_LAST_EVENTS)
        finally:
            if forwarder.is_alive():  # a worker died holding the queue's lock: our own exit would wait for it forever
                events.cancel_join_thread()
        events.close()
        events.join_thread()  # a thread of the queue at our exit could leave its locks to Python, which says so


@contextmanager
def _killed_by_interrupt(others: Sequence[BaseProcess]) -> Iterator[None]:
    """On KeyboardInterrupt kill all child processes but those in `others`."""
    try:
        yield
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
        raise


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT for processes started in the block.

    Ctrl-C reaches the whole process group; the parent alone decides whether runs save or end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outcome(future: Future[Exception | None]) -> Exception | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return _died()
    except CancelledError:
        return UserError("not begun, since a device stopped working; rerun the same command once it is back")


def _died() -> UserError:
    return UserError(f"{DIED}; rerun the same command to resume, with fewer concurrent runs if memory is short")


class _EventForwarder(threading.Thread):
    """Delivers the events of workers to a reporter until None arrives.

    Attributes:
        failure: The reporter's exception. It gets no more events then, but the queue is still emptied: a worker process
            ends only once all that it sent was taken.
    """

    def __init__(self, events: Queue[Any], reporter: ProgressReporter) -> None:
        super().__init__(daemon=True)
        self._events, self._reporter = events, reporter
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Deliver events."""
        while (event := self._events.get()) is not None:
            if self.failure is None:
                try:
                    report(self._reporter, event)
                except BaseException as error:  # raised by the main thread instead, in `Workers._check`
                    self.failure = error


class Flag(Protocol):
    """Boolean in shared memory, without a lock."""

    value: bool


class _SharedStop:
    """Stop flag of a worker: true if the parent requests a stop, or has ended."""

    def __init__(self, requested: Flag) -> None:
        self._requested = requested

    def __bool__(self) -> bool:
        return self._requested.value or _is_orphan()


def _is_orphan() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


@dataclass(frozen=True)
class _Worker:
    """State of a worker process between its runs."""

    progress: ForwardedProgress
    stop: Stop
    barrier: Barrier
    patience: float
    threads: int  # of a concurrent run, unless its settings say otherwise
    threads_alone: int
    data: KeptData
    busy: threading.Lock  # held during a run, which must save its state before the process ends


_worker: _Worker  # set by `_start` when the process begins


def _start(events: Queue[Any], stopping: Flag, barrier: Barrier, patience: float, count: int) -> None:
    global _worker
    _worker = _Worker(
        progress=ForwardedProgress(events.put),
        stop=_SharedStop(stopping),
        barrier=barrier,
        patience=patience,
        threads=share(count),
        threads_alone=torch.get_num_threads(),
        data=KeptData(),
        busy=threading.Lock(),
    )
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def end_importing_worker() -> None:
    """End a worker that imports a script without a main guard.

    It says what to mend; Python's own check would print a page about processes for each worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # only while the script is imported
        raise SystemExit(
            "train_grid: a worker process imports this script and would train too; call it below "
            '`if __name__ == "__main__":`. This time runs are trained one after another'
        )


def share(count: int) -> int:
    """CPU threads of each of `count` concurrent runs."""
    return max(1, (os.cpu_count() or 1) // count)


def _leave_with_parent() -> None:
    """End this process once its parent has ended; the pool would leave it waiting for work."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    with _worker.busy:  # the run in progress sees its stop flag (`_is_orphan`), saves its state and releases the lock
        os._exit(1)


def _work(planned: PlannedRun) -> Exception | None:
    """Execute one run in a worker; data stay open for the next."""
    config = planned.config
    with _worker.busy:
        try:
            device = pick_device(config.device, config.threads or _worker.threads)
            execute(planned, _worker.data.of(config), device, _worker.progress, _worker.stop)
        except MENDABLE as error:
            return error
    return None


def _wait_for_all() -> float:
    """Wait until all workers have started; returns 0."""
    _worker.barrier.wait(_worker.patience)
    return 0.0


def _time_alone(config: RunConfig, channels: Channels) -> float:
    """Seconds per step while the other workers are idle."""

    def measured(timer: Timer) -> float:
        step = warm_up(timer, _worker.stop)
        return sustained(timer, step, enough_seconds(step), _worker.stop)

    return _measure(measured, config, channels, _worker.threads_alone, "one alone does not fit")


def _time_concurrent(config: RunConfig, channels: Channels, seconds: float) -> float:
    """Seconds per step while all workers take steps."""

    def measured(timer: Timer) -> float:
        step = warm_up(timer, _worker.stop)
        _worker.barrier.wait(_worker.patience)  # warm-up and capture take unequal times; timing starts together
        return sustained(timer, step, seconds, _worker.stop)

    return _measure(measured, config, channels, _worker.threads, "they do not fit")


def _measure(
    measured: Callable[[Timer], float], config: RunConfig, channels: Channels, threads: int, too_much: str
) -> float:
    """Measure in a worker, and free its memory.

    Raises:
        NotMeasured: The measurement failed.
        Stopped: A stop was requested.
        BrokenBarrierError: Another worker failed.
    """
    with ExitStack() as failure:
        failure.callback(_worker.barrier.abort)  # on failure, so that the others do not wait at the barrier
        try:
            device = pick_device(config.device, config.threads or threads)
            seconds = measured(step_timer(config, channels, device))
        except (Stopped, BrokenBarrierError):
            raise
        except (RuntimeError, *MENDABLE) as error:  # not fatal: a run with the same problem reports it in full
            if is_out_of_memory(error):
                raise NotMeasured(f"{too_much} into the memory of {config.device}") from None
            raise NotMeasured(f"measuring failed ({str(error).splitlines()[0]})") from None
        if device.type == "cuda":
            torch.cuda.empty_cache()  # PyTorch keeps freed blocks per process, so other workers could not use them
        failure.pop_all()
        return seconds
