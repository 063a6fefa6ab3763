"""News of work in another process: what a listener would hear there, as items that can be sent here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pbench.ablation.listener import Listener

if TYPE_CHECKING:  # what merely carries news needs no torch
    from p2pbench.training.trainer import Progress

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
