"""Several runs of a grid at once, each in a process of its own: small networks do not fill a machine."""

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
from p2pbench.ablation.run import Outcome, carry_out
from p2pbench.ablation.timing import NotMeasured, Rates, Timer, enough_seconds, step_timer, sustained, warm_up
from p2pbench.config import RunConfig
from p2pbench.datasets.dataset import Channels
from p2pbench.errors import MENDABLE, UserError
from p2pbench.runtime.device import DeviceLost, pick_device
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import SECONDS_BETWEEN_EVENTS, ForwardedProgress, ProgressReporter, report

PATIENCE = 300.0  # seconds that workers wait for one another before they measure


SECONDS_FOR_LAST_NEWS = 5.0


DIED = "a worker process died, perhaps for want of memory"


Cell = tuple[RunConfig, Channels]


"""What decides how long a step takes."""


class Workers:
    """Processes that carry out one run each at a time; opened by `workers`."""

    def __init__(self, pool: ProcessPoolExecutor, stop: Stop, stopping: Flag, teller: _Teller) -> None:
        self._pool, self._stop, self._stopping, self._teller = pool, stop, stopping, teller

    def measure(self, cells: Sequence[Cell]) -> list[Rates]:
        """Measure the steps of runs, as many as there are workers: of each alone, then of all at once.

        Raises:
            NotMeasured: a worker failed, died, or did not get ready; the message says which.
            Stopped: the user asked to stop.
        """
        try:
            with _ctrl_c_kept_back():
                started = [self._pool.submit(_meet) for _ in cells]
            self._answers(started)  # nobody begins while others still start
            cells = [(config.model_copy(update={"seed": 0}), channels) for config, channels in cells]
            alone: dict[Cell, float] = {}
            for cell in cells:
                if cell not in alone:
                    (alone[cell],) = self._answers([self._pool.submit(_alone, *cell)])
            seconds = enough_seconds(len(cells) * max(alone.values()))
            beside = self._answers([self._pool.submit(_beside, *cell, seconds) for cell in cells])
        except BrokenBarrierError:
            raise NotMeasured(f"not all of their processes were ready within {PATIENCE:.0f} s") from None
        except BrokenProcessPool:
            raise NotMeasured(DIED) from None
        sizes = [config.batch_size for config, _ in cells]
        return [Rates(size / alone[cell], size / step) for size, cell, step in zip(sizes, cells, beside, strict=True)]

    def carry_out(self, plan: Sequence[PlannedRun]) -> Generator[Outcome, None, None]:
        """Carry out runs; each as it is done, with the error that ended it, if any.

        A request to stop reaches all workers; every run then saves its state, and its outcome is `Stopped`. What the
        reporter raises is raised here.

        Raises:
            UserError: a worker died before.
        """
        try:
            waiting: dict[Future[Exception | None], PlannedRun] = {
                self._pool.submit(_work, planned): planned for planned in plan
            }
        except BrokenProcessPool:
            raise _died() from None
        while waiting:
            done, _ = wait(waiting, timeout=SECONDS_BETWEEN_EVENTS, return_when=FIRST_COMPLETED)
            self._look_up()
            for future in done:
                outcome = _outcome(future)
                if isinstance(outcome, DeviceLost):  # its worker would fail all the others too
                    for other in waiting:
                        other.cancel()
                yield waiting.pop(future), outcome

    def _answers(self, futures: Sequence[Future[float]]) -> list[float]:
        """What workers answer, all of them; else the error that came first, not what followed from it."""
        while wait(futures, timeout=SECONDS_BETWEEN_EVENTS).not_done:
            self._look_up()
        if self._stop:
            raise Stopped("stopped while runs at once were measured; all is as it was, and the same command goes on")
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]

    def _look_up(self) -> None:
        """Pass on a request to stop; raise what the reporter raised."""
        if self._stop:
            self._stopping.value = True
        if self._teller.failure is not None:
            raise self._teller.failure


@contextmanager
def workers(count: int, reporter: ProgressReporter, stop: Stop) -> Iterator[Workers]:
    """So many processes while the block runs; whatever they carry out at its end saves its state first.

    Unless KeyboardInterrupt ends the block or comes while they save: then they are killed.

    Args:
        count: how many.
        reporter: receives progress.
        stop: whether somebody asked to stop.
    """
    context = multiprocessing.get_context("spawn")
    stopping = context.RawValue(ctypes.c_bool, False)  # an Event has a lock, which a worker may take to its grave
    news: Queue[Any] = context.Queue()
    news.cancel_join_thread()  # so has a queue: what this process puts into it may never leave
    teller = _Teller(news, reporter)
    others = multiprocessing.active_children()
    teller.start()
    try:
        given = news, stopping, context.Barrier(count), PATIENCE, count
        pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=given)
        with _killed_by_interrupt(others):
            try:
                with _killed_by_interrupt(others):
                    yield Workers(pool, stop, stopping, teller)
            finally:
                stopping.value = True
                pool.shutdown(cancel_futures=True)
    finally:
        news.put(None)
        teller.join(SECONDS_FOR_LAST_NEWS)


@contextmanager
def _killed_by_interrupt(others: Sequence[BaseProcess]) -> Iterator[None]:
    """Whoever interrupts this block does not wait: all processes of this one are killed, but for some others."""
    try:
        yield
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
        raise


@contextmanager
def _ctrl_c_kept_back() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which reaches the whole group: their parent decides what it means."""
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
        return UserError("not begun, since a device stopped working; the same command goes on once it is back")


def _died() -> UserError:
    return UserError(f"{DIED}; the same command goes on, and needs less with fewer runs at once")


class _Teller(threading.Thread):
    """Delivers the events of workers to a reporter until None comes.

    Attributes:
        failure: What the reporter raised. From then on it gets none, but events are taken all the same: a worker ends
            only once all that it sent was taken.
    """

    def __init__(self, news: Queue[Any], reporter: ProgressReporter) -> None:
        super().__init__(daemon=True)
        self._news, self._reporter = news, reporter
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Listen."""
        while (item := self._news.get()) is not None:
            if self.failure is None:
                try:
                    report(self._reporter, item)
                except BaseException as error:  # it belongs to the thread that asked for work, which raises it
                    self.failure = error


class Flag(Protocol):
    """A truth that processes share, without a lock."""

    value: bool


class _SharedStop:
    """Whether the process that started this worker asks to stop, or is no more."""

    def __init__(self, asked: Flag) -> None:
        self._asked = asked

    def __bool__(self) -> bool:
        return self._asked.value or _is_orphan()


def _is_orphan() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


@dataclass(frozen=True)
class _Worker:
    """What a worker process keeps between its runs."""

    progress: ForwardedProgress
    stop: Stop
    meeting: Barrier
    patience: float
    threads: int  # of a run that is one of several; unless its settings say otherwise
    threads_alone: int
    data: KeptData
    busy: threading.Lock  # with work that is not to be cut off


_worker: _Worker  # set by `_start` when the process begins


def _start(news: Queue[Any], stopping: Flag, meeting: Barrier, patience: float, count: int) -> None:
    global _worker
    _worker = _Worker(
        progress=ForwardedProgress(news.put),
        stop=_SharedStop(stopping),
        meeting=meeting,
        patience=patience,
        threads=share(count),
        threads_alone=torch.get_num_threads(),
        data=KeptData(),
        busy=threading.Lock(),
    )
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def share(count: int) -> int:
    """The threads of each of so many runs at once."""
    return max(1, (os.cpu_count() or 1) // count)


def _leave_with_parent() -> None:
    """End this process when its parent is no more: nobody is left to tell or to ask for more work."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    with _worker.busy:  # a run stops by itself, and saves its state
        os._exit(1)


def _work(planned: PlannedRun) -> Exception | None:
    """One run in a worker; the data stay for the next."""
    config = planned.config
    with _worker.busy:
        try:
            device = pick_device(config.device, config.threads or _worker.threads)
            carry_out(planned, _worker.data.of(config), device, _worker.progress, _worker.stop)
        except MENDABLE as error:
            return error
    return None


def _meet() -> float:
    """Wait until all workers have started; the seconds are of no use."""
    _worker.meeting.wait(_worker.patience)
    return 0.0


def _alone(config: RunConfig, channels: Channels) -> float:
    """Seconds of a step while the other workers do nothing."""

    def measured(timer: Timer) -> float:
        step = warm_up(timer, _worker.stop)
        return sustained(timer, step, enough_seconds(step), _worker.stop)

    return _measure(measured, config, channels, _worker.threads_alone, "one alone does not fit")


def _beside(config: RunConfig, channels: Channels, seconds: float) -> float:
    """Seconds of a step while all workers take steps, for so many seconds."""

    def measured(timer: Timer) -> float:
        step = warm_up(timer, _worker.stop)
        _worker.meeting.wait(_worker.patience)
        return sustained(timer, step, seconds, _worker.stop)

    return _measure(measured, config, channels, _worker.threads, "they do not fit")


def _measure(
    measured: Callable[[Timer], float], config: RunConfig, channels: Channels, threads: int, too_much: str
) -> float:
    """Measure in a worker, and free what that took.

    Raises:
        NotMeasured: it failed.
        Stopped: somebody asked to stop.
        BrokenBarrierError: another worker failed.
    """
    with ExitStack() as failure:
        failure.callback(_worker.meeting.abort)  # so that nobody waits for one who does not come
        try:
            device = pick_device(config.device, config.threads or threads)
            seconds = measured(step_timer(config, channels, device))
        except (Stopped, BrokenBarrierError):
            raise
        except (RuntimeError, *MENDABLE) as error:  # a run that meets it too says more
            if is_out_of_memory(error):
                raise NotMeasured(f"{too_much} into the memory of {config.device}") from None
            raise NotMeasured(f"measuring failed ({str(error).splitlines()[0]})") from None
        if device.type == "cuda":
            torch.cuda.empty_cache()
        failure.pop_all()
        return seconds
