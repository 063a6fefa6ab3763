"""Whether several runs at once get through more images than the same runs one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NO_GAIN = 1.0  # times as many images, up to which runs go one after the other
IN_TURN = "so they go one after the other"

SECONDS = 1.0  # of steps that are measured
LEAST_STEPS = 3  # that are measured where a step is slow


class NotMeasured(Exception):
    """Runs at once could not be measured; the message is why."""


class Rates(NamedTuple):
    """Images a second of one run: by itself, and beside the others."""

    alone: float
    beside: float


class Totals(NamedTuple):
    """Images a second of several runs: of all at once, and of the same images one run after the other."""

    at_once: float
    in_turn: float

    @property
    def gain(self) -> float:
        """How many times as many images there are at once."""
        return self.at_once / self.in_turn

    @property
    def raised(self) -> bool:
        """Whether that is more."""
        return self.gain > NO_GAIN


def weigh(rates: Sequence[Rates]) -> Totals:
    """Add up runs, which may differ: what each does in a second beside the others takes it beside / alone in turn."""
    at_once = sum(rate.beside for rate in rates)
    return Totals(at_once, at_once / sum(rate.beside / rate.alone for rate in rates))


def verdict(count: int, totals: Totals) -> str:
    """What was measured of so many runs, and what follows."""
    return (
        f"{count} runs at once: {totals.at_once:.1f} images/s in all, against {totals.in_turn:.1f} one after the other "
        f"({totals.gain:.2f} times){'' if totals.raised else f', {IN_TURN}'}"
    )


def enough_seconds(step: float) -> float:
    """How long to measure steps of so many seconds."""
    return max(SECONDS, LEAST_STEPS * step)
