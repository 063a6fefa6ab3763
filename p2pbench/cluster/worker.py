"""Worker process of a Ray cluster: its device and its connection to the driver."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from ray.exceptions import RayError

from p2pbench.cluster.nodes import Unfit
from p2pbench.errors import MENDABLE, UserError
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import Stopped
from p2pbench.runtime.progress import ForwardedProgress, ProgressEvent

SECONDS_BETWEEN_CALLS = 0.5


SECONDS_TO_ANSWER = 60.0  # then the line is dead: whoever gave the command may have given the work to another


LOST_DEVICE = 75  # exit code of a worker whose device failed


@dataclass(frozen=True)
class Attempt:
    """One try at a job.

    Attributes:
        number: Its place among all jobs of the call.
        name: What people call it.
        gpus: How many GPUs Ray gives it: 0 or 1.
        patience: Seconds to wait for an earlier try to let go of the run.
    """

    number: int
    name: str
    gpus: int
    patience: float


@dataclass(frozen=True)
class JobResult:
    """What came of a job: its result, or the error that ended it."""

    result: Any = None
    error: Exception | None = None


class Line:
    """Passes news on while its block runs; true once the work shall stop, as a `Stop`."""

    def __init__(self, hub: Any, attempt: Attempt) -> None:  # noqa: ANN401 (a handle, which Ray makes)
        self.attempt = attempt
        self.progress = ForwardedProgress(self._put)
        self._hub = hub
        self._items: list[bytes] = []
        self._stopping = False
        self._over = threading.Event()
        self._changes = threading.Lock()
        self._calls = threading.Lock()
        self._caller = threading.Thread(target=self._call_until_over, daemon=True)

    def __bool__(self) -> bool:
        return self._stopping

    def __enter__(self) -> Line:
        self._put(("started", (self.attempt.number, socket.gethostname())))
        self.call()
        self._caller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._caller.join()
        self.call()

    def call(self) -> None:
        """Send what there is and hear whether to stop. Without an answer the work stops too: it may be another's."""
        with self._calls:
            with self._changes:
                items, self._items = self._items, []
            try:
                # Not by ray.get: a task that waits in it gives its CPU away, and another would start beside it.
                heard = self._hub.hear.remote(items).future().result(SECONDS_TO_ANSWER)
                self._stopping = heard or self._stopping
            except (RayError, TimeoutError):
                self._stopping = True

    def _put(self, event: ProgressEvent) -> None:
        with self._changes:
            self._items.append(pickle.dumps(event))

    def _call_until_over(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_CALLS):
            self.call()


Doing = Callable[..., Any]


"""Does a job: called with the line and the job's arguments."""


def answer(hub: Any, attempt: Attempt, do: Doing, arguments: tuple[Any, ...]) -> JobResult | str:  # noqa: ANN401 (a handle, which Ray makes)
    """Do a job in a worker process; instead of an answer, why this machine cannot.

    An error that the user can mend is an answer. A device that fails ends the process, for it cannot be used in it
    any more; the job then goes on elsewhere.
    """
    import torch

    from p2pbench.runtime.device import DeviceLost, device_errors

    # Ctrl-C reaches all processes of a terminal; the one that gave the command decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine = f"machine {socket.gethostname()}"
    with Line(hub, attempt) as line:
        if line:
            return JobResult(
                error=Stopped(f"{attempt.name}: stopped before it began; the same command goes on from here")
            )
        try:
            with device_errors(torch.device("cuda" if attempt.gpus else "cpu")):
                return JobResult(do(line, *arguments))
        except Unfit as error:
            return str(error)
        except DeviceLost as error:
            line.progress.say(f"{attempt.name}: {machine}: {error}")
            line.call()
            os._exit(LOST_DEVICE)
        except MENDABLE as error:
            return JobResult(error=error)
        except OSError as error:  # a full disk, a folder without permission
            reason = f"{error.filename or 'a file'}: {error.strerror or error}"
            return JobResult(
                error=UserError(f"{attempt.name}: {machine}: {reason}; mend that and give the command again")
            )


class Hub:
    """Keeps news until they are fetched. It passes them on as bytes, so that it need not know what is in them."""

    def __init__(self) -> None:
        self._news: list[bytes] = []
        self._stopping = False

    def hear(self, news: list[bytes]) -> bool:
        """Take news of a worker; whether it shall stop."""
        self._news.extend(news)
        return self._stopping

    def fetch(self, stopping: bool) -> list[bytes]:
        """Give away all news, and hear whether the workers shall stop from now on."""
        self._stopping = stopping
        news, self._news = self._news, []
        return news


def given_device(gpus: int, threads: int | None) -> torch.device:
    """What Ray gave the job: a GPU, or cores of the CPU, one unless `threads` says more.

    Raises:
        Unfit: Ray gave a GPU that is not there, or not there any more.
    """
    try:
        return pick_device("cuda" if gpus else "cpu", threads or 1)
    except UserError as error:
        raise Unfit(
            f"machine {socket.gethostname()}: Ray gave this process a GPU, and {error}; look at nvidia-smi there, or "
            "take the machine out of the cluster"
        ) from None
