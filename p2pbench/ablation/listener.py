"""Who hears how far the work is."""

from __future__ import annotations

from typing import Protocol

from p2pbench.training.trainer import Progress


class Listener(Protocol):
    """Told of each piece of work by its name; what it does with that changes no result."""

    def say(self, text: str) -> None:
        """A sentence about what is done or skipped."""

    def count(self, work: str, done: int, total: int) -> None:
        """How many of the items of a piece of work are done."""

    def train(self, work: str, progress: Progress) -> None:
        """How far a training is."""
