"""Simulated raters: fooling model, answers, response times, and their records."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from amt.protocol import Side, Timing
from amt.store.trials import TrialTruth

# careful: fooled at the given rate. random: guesses. lazy: guesses, implausibly fast. one_sided: always answers left.
# leaving: careful, and leaves midway. double: careful, and starts again in another tab midway.
Kind = Literal["careful", "random", "lazy", "one_sided", "leaving", "double"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# full: no slot was free. failed: the server's reply was wrong, or it did not reply for too long.
Ending = Literal["completed", "left", "full", "failed"]

RATER_SD, ITEM_SD = 0.5, 0.8
"""Standard deviations of raters and items on the logit scale."""
_FRAME_MS = 1000 / 60
_JITTER_MS = 0.3
_MEDIAN_MS, _SPREAD = 900.0, 0.35  # of log-normal response times
_LAZY_MS = (80.0, 240.0)
_NODES = 40  # of Gauss-Hermite quadrature
_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Crowd:
    """Raters of a simulation.

    Attributes:
        raters: Number of raters of each kind; they arrive in random order.
        fooling: Probability by algorithm, in [0, 1], that a careful rater takes a fake for real.
        seed: Seed of all that a rater does. The order in which the server receives it is not determined.
        first: Number of the first rater. The server knows raters of equal seed and number as one.
        pace: Seconds from one trial of a rater to the next; 0 is as fast as the server answers.
        arrivals: Seconds over which raters arrive; 0 is all at once.
        retries: Share of requests that are sent a second time, as after a lost reply.
    """

    raters: Mapping[Kind, int]
    fooling: Mapping[str, float]
    seed: int = 0
    first: int = 0
    pace: float = 0.0
    arrivals: float = 0.0
    retries: float = 0.0


class SimulatedAnswer(NamedTuple):
    """Choice with its response time in milliseconds from the prompt."""

    choice: Side
    response_ms: float


class FoolingModel:
    """Logistic model of fooling: P(fooled) = logistic(algorithm + rater + item).

    Args:
        fooling: Mean probability by algorithm, in [0, 1], over all raters and items.
        seed: Seed of the items' deviations, together with their ids.
    """

    def __init__(self, fooling: Mapping[str, float], seed: int) -> None:
        self._seed = seed
        self._logits = {algorithm: _logit_of_mean(wanted) for algorithm, wanted in fooling.items()}

    def fooled(self, truth: TrialTruth, rater: float) -> float:
        """Probability that a rater with this deviation is fooled."""
        # By the item's id, so that all raters and algorithms share its deviation.
        item = np.random.default_rng((self._seed, zlib.crc32(truth.item.encode()))).normal(0, ITEM_SD)
        return float(_logistic(np.asarray(self._logits[truth.algorithm] + rater + item)))


class Rater:
    """One simulated rater.

    Attributes:
        number: From 0; with the seed it determines name and choices.
        kind: Its behaviour.
        rng: Source of its choices.
    """

    def __init__(self, number: int, kind: Kind, crowd: FoolingModel, seed: int) -> None:
        self.number = number
        self.kind = kind
        self.rng = np.random.default_rng((seed, number))
        self._crowd = crowd
        self._deviation = float(self.rng.normal(0, RATER_SD))

    @property
    def name(self) -> str:
        """Id that the rater gives the server."""
        return f"simulated-{self.number}"

    def turning_point(self, trials: int) -> int | None:
        """Index of the trial before which a rater leaves or restarts."""
        if self.kind not in {"leaving", "double"}:
            return None
        return int(self.rng.integers(1, max(trials, 2)))

    def answer(self, truth: TrialTruth) -> SimulatedAnswer:
        """Draw the answer to a trial."""
        if self.kind == "lazy":
            return SimulatedAnswer(self._guess(), float(self.rng.uniform(*_LAZY_MS)))
        response_ms = float(_MEDIAN_MS * np.exp(self.rng.normal(0, _SPREAD)))
        if self.kind == "random":
            return SimulatedAnswer(self._guess(), response_ms)
        if self.kind == "one_sided":
            return SimulatedAnswer("left", response_ms)
        fooled = self.rng.random() < self._crowd.fooled(truth, self._deviation)
        return SimulatedAnswer(_OTHER[truth.fake_side] if fooled else truth.fake_side, response_ms)

    def measured(self, answer: SimulatedAnswer, timing: Timing) -> dict[str, Any]:
        """Body of an answer, with jittered exposures at 60 Hz."""
        frames = max(1, round(timing.exposure / _FRAME_MS))
        exposures = {}
        on = float(timing.blank)
        for side in ("left", "right"):
            jitter = self.rng.normal(0, _JITTER_MS, 2)
            off = on + max(0.1, timing.exposure + jitter[0])
            exposures[side] = {"on": on, "off": off, "frames": frames, "gap": _FRAME_MS + abs(jitter[1])}
            on = off + timing.gap  # the right image follows the left
        return {
            "choice": answer.choice,
            "response_ms": answer.response_ms,
            "frame_ms": _FRAME_MS,
            "hertz": 60.0,
            "exposures": exposures,
        }

    def _guess(self) -> Side:
        return "left" if self.rng.random() < 0.5 else "right"


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _logit_of_mean(wanted: float) -> float:
    """Solve for the logit with mean probability `wanted`.

    Averaging over their deviations pulls the probability towards one half, so the logit is not that of `wanted`.
    """
    # Infinite logits, which no bisection reaches.
    if wanted in {0.0, 1.0}:
        return np.inf if wanted else -np.inf
    # Gauss-Hermite quadrature: the mean over a normal deviation as a weighted sum of a few values.
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    spread = np.hypot(RATER_SD, ITEM_SD) * nodes
    weights = weights / weights.sum()
    low, high = -40.0, 40.0
    for _ in range(60):  # bisection: the mean grows with the logit
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(middle + spread) @ weights < wanted else (low, middle)
    return (low + high) / 2


class AcknowledgedAnswer(NamedTuple):
    """Answer that the server has acknowledged."""

    session: str
    k: int
    choice: Side
    response_ms: float


@dataclass
class SimulationRecord:
    """Records of a simulation from the raters' side.

    Attributes:
        endings: Numbers of raters by kind and ending.
        answers: Acknowledged answers, each once.
        codes: Completion codes by session: one each, if the server is correct.
        latencies: Seconds from sending a request to the end of its reply, by kind of request (environment, consent,
            next, image, shown, response, complete and so on), without requests that got no reply.
        waits: Seconds from the first sending of an answer to its acknowledgement, over all attempts.
        refusals: Numbers of replies other than 2xx, by kind of request, status and the server's word.
        lost: Number of requests without reply, after a connection error or a deliberate cut.
        seconds: From the first rater's start to the last one's end.
    """

    endings: Counter[tuple[Kind, Ending]] = field(default_factory=Counter)
    answers: list[AcknowledgedAnswer] = field(default_factory=list)
    codes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: list[float] = field(default_factory=list)
    refusals: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    lost: int = 0
    seconds: float = 0.0

    def ended(self, ending: Ending) -> int:
        """Number of raters of all kinds with this ending."""
        return sum(count for (_, how), count in self.endings.items() if how == ending)
