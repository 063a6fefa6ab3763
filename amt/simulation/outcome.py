"""What simulated raters know in the end: what was acknowledged to them, and how long that took."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from amt.protocol import Side
from amt.simulation.raters import Kind

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
