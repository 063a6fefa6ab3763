"""Worker process of a Ray cluster: device, connection to the driver."""

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
SECONDS_TO_ANSWER = 60.0  # then the link is dead: the driver may have restarted the job on another node
LOST_DEVICE = 75  # exit code of a worker whose device failed


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job.

    Attributes:
        index: The job's index in the call.
        name: Name in messages.
        gpus: The number of GPUs that Ray assigns: 0 or 1.
        patience: Seconds to wait for the lock of an earlier attempt.
    """

    index: int
    name: str
    gpus: int
    patience: float


@dataclass(frozen=True)
class JobResult:
    """Result of a job, or the error that ended it."""

    result: Any = None
    error: Exception | None = None


class WorkerLink:
    """Worker-side connection to the driver, which is also its stop flag."""

    def __init__(self, hub: Any, attempt: Attempt) -> None:  # noqa: ANN401 (a handle, which Ray makes)
        self.attempt = attempt
        self.progress = ForwardedProgress(self._put)
        self._hub = hub
        self._items: list[bytes] = []
        self._stopping = False
        self._over = threading.Event()
        # Two locks, so that the job can add events while a call waits for the driver.
        self._changes = threading.Lock()
        self._calls = threading.Lock()
        self._caller = threading.Thread(target=self._call_until_over, daemon=True)

    def __bool__(self) -> bool:
        return self._stopping

    def __enter__(self) -> WorkerLink:
        self._put(("started", (self.attempt.index, socket.gethostname())))
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
        """Send pending events and fetch the stop flag.

        Without an answer the flag is set.
        """
        with self._calls:
            with self._changes:
                items, self._items = self._items, []
            try:
                # Not by ray.get: Ray lends the CPU of a task that waits in it to another task, which would start.
                stopping = self._hub.add.remote(items).future().result(SECONDS_TO_ANSWER)
                self._stopping = stopping or self._stopping
            except (RayError, TimeoutError):
                # The driver may have ended, or have restarted the job elsewhere: two workers must not write one run.
                self._stopping = True

    def _put(self, event: ProgressEvent) -> None:
        with self._changes:
            self._items.append(pickle.dumps(event))

    def _call_until_over(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_CALLS):
            self.call()


JobTask = Callable[..., Any]
"""Function of a job: called with the link and the job's arguments."""


def run_job(hub: Any, attempt: Attempt, task: JobTask, arguments: tuple[Any, ...]) -> JobResult | str:  # noqa: ANN401 (a handle, which Ray makes)
    """Run a job in a worker process.

    Returns text if this node cannot run it.

    An error that the user can mend is a result. A device failure ends the process, which cannot use the device again;
    the driver restarts the job elsewhere.
    """
    import torch

    from p2pbench.runtime.device import DeviceLost, device_errors

    # Ctrl-C reaches all processes of a terminal; the driver alone decides whether jobs save or end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine = f"machine {socket.gethostname()}"
    with WorkerLink(hub, attempt) as link:
        if link:
            return JobResult(
                error=Stopped(f"{attempt.name}: stopped before it began; rerun the same command to start it")
            )
        try:
            with device_errors(torch.device("cuda" if attempt.gpus else "cpu")):
                return JobResult(task(link, *arguments))
        except Unfit as error:
            return str(error)
        except DeviceLost as error:
            link.progress.say(f"{attempt.name}: {machine}: {error}")
            link.call()
            os._exit(LOST_DEVICE)
        except MENDABLE as error:
            return JobResult(error=error)
        except OSError as error:  # a full disk, a folder without permission
            reason = f"{error.filename or 'a file'}: {error.strerror or error}"
            return JobResult(
                error=UserError(f"{attempt.name}: {machine}: {reason}; mend that and rerun the same command")
            )


class MessageHub:
    """Ray actor that collects progress events and broadcasts the stop flag.

    Events stay pickled: the actor passes them on unread, whatever their types.
    """

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._stopping = False

    def add(self, events: list[bytes]) -> bool:
        """Add events of a worker; returns the stop flag."""
        self._events.extend(events)
        return self._stopping

    def fetch(self, stopping: bool) -> list[bytes]:
        """Return and forget all events; sets the stop flag."""
        self._stopping = stopping
        events, self._events = self._events, []
        return events


def given_device(gpus: int, threads: int | None) -> torch.device:
    """Device that Ray assigned to the job.

    A GPU, or the CPU with `threads` threads, 1 by default.

    Raises:
        Unfit: Ray assigned a GPU that is not there, or not any more.
    """
    try:
        return pick_device("cuda" if gpus else "cpu", threads or 1)
    except UserError as error:
        raise Unfit(
            f"machine {socket.gethostname()}: Ray assigned this process a GPU, but {error}; look at nvidia-smi there, "
            "or remove the machine from the cluster"
        ) from None
