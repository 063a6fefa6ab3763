"""Fooling rates per algorithm, rater and item, sensitivity, side bias, response times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike, NDArray

from amt.statistics.resampling import REPLICATES, Estimate, draw_counts, estimate, generator, two_stage

_Z = float(scipy.special.ndtri(0.975))


class Sensitivity(NamedTuple):
    """Sensitivity d' in standard deviations of the percept; 0 is chance.

    Attributes:
        value: The estimate of d'.
        low: Lower end of the 95 % interval, from the upper end of the rate's.
        high: Upper end.
    """

    value: float
    low: float
    high: float


class Quartiles(NamedTuple):
    """Quartiles over raters of their median response times in ms."""

    low: float
    median: float
    high: float
    raters: int


def by_rater(answers: pd.DataFrame) -> pd.DataFrame:
    """Rate of each rater with each algorithm.

    Args:
        answers: Answered trials (`table.scored`), with columns algorithm, rater and fooled.

    Returns:
        Columns algorithm, rater, fooled, trials, rate (0 to 1), sorted by the first two.
    """
    return _counted(answers, "rater")


def by_item(answers: pd.DataFrame) -> pd.DataFrame:
    """Rate of each item's fake with its 95 % Wilson interval.

    Each rater sees an item once, so its answers are independent.

    Args:
        answers: Answered trials, with columns algorithm, item and fooled.

    Returns:
        Columns algorithm, item, fooled, trials, rate, low, high (0 to 1), sorted by the first two.
    """
    items = _counted(answers, "item")
    items["low"], items["high"] = wilson(items["fooled"], items["trials"])
    return items


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of the 95 % interval of binomial proportions.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    # In counts instead of shares: multiplied by n, Wilson's formula needs no division by n^2.
    centre = (k + _Z**2 / 2) / (n + _Z**2)
    half = _Z / (n + _Z**2) * np.sqrt(k * (n - k) / n + _Z**2 / 4)
    # Exact at 0 and 1, where rounding would leave 1e-17.
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def sensitivity(rate: Estimate, trials: int) -> Sensitivity:
    """Sensitivity d' in the two-alternative task.

    It is sqrt(2) times the inverse normal of the share correct, 1 - rate (Macmillan and Creelman, Detection Theory,
    chapter 7). Rates of 0 and 1, which have no finite d', are replaced by those of half a trial, 1 / (2 trials) and
    1 - 1 / (2 trials) (Macmillan and Kaplan 1985); likewise the ends of the interval.

    Args:
        rate: The fooling rate, 0 to 1.
        trials: Number of trials behind it.
    """
    value, low, high = (
        float(np.sqrt(2) * scipy.special.ndtri(np.clip(1 - end, 0.5 / trials, 1 - 0.5 / trials)))
        for end in (rate.value, rate.high, rate.low)
    )
    return Sensitivity(value, low, high)


def left_share(answers: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Estimate]:
    """Share of answers "left" per algorithm, with its two-stage interval.

    With fakes left as often as right, unbiased raters give 0.5, whatever the fooling rate.
    """
    left = answers.assign(fooled=(answers["choice"] == "left").astype("int64"))
    drawn = two_stage(left, replicates, seed)
    return {name: drawn.estimate(name) for name in drawn.algorithms}


def learning(answers: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> Estimate | None:
    """Change of the share correct per 10 trials, in percentage points.

    The least-squares slope of correctness on trial number, common to all raters and within raters; the bootstrap
    resamples raters, and has no interval for a single one.

    Args:
        answers: Answered trials of one algorithm, with columns rater, trial and fooled.
        replicates: Number of draws.
        seed: Seed of the draws.

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
    # Deviations from each rater's own means: raters who are better throughout do not look like learning.
    within = plain[["trial", "correct"]] - plain.groupby("rater")[["trial", "correct"]].transform("mean")
    products = pd.DataFrame({"xy": within["trial"] * within["correct"], "xx": within["trial"] ** 2})
    xy, xx = products.groupby(plain["rater"]).sum().to_numpy().T
    if not xx.sum() > 0:
        return None
    slope = float(10 * xy.sum() / xx.sum())
    if len(xx) < 2:
        return estimate(slope, np.empty(0))
    counts = draw_counts(generator(seed, "learning"), replicates, len(xx))
    # Sums over raters suffice: a replicate weighs each rater's sums by its multiplicity.
    sums = counts @ xx
    slopes = np.divide(10 * (counts @ xy), sums, out=np.full(replicates, np.nan), where=sums > 0)
    return estimate(slope, slopes)


def response_times(answers: pd.DataFrame) -> Quartiles | None:
    """Quartiles over raters of their median response time; None without measurements.

    Args:
        answers: Answered trials, with columns rater and response_ms.
    """
    # Median per rater first: response times are skewed, and a rater with many trials must not dominate.
    medians = answers.groupby("rater")["response_ms"].median().dropna().to_numpy(float)
    if not medians.size:
        return None
    low, median, high = np.percentile(medians, [25, 50, 75])
    return Quartiles(float(low), float(median), float(high), len(medians))


def intraclass(answers: pd.DataFrame) -> float | None:
    """Intra-class correlation of one algorithm's answers within raters, for planning.

    The analysis-of-variance estimator for unequal numbers of trials (Fleiss, Levin and Paik, Statistical Methods for
    Rates and Proportions, section 15.2), at least 0.

    Args:
        answers: Answered trials, with columns algorithm, rater and fooled.

    Returns:
        0 to 1; None where there is one rater, one trial per rater, or no variance.
    """
    raters = by_rater(answers)
    n, rates = raters["trials"].to_numpy(float), raters["rate"].to_numpy(float)
    k, total = len(n), n.sum()
    if k < 2 or total <= k:
        return None
    # Mean squares between and within raters of 0/1 answers; within, n p (1 - p) is the sum of squares of a rater.
    between = float((n * (rates - (n * rates).sum() / total) ** 2).sum()) / (k - 1)
    within = float((n * rates * (1 - rates)).sum()) / (total - k)
    typical = (total - (n**2).sum() / total) / (k - 1)  # trials per rater, reduced where raters have unequal numbers
    variance = between + (typical - 1) * within
    return max(0.0, float((between - within) / variance)) if variance > 0 else None


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
