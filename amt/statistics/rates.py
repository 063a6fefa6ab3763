"""Fooling rates by algorithm, rater and item, with sensitivity, side bias and response times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike, NDArray

from amt.statistics.bootstrap import REPLICATES, Estimate, draw_counts, estimate, generator, two_stage

_Z = float(scipy.special.ndtri(0.975))


def by_rater(answers: pd.DataFrame) -> pd.DataFrame:
    """The rate of each rater with each algorithm.

    Args:
        answers: Answered trials (`table.scored`), with columns algorithm, rater and fooled.

    Returns:
        Columns algorithm, rater, fooled, trials, rate (0 to 1), sorted by the first two.
    """
    return _counted(answers, "rater")


def by_algorithm(answers: pd.DataFrame) -> pd.DataFrame:
    """The rate of each algorithm: the mean over its raters of their mean over trials.

    Args:
        answers: Answered trials, with columns algorithm, rater and fooled.

    Returns:
        Columns algorithm, raters, trials, rate (0 to 1), sorted by algorithm.
    """
    groups = by_rater(answers).groupby("algorithm")
    return groups.agg(raters=("rater", "size"), trials=("trials", "sum"), rate=("rate", "mean")).reset_index()


def by_item(answers: pd.DataFrame) -> pd.DataFrame:
    """The rate of each item's fake, with its 95 % Wilson interval: an item's raters each see it once.

    Args:
        answers: Answered trials, with columns algorithm, item and fooled.

    Returns:
        Columns algorithm, item, fooled, trials, rate, low, high (0 to 1), sorted by the first two.
    """
    items = _counted(answers, "item")
    items["low"], items["high"] = wilson(items["fooled"], items["trials"])
    return items


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of the 95 % interval of proportions of independent trials.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    centre = (k + _Z**2 / 2) / (n + _Z**2)
    half = _Z / (n + _Z**2) * np.sqrt(k * (n - k) / n + _Z**2 / 4)
    # Exact where nobody, or everybody, was fooled: rounding would leave 1e-17 there.
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def _counted(answers: pd.DataFrame, column: str) -> pd.DataFrame:
    plain = pd.DataFrame(
        {
            "algorithm": answers["algorithm"].to_numpy(object),
            column: answers[column].to_numpy(object),
            "fooled": answers["fooled"].to_numpy(np.int64),
        }
    )
    groups = plain.groupby(["algorithm", column])["fooled"]
    counted = groups.agg(fooled="sum", trials="size").reset_index()
    return counted.assign(rate=counted["fooled"] / counted["trials"])


class Sensitivity(NamedTuple):
    """How well raters tell fakes from real images, in standard deviations of their impression; 0 is chance.

    Attributes:
        value: d'.
        low: Lower end of the 95 % interval, from the upper end of the rate's.
        high: Upper end.
    """

    value: float
    low: float
    high: float


class Quartiles(NamedTuple):
    """Response times in milliseconds: quartiles over raters of each rater's median, and how many raters have one."""

    low: float
    median: float
    high: float
    raters: int


def sensitivity(rate: Estimate, trials: int) -> Sensitivity:
    """Sensitivity d' in the two-alternative task: sqrt(2) times the inverse normal of the share correct, 1 - rate.

    Macmillan and Creelman, Detection Theory, chapter 7. Rates of 0 and 1, which have no finite d', stand for half a
    trial: 1 / (2 trials) and 1 - 1 / (2 trials) (Macmillan and Kaplan 1985). The same limits hold for the ends of the
    interval.

    Args:
        rate: The fooling rate, 0 to 1.
        trials: How many trials it is from.
    """
    value, low, high = (
        float(np.sqrt(2) * scipy.special.ndtri(np.clip(1 - end, 0.5 / trials, 1 - 0.5 / trials)))
        for end in (rate.value, rate.high, rate.low)
    )
    return Sensitivity(value, low, high)


def left_share(answers: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Estimate]:
    """By algorithm: the share of answers that called the left image fake, with its two-stage interval.

    With fakes left as often as right, raters who lean to no side give 0.5, whatever the fooling rate.
    """
    left = answers.assign(fooled=(answers["choice"] == "left").astype("int64"))
    drawn = two_stage(left, replicates, seed)
    return {name: drawn.estimate(name) for name in drawn.algorithms}


def learning(answers: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> Estimate | None:
    """By how many percentage points 10 trials change the share correct, with its interval over raters if there are two.

    The slope of correctness on trial number, common to all raters, each rater's own mean taken out (least squares);
    the bootstrap draws raters. Positive: raters get better.

    Args:
        answers: Answered trials of one algorithm, with columns rater, trial and fooled.
        replicates: How many draws.
        seed: Of the draws.

    Returns:
        The slope, or None where no rater has two trials.
    """
    plain = pd.DataFrame(
        {
            "rater": answers["rater"].to_numpy(object),
            "trial": answers["trial"].to_numpy(float),
            "correct": 100 * (1 - answers["fooled"].to_numpy(float)),
        }
    ).sort_values(["rater", "trial"])
    within = plain[["trial", "correct"]] - plain.groupby("rater")[["trial", "correct"]].transform("mean")
    products = pd.DataFrame({"xy": within["trial"] * within["correct"], "xx": within["trial"] ** 2})
    xy, xx = products.groupby(plain["rater"]).sum().to_numpy().T
    if not xx.sum() > 0:
        return None
    slope = float(10 * xy.sum() / xx.sum())
    if len(xx) < 2:
        return estimate(slope, np.empty(0))
    counts = draw_counts(generator(seed, "learning"), replicates, len(xx))
    sums = counts @ xx
    slopes = np.divide(10 * (counts @ xy), sums, out=np.full(replicates, np.nan), where=sums > 0)
    return estimate(slope, slopes)


def response_times(answers: pd.DataFrame) -> Quartiles | None:
    """Quartiles over raters of their median response time; None where no time was measured.

    Args:
        answers: Answered trials, with columns rater and response_ms.
    """
    medians = answers.groupby("rater")["response_ms"].median().dropna().to_numpy(float)
    if not medians.size:
        return None
    low, median, high = np.percentile(medians, [25, 50, 75])
    return Quartiles(float(low), float(median), float(high), len(medians))
