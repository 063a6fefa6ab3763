"""Simulated raters: their answers and response times, and a tally of both."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from amt.protocol import Side, Timing
from amt.store.trials import Truth

# careful: looks, and is fooled as often as asked. random: a coin. lazy: a coin, and at once. one_sided: always left.
# leaving: careful, and gone in the middle. double: careful, and starts once more in another tab.
Kind = Literal["careful", "random", "lazy", "one_sided", "leaving", "double"]


KINDS: tuple[Kind, ...] = get_args(Kind)


RATER_SD, ITEM_SD = 0.5, 0.8


"""Deviations of raters and items on the logit scale."""


_FRAME_MS = 1000 / 60


_JITTER_MS = 0.3


_MEDIAN_MS, _SPREAD = 900.0, 0.35


_LAZY_MS = (80.0, 240.0)


_STEPS = 40


class Answer(NamedTuple):
    """A choice, and the milliseconds from the prompt to it."""

    choice: Side
    response_ms: float


class Crowd:
    """How often fakes fool: P(fooled) = logistic(algorithm + rater + item), with the mean of each algorithm as asked.

    Args:
        fooling: The probability, between 0 and 1, that a fake of an algorithm is taken for real, over all raters and
            items.
        seed: The items' deviations follow from it and their ids.
    """

    def __init__(self, fooling: Mapping[str, float], seed: int) -> None:
        self._seed = seed
        self._logits = {algorithm: _logit_of_mean(wanted) for algorithm, wanted in fooling.items()}

    def fooled(self, truth: Truth, rater: float) -> float:
        """The probability that a rater, of a deviation in logits, takes this fake for real."""
        item = np.random.default_rng((self._seed, zlib.crc32(truth.item.encode()))).normal(0, ITEM_SD)
        return float(_logistic(np.asarray(self._logits[truth.algorithm] + rater + item)))


class Rater:
    """One simulated rater.

    Attributes:
        number: From 0; its name and all its choices follow from it and the seed.
        kind: How it behaves.
        rng: Draws what it does.
    """

    def __init__(self, number: int, kind: Kind, crowd: Crowd, seed: int) -> None:
        self.number = number
        self.kind = kind
        self.rng = np.random.default_rng((seed, number))
        self._crowd = crowd
        self._deviation = float(self.rng.normal(0, RATER_SD))

    @property
    def name(self) -> str:
        """What it is called towards the server."""
        return f"simulated-{self.number}"

    def turning_point(self, trials: int) -> int | None:
        """Before which of its trials, counted from 0, one that leaves or starts twice does so; never the first."""
        if self.kind not in {"leaving", "double"}:
            return None
        return int(self.rng.integers(1, max(trials, 2)))

    def answer(self, truth: Truth) -> Answer:
        """What it says to a trial, and when."""
        if self.kind == "lazy":
            return Answer(self._coin(), float(self.rng.uniform(*_LAZY_MS)))
        response_ms = float(_MEDIAN_MS * np.exp(self.rng.normal(0, _SPREAD)))
        if self.kind == "random":
            return Answer(self._coin(), response_ms)
        if self.kind == "one_sided":
            return Answer("left", response_ms)
        fooled = self.rng.random() < self._crowd.fooled(truth, self._deviation)
        return Answer(_OTHER[truth.fake_side] if fooled else truth.fake_side, response_ms)

    def measured(self, answer: Answer, timing: Timing) -> dict[str, Any]:
        """The body of an answer, with what a 60 Hz display would have measured: exposures as set, but for jitter."""
        frames = max(1, round(timing.exposure / _FRAME_MS))
        exposures = {}
        on = float(timing.blank)
        for side in ("left", "right"):
            jitter = self.rng.normal(0, _JITTER_MS, 2)
            off = on + max(0.1, timing.exposure + jitter[0])
            exposures[side] = {"on": on, "off": off, "frames": frames, "gap": _FRAME_MS + abs(jitter[1])}
            on = off + timing.gap
        return {
            "choice": answer.choice,
            "response_ms": answer.response_ms,
            "frame_ms": _FRAME_MS,
            "hertz": 60.0,
            "exposures": exposures,
        }

    def _coin(self) -> Side:
        return "left" if self.rng.random() < 0.5 else "right"


_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _logit_of_mean(wanted: float) -> float:
    """The logit at which the mean over all raters and items is as wanted; the deviations draw it towards one half."""
    if wanted in {0.0, 1.0}:
        return np.inf if wanted else -np.inf
    nodes, weights = np.polynomial.hermite_e.hermegauss(_STEPS)
    spread = np.hypot(RATER_SD, ITEM_SD) * nodes
    weights = weights / weights.sum()
    low, high = -40.0, 40.0
    for _ in range(60):  # bisection: the mean grows with the logit
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(middle + spread) @ weights < wanted else (low, middle)
    return (low + high) / 2


# full: there was no place. failed: the server said what it must not say, or nothing for too long.
Ending = Literal["completed", "left", "full", "failed"]


class Acknowledged(NamedTuple):
    """An answer that the server has confirmed."""

    session: str
    k: int
    choice: Side
    response_ms: float


@dataclass
class Outcome:
    """The raters' own records.

    Attributes:
        endings: How many of each kind ended how.
        full: The numbers of the raters that found no place.
        answers: Every answer that was acknowledged, once.
        codes: The completion codes by session: one each, if the server is right.
        latencies: Seconds from sending a request to the end of its reply, by kind of request: environment, consent,
            next, image, shown, response, complete and so on; requests that got no reply are not among them.
        waits: Seconds from the first sending of an answer to its acknowledgement, with all attempts between.
        refusals: Replies other than 2xx, by kind of request, status and the server's word.
        lost: How many requests got no reply, because of an error of the connection or because it was cut on purpose.
        seconds: From the first rater's start to the last one's end.
    """

    endings: Counter[tuple[Kind, Ending]] = field(default_factory=Counter)
    full: list[int] = field(default_factory=list)
    answers: list[Acknowledged] = field(default_factory=list)
    codes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: list[float] = field(default_factory=list)
    refusals: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    lost: int = 0
    seconds: float = 0.0

    def ended(self, ending: Ending) -> int:
        """How many raters of any kind ended so."""
        return sum(count for (_, how), count in self.endings.items() if how == ending)
