"""What tests have a cluster's workers do."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import torch

from p2pbench.ablation.data import open_data
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.run import execute
from p2pbench.cluster.worker import WorkerLink
from p2pbench.runtime.interrupt import Stopped
from p2pbench.runtime.progress import ForwardedProgress, TrainingProgress, report

GONE = "CUDA error: unspecified launch failure"


def is_first(marks: Path) -> bool:
    """Whether this is the first process that asks."""
    mark = marks / "first"
    if not mark.exists():
        mark.write_text(str(os.getpid()))
    return mark.read_text() == str(os.getpid())


class Failing(ForwardedProgress):
    """Forwards events; the device fails at the seventh step in the first process."""

    def __init__(self, link: WorkerLink, marks: Path) -> None:
        super().__init__(lambda event: report(link.progress, event))
        self._marks = marks

    def train(self, work: str, progress: TrainingProgress) -> None:
        super().train(work, progress)
        if progress.step == 7 and is_first(self._marks):
            raise torch.AcceleratorError(GONE)


def train_on_a_device_that_fails(link: WorkerLink, planned: PlannedRun, marks: Path) -> str:
    """A run whose device fails in the first process, and is well in another."""
    data = open_data(planned.config, lambda done, total: None)
    execute(planned, data, torch.device("cpu"), Failing(link, marks), link, link.attempt.patience)
    return "done"


def stop_unasked(link: WorkerLink, marks: Path) -> str:
    """The link is silent the first time, and the work saves its state and stops without a request."""
    if (marks / "silent").exists():
        return "done"
    (marks / "silent").touch()
    raise Stopped("stopped after step 3")


def never_go_on(link: WorkerLink) -> None:
    """The link is always silent."""
    raise Stopped("stopped after step 3")


def fill_the_disk(link: WorkerLink, path: Path) -> None:
    """No room for a file."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def die(link: WorkerLink, marks: Path) -> None:
    """The process ends as if the system had killed it; each leaves a mark."""
    (marks / str(os.getpid())).touch()
    os._exit(1)


def bug(link: WorkerLink) -> None:
    """An error that nobody can mend but us."""
    raise ZeroDivisionError("a bug")


def name_process(link: WorkerLink) -> int:
    """Which process did it."""
    return os.getpid()


def wait_for_file(link: WorkerLink, path: Path) -> str:
    """Go on until there is a file."""
    link.progress.say("waiting")
    while not path.exists():
        time.sleep(0.05)
    return "done"


def wait_for_stop(link: WorkerLink, marks: Path) -> str:
    """Go on until somebody asks to stop."""
    link.progress.say("waiting")
    while not link:
        time.sleep(0.05)
    (marks / "saved").touch()
    return "stopped"
