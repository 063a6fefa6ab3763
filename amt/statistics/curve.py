"""Learning curves over trial positions, and display times against the protocol."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from amt.protocol import Protocol
from amt.statistics.planning import intraclass
from amt.statistics.rates import wilson

BLOCK = 5


"""Positions in a block; the last one of a session may have fewer."""


class Position(NamedTuple):
    """Answers at one position, one a rater: how many, times fooled, share right with its 95 % Wilson interval."""

    position: int
    trials: int
    fooled: int
    correct: float
    low: float
    high: float


class Block(NamedTuple):
    """Answers at neighbouring positions.

    Attributes:
        first: The first position.
        last: The last one.
        raters: Who answered at any of them.
        trials: How many answers there are.
        fooled: How many of them took the fake for real.
        correct: Share of them that are right, 0 to 1.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    first: int
    last: int
    raters: int
    trials: int
    fooled: int
    correct: float
    low: float
    high: float


class Halves(NamedTuple):
    """The first half of the scored trials against the second, paired over raters.

    Attributes:
        raters: Who answered in both halves.
        first: Their share right in the first half, 0 to 1: the mean over raters.
        second: The same of the second half.
        change: The second less the first, -1 to 1.
        low: Lower end of the change's 95 % interval by Student's t over raters; None where it has none, as with one
            rater or where all raters changed alike.
        high: Upper end.
    """

    raters: int
    first: float
    second: float
    change: float
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """How often the raters of one algorithm were right in the course of their sessions.

    Attributes:
        positions: Scored trials by position.
        blocks: The same in blocks of BLOCK positions.
        practice: Practice trials, with positions of their own, in blocks; they count nowhere else.
        halves: The trend; None where no rater answered in both halves.
    """

    positions: tuple[Position, ...]
    blocks: tuple[Block, ...]
    practice: tuple[Block, ...]
    halves: Halves | None


def positions(answers: pd.DataFrame) -> pd.Series[int]:
    """The position of each answer in its session, from 1, in the order of trial numbers.

    Args:
        answers: Answered trials of one phase, with columns session and trial. Those of all algorithms together: where
            a session mixes them, its positions run through.
    """
    return answers.groupby("session")["trial"].rank(method="first").astype("int64")


def curve(answers: pd.DataFrame, practice: pd.DataFrame) -> Curve:
    """The learning curve of one algorithm.

    Args:
        answers: Its answered scored trials, with columns rater, fooled and position.
        practice: Its answered practice trials, with the same columns; may be empty. Too few for a correlation of their
            own, they have that of the scored trials.
    """
    icc = intraclass(answers)
    return Curve(_by_position(answers), _blocks(answers, icc), _blocks(practice, icc), halves(answers))


def halves(answers: pd.DataFrame) -> Halves | None:
    """The trend over the scored trials of one algorithm; None where no rater answered in both halves.

    The halves are those of the longest session; the middle one of an odd number of positions is in the second.

    Args:
        answers: Answered trials, with columns rater, position and fooled.
    """
    plain = pd.DataFrame(
        {
            "rater": answers["rater"].to_numpy(object),
            "second": answers["position"].to_numpy() > answers["position"].max() // 2,
            "correct": 1 - answers["fooled"].to_numpy(np.float64),
        }
    )
    means = plain.groupby(["rater", "second"])["correct"].mean().unstack().dropna()
    if means.shape[1] < 2 or means.empty:
        return None
    first, second = means[False].to_numpy(), means[True].to_numpy()
    change = second - first
    low = high = None
    if np.ptp(change) > 0:
        low, high = map(float, scipy.stats.ttest_rel(second, first).confidence_interval(0.95))
    return Halves(len(means), float(first.mean()), float(second.mean()), float(change.mean()), low, high)


def _by_position(answers: pd.DataFrame) -> tuple[Position, ...]:
    plain = pd.DataFrame(
        {"position": answers["position"].to_numpy(), "fooled": answers["fooled"].to_numpy(np.int64)},
    )
    counted = plain.groupby("position")["fooled"].agg(trials="size", fooled="sum").reset_index()
    right = counted["trials"] - counted["fooled"]
    low, high = wilson(right, counted["trials"])
    rows = counted.assign(correct=right / counted["trials"], low=low, high=high)
    return tuple(Position(*row) for row in rows.itertuples(index=False, name=None))


def _blocks(answers: pd.DataFrame, icc: float | None) -> tuple[Block, ...]:
    found = []
    for _, its in answers.groupby((answers["position"].to_numpy(np.int64) - 1) // BLOCK):
        trials, fooled, raters = len(its), int(its["fooled"].sum()), int(its["rater"].nunique())
        # Where the correlation is unknown, as when nobody was ever fooled, a rater's answers count as one.
        design = 1 + (trials / raters - 1) * (1.0 if icc is None else icc)
        low, high = wilson((trials - fooled) / design, trials / design)
        first, last = int(its["position"].min()), int(its["position"].max())
        found.append(Block(first, last, raters, trials, fooled, (trials - fooled) / trials, float(low), float(high)))
    return tuple(found)


class Exposures(NamedTuple):
    """Timing quality.

    Attributes:
        measured: How many exposures were measured; two a trial.
        within_a_frame: Share of them, 0 to 1, that lasted as long as the protocol says, to within one frame.
        off: Share that missed it by more frames than the protocol's rules put up with.
    """

    measured: int
    within_a_frame: float
    off: float


def exposure_quality(answers: pd.DataFrame, protocol: Protocol) -> Exposures | None:
    """Timing quality of some trials; None where nothing was measured.

    Args:
        answers: Trials, with columns left_ms, right_ms and frame_ms, any of them missing.
        protocol: Says how long an exposure lasts, and which are off.
    """
    missed = frames_missed(answers, protocol)
    known = missed[~np.isnan(missed)]
    if not known.size:
        return None
    off = float((known > protocol.rules.frames_off).mean())
    return Exposures(known.size, float((known <= 1).mean()), off)


def frames_missed(answers: pd.DataFrame, protocol: Protocol) -> NDArray[np.float64]:
    """By how many frames of the rater's display each exposure was too long or too short (trials, 2); NaN unmeasured.

    Whole frames: a display shows nothing shorter, and time stamps jitter by a tenth of a millisecond.
    """
    exposures = answers[["left_ms", "right_ms"]].to_numpy(float)
    frame = answers["frame_ms"].to_numpy(float)[:, None]
    missed: NDArray[np.float64] = np.rint(np.abs(exposures - protocol.timing.exposure) / frame)
    return missed
