"""Progress of training and scoring, in this process or forwarded from workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Listener(Protocol):
    """Told of each piece of work by its name; what it does with that changes no result."""

    def say(self, text: str) -> None:
        """A sentence about what is done or skipped."""

    def count(self, work: str, done: int, total: int) -> None:
        """How many of the items of a piece of work are done."""

    def train(self, work: str, progress: Progress) -> None:
        """How far a training is."""


SECONDS_BETWEEN_NEWS = 0.2


Item = tuple[str, tuple[object, ...]]


"""A listener's method, and what it is called with."""


class News:
    """A listener that passes on what it hears, not too often."""

    def __init__(self, send: Callable[[Item], None]) -> None:
        self._send = send
        self._last = 0.0

    def say(self, text: str) -> None:
        """Always passed on."""
        self._send(("say", (text,)))

    def count(self, work: str, done: int, total: int) -> None:
        """Passed on now and then, and at the end."""
        self._now_and_then(("count", (work, done, total)), last=done == total)

    def train(self, work: str, progress: Progress) -> None:
        """Passed on now and then, and at the end."""
        self._now_and_then(("train", (work, progress)), last=progress.step == progress.total)

    def _now_and_then(self, item: Item, *, last: bool) -> None:
        now = time.monotonic()
        if last or now - self._last >= SECONDS_BETWEEN_NEWS:
            self._last = now
            self._send(item)


def tell(listener: Listener, item: Item) -> None:
    """Let a listener hear an item of news."""
    method, arguments = item
    getattr(listener, method)(*arguments)


Losses = dict[str, float]


"""Losses by name, before their weights: G_GAN, G_L1, G_L2, D_real, D_fake, those that the objective has."""


@dataclass(frozen=True)
class Progress:
    """How far a training is, after a step."""

    step: int
    total: int
    epoch: int
    images_per_second: float
    seconds_left: float
    losses: Losses
