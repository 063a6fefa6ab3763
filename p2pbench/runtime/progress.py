"""Progress of training and scoring, in this process or forwarded from workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

SECONDS_BETWEEN_EVENTS = 0.2

Losses = dict[str, float]
"""Losses by name, before their weights: G_GAN, G_L1, G_L2, D_real, D_fake, those that the objective has."""

ProgressEvent = tuple[str, tuple[object, ...]]
"""Name of a reporter's method, and its arguments."""


@dataclass(frozen=True)
class TrainingProgress:
    """Position, speed and losses of a training after a step."""

    step: int
    total: int
    epoch: int
    images_per_second: float
    seconds_left: float
    losses: Losses


@runtime_checkable
class ProgressReporter(Protocol):
    """Interface for progress reporting, per named piece of work.

    It changes no result.
    """

    def say(self, text: str) -> None:
        """Report a sentence about what is done or skipped."""

    def count(self, work: str, done: int, total: int) -> None:
        """Report how many items of a piece of work are done."""

    def train(self, work: str, progress: TrainingProgress) -> None:
        """Report the progress of a training."""


class ForwardedProgress:
    """Serialises progress events so that a worker process can forward them.

    At most a few per second.
    """

    def __init__(self, send: Callable[[ProgressEvent], None]) -> None:
        self._send = send
        self._last = 0.0

    def say(self, text: str) -> None:
        """Forward a sentence, always."""
        self._send(("say", (text,)))

    def count(self, work: str, done: int, total: int) -> None:
        """Forward a count unless one was just sent; the last always."""
        self._throttled(("count", (work, done, total)), last=done == total)

    def train(self, work: str, progress: TrainingProgress) -> None:
        """Forward a training's progress unless one was just sent; the last always."""
        self._throttled(("train", (work, progress)), last=progress.step == progress.total)

    def _throttled(self, event: ProgressEvent, *, last: bool) -> None:
        now = time.monotonic()
        # Events cross a process boundary, and small networks take many steps per second.
        if last or now - self._last >= SECONDS_BETWEEN_EVENTS:
            self._last = now
            self._send(event)


QUIET: ProgressReporter = ForwardedProgress(lambda event: None)
"""Progress reporter that reports nothing: the default of calls from Python."""


def report(reporter: ProgressReporter, event: ProgressEvent) -> None:
    """Deliver a forwarded event to a reporter."""
    method, arguments = event
    getattr(reporter, method)(*arguments)
