"""Learning curves over trial positions, and timing quality of exposures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from amt.protocol import Protocol
from amt.statistics.rates import intraclass, wilson

BLOCK = 5
"""Positions per block; the last one of a session may have fewer."""


class Position(NamedTuple):
    """Answers at one position, with the share correct and its interval."""

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
        raters: Number of raters with answers.
        trials: Number of answers.
        fooled: Number of answers that took the fake for real.
        correct: Share of correct answers, 0 to 1.
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
    """First and second half of the scored trials, paired over raters.

    Attributes:
        raters: Number of raters with answers in both halves.
        first: Their mean share correct in the first half, 0 to 1.
        second: Their mean share correct in the second half.
        change: The second minus the first, -1 to 1.
        low: Lower end of the change's 95 % interval by Student's t over raters; None where it is undefined, as with one
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
    """Share of correct answers of one algorithm's raters over the session.

    Attributes:
        positions: Scored trials by position.
        blocks: Scored trials in blocks of BLOCK positions.
        practice: Practice trials in blocks, with positions of their own.
        halves: Trend over the scored trials; None where no rater answered in both halves.
    """

    positions: tuple[Position, ...]
    blocks: tuple[Block, ...]
    practice: tuple[Block, ...]
    halves: Halves | None


class ExposureQuality(NamedTuple):
    """Timing quality of exposures.

    Attributes:
        measured: Number of measured exposures, two per trial.
        within_a_frame: Share of them, 0 to 1, within one frame of the protocol's duration.
        off: Share that deviates by more frames than the protocol's rules allow.
    """

    measured: int
    within_a_frame: float
    off: float


def positions(answers: pd.DataFrame) -> pd.Series[int]:
    """Position of each answer in its session, from 1.

    Args:
        answers: Answered trials of one phase and all algorithms, with columns session and trial. Where a session mixes
            algorithms, its positions run through.
    """
    return answers.groupby("session")["trial"].rank(method="first").astype("int64")


def curve(answers: pd.DataFrame, practice: pd.DataFrame) -> Curve:
    """Compute the learning curve of one algorithm.

    Args:
        answers: Its answered scored trials, with columns rater, fooled and position.
        practice: Its answered practice trials, with the same columns; may be empty. They are too few to estimate their
            own intra-class correlation, so that of the scored trials is used.
    """
    icc = intraclass(answers)
    return Curve(_by_position(answers), _blocks(answers, icc), _blocks(practice, icc), halves(answers))


def halves(answers: pd.DataFrame) -> Halves | None:
    """Compare the halves of one algorithm's scored trials.

    The halves are those of the longest session; the middle one of an odd number of positions is in the second.

    Args:
        answers: Answered trials, with columns rater, position and fooled.

    Returns:
        The comparison; None where no rater answered in both halves.
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
        # Of few raters Student's t reaches beyond what a difference of shares can be.
        low, high = map(float, np.clip(scipy.stats.ttest_rel(second, first).confidence_interval(0.95), -1, 1))
    return Halves(len(means), float(first.mean()), float(second.mean()), float(change.mean()), low, high)


def exposure_quality(answers: pd.DataFrame, protocol: Protocol) -> ExposureQuality | None:
    """Summarise the timing of trials; None without measurements.

    Args:
        answers: Trials with columns left_ms, right_ms and frame_ms, which may have missing values.
        protocol: Duration of an exposure and its tolerance.
    """
    missed = frames_missed(answers, protocol)
    known = missed[~np.isnan(missed)]
    if not known.size:
        return None
    off = float((known > protocol.rules.frames_off).mean())
    return ExposureQuality(known.size, float((known <= 1).mean()), off)


def frames_missed(answers: pd.DataFrame, protocol: Protocol) -> NDArray[np.float64]:
    """Deviation of each exposure in whole frames (trials, 2); NaN if unmeasured.

    Rounded, since a display shows whole frames and time stamps jitter by a tenth of a millisecond.
    """
    exposures = answers[["left_ms", "right_ms"]].to_numpy(float)
    frame = answers["frame_ms"].to_numpy(float)[:, None]
    missed: NDArray[np.float64] = np.rint(np.abs(exposures - protocol.timing.exposure) / frame)
    return missed


def _by_position(answers: pd.DataFrame) -> tuple[Position, ...]:
    plain = pd.DataFrame(
        {"position": answers["position"].to_numpy(), "fooled": answers["fooled"].to_numpy(np.int64)},
    )
    counted = plain.groupby("position")["fooled"].agg(trials="size", fooled="sum").reset_index()
    right = counted["trials"] - counted["fooled"]
    # At one position a rater has one answer, so answers are independent and Wilson's interval applies as it is.
    low, high = wilson(right, counted["trials"])
    rows = counted.assign(correct=right / counted["trials"], low=low, high=high)
    return tuple(Position(*row) for row in rows.itertuples(index=False, name=None))


def _blocks(answers: pd.DataFrame, icc: float | None) -> tuple[Block, ...]:
    blocks = []
    for _, rows in answers.groupby((answers["position"].to_numpy(np.int64) - 1) // BLOCK):
        trials, fooled, raters = len(rows), int(rows["fooled"].sum()), int(rows["rater"].nunique())
        # Design effect: answers of one rater correlate. Where the correlation is unknown, as when nobody was ever
        # fooled, a rater's answers count as one.
        design = 1 + (trials / raters - 1) * (1.0 if icc is None else icc)
        low, high = wilson((trials - fooled) / design, trials / design)
        first, last = int(rows["position"].min()), int(rows["position"].max())
        blocks.append(Block(first, last, raters, trials, fooled, (trials - fooled) / trials, float(low), float(high)))
    return tuple(blocks)
