"""Several runs of a grid at once, each in a process of its own: small networks do not fill a machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import torch

from p2pbench.ablation.grid import Planned
from p2pbench.ablation.kept_data import KeptData
from p2pbench.ablation.listener import Listener
from p2pbench.ablation.news import SECONDS_BETWEEN_NEWS, News, tell
from p2pbench.ablation.run import carry_out
from p2pbench.errors import MENDABLE, UserError
from p2pbench.training.device import pick_device
from p2pbench.training.interrupt import Stop

Outcome = tuple[Planned, Exception | None]
"""A run, and the error that ended it, if any."""


def carry_out_together(
    plan: Sequence[Planned], jobs: int, listener: Listener, stop: Stop
) -> Generator[Outcome, None, None]:
    """Carry out runs, `jobs` at a time; each as it is done, with the error that ended it, if any.

    A request to stop reaches all workers; every run then saves its state, and its outcome is `Stopped`.
    """
    context = multiprocessing.get_context("spawn")
    news: Queue[Any] = context.Queue()
    stopping = context.Event()
    teller = threading.Thread(target=_tell, args=(news, listener))
    teller.start()
    pool = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(news, stopping, jobs))
    try:
        waiting: dict[Future[Exception | None], Planned] = {pool.submit(_work, planned): planned for planned in plan}
        while waiting:
            done, _ = wait(waiting, timeout=SECONDS_BETWEEN_NEWS, return_when=FIRST_COMPLETED)
            if stop:
                stopping.set()
            for future in done:
                yield waiting.pop(future), _outcome(future)
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)
        news.put(None)
        teller.join()


def _outcome(future: Future[Exception | None]) -> Exception | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return UserError(
            "a worker process died, perhaps for want of memory; give the same command with fewer --jobs to go on"
        )


def _tell(news: Queue[Any], listener: Listener) -> None:
    while (item := news.get()) is not None:
        tell(listener, item)


class _SharedStop:
    """Whether the process that started this worker asks to stop, or is no more."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def __bool__(self) -> bool:
        return self._event.is_set() or _is_orphan()


def _is_orphan() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


# What a worker process keeps between its runs; set by `_start` when the process begins.
_worker: dict[str, Any] = {}


def _start(news: Queue[Any], stopping: Event, jobs: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))  # unless the settings say otherwise
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    _worker.update(news=News(news.put), stop=_SharedStop(stopping), data=KeptData())


def _work(planned: Planned) -> Exception | None:
    """One run in a worker; the data stay for the next."""
    config = planned.config
    data: KeptData = _worker["data"]
    try:
        device = pick_device(config.device, config.threads)
        carry_out(planned, data.of(config), device, _worker["news"], _worker["stop"])
    except MENDABLE as error:
        if _is_orphan():
            os._exit(1)  # the run is saved, and nobody is left to tell or to ask for more work
        return error
    return None
