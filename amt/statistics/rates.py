"""Fooling rates: the share of trials in which the rater took the fake for real, by algorithm, rater and item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike, NDArray

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
