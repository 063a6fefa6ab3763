"""What tests have a cluster's workers do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from p2pbench.cluster.line import Line


def fail_once(line: Line, marks: Path) -> str:
    """The device fails in the first process, and is well in another."""
    mark = marks / "failed"
    if mark.exists() and mark.read_text() != str(os.getpid()):
        return "done"
    mark.write_text(str(os.getpid()))
    raise torch.AcceleratorError("CUDA error: unspecified launch failure")


def die(line: Line, marks: Path) -> None:
    """The process ends as if the system had killed it; each leaves a mark."""
    (marks / str(os.getpid())).touch()
    os._exit(1)


def bug(line: Line) -> None:
    """An error that nobody can mend but us."""
    raise ZeroDivisionError("a bug")


def wait_for_stop(line: Line, marks: Path) -> str:
    """Go on until somebody asks to stop."""
    line.news.say("waiting")
    while not line:
        time.sleep(0.05)
    (marks / "saved").touch()
    return "stopped"
