"""How many raters a study needs, and what it can find: comparisons of two fooling rates.

Normal approximation. A rate from n raters with m trials each has variance

    p (1 - p) / (n m) * (1 + (m - 1) ICC)

where the intra-class correlation ICC is the share of the variance of an answer that lies between raters (Donner and
Klar, Design and Analysis of Cluster Randomization Trials, chapter 5). Two algorithms, each with n raters of its own and
a rate near p, differ detectably by (z of 1 - alpha/2 + z of the power) times the root of twice that variance. Items are
taken as given, as in the two-stage bootstrap; claims beyond the items (the crossed one) need more.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy.special

from amt.statistics.rates import by_rater


def raters_needed(
    difference: float,
    rate: float = 0.2,
    trials: int = 40,
    icc: float = 0.05,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """Raters an algorithm, so that a difference between two algorithms is found with a given power.

    Args:
        difference: Between the two fooling rates, above 0, at most 1 (0.06 is six percentage points).
        rate: The fooling rate near which both lie, between 0 and 1.
        trials: Scored trials a rater.
        icc: Intra-class correlation, 0 to 1.
        power: Probability of finding the difference, between 0 and 1.
        alpha: Two-sided level of the test; divide it by the number of pairs for a study of many.

    Raises:
        ValueError: An argument is outside its range.
    """
    if not 0 < difference <= 1:
        raise ValueError(f"difference is {difference}; expected above 0, at most 1")
    needed = (_detectable(1, rate, trials, icc, power, alpha) / difference) ** 2
    return max(2, math.ceil(needed - 1e-9))


def smallest_difference(
    raters: int,
    rate: float = 0.2,
    trials: int = 40,
    icc: float = 0.05,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The difference between two fooling rates that so many raters an algorithm find with a given power.

    Arguments are those of `raters_needed`.

    Raises:
        ValueError: An argument is outside its range.
    """
    if raters < 2:
        raise ValueError(f"raters is {raters}; expected at least 2")
    return _detectable(raters, rate, trials, icc, power, alpha)


def intraclass(answers: pd.DataFrame) -> float | None:
    """The intra-class correlation of one algorithm's answers, for planning the next study.

    The analysis-of-variance estimator for unequal numbers of trials (Fleiss, Levin and Paik, Statistical Methods for
    Rates and Proportions, section 15.2), at least 0.

    Args:
        answers: Answered trials, with columns algorithm, rater and fooled.

    Returns:
        0 to 1; None where there is one rater, one trial a rater, or no variance.
    """
    raters = by_rater(answers)
    n, rates = raters["trials"].to_numpy(float), raters["rate"].to_numpy(float)
    k, total = len(n), n.sum()
    if k < 2 or total <= k:
        return None
    between = float((n * (rates - (n * rates).sum() / total) ** 2).sum()) / (k - 1)
    within = float((n * rates * (1 - rates)).sum()) / (total - k)
    typical = (total - (n**2).sum() / total) / (k - 1)
    variance = between + (typical - 1) * within
    return max(0.0, float((between - within) / variance)) if variance > 0 else None


def _detectable(raters: int, rate: float, trials: int, icc: float, power: float, alpha: float) -> float:
    for name, value in (("rate", rate), ("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; expected between 0 and 1")
    if trials < 1 or not 0 <= icc <= 1:
        raise ValueError(f"trials is {trials} and icc {icc}; expected at least 1 trial, and an icc from 0 to 1")
    variance = rate * (1 - rate) / (raters * trials) * (1 + (trials - 1) * icc)
    z = scipy.special.ndtri(1 - alpha / 2) + scipy.special.ndtri(power)
    return float(z * np.sqrt(2 * variance))
