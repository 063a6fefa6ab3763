"""How many raters a study needs, and what it can find: comparisons of two fooling rates.

Of n raters with m trials each on I items, a rate near p has the variance (Donner and Klar, Design and Analysis of
Cluster Randomization Trials, chapter 5, with a part for items)

    p (1 - p) * ((1 + (m - 1) ICC) / (n m) + ICC_items (1 / I - 1 / (n m)))

ICC is the share of an answer's variance that lies between raters. ICC_items is the share that lies between items and
that two algorithms do not have in common: an item may be hard for one and easy for the other. What is hard for both
cancels in their difference. Two algorithms, each with n raters of its own, differ detectably by (t of 1 - alpha/2 + t
of the power) times the root of twice that variance: Student's t with Satterthwaite's degrees of freedom from 2 (n - 1)
of raters and I - 1 of items, as `components` has it: the chance of answers to items that were judged before,
p (1 - p) (1 / (n m) - I / (n m)^2), counts in those of items, since it is subtracted to estimate their part. More
raters do not help against the items' part: with few items small differences cannot be found at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from amt.statistics.rates import by_rater

ITEMS = 100
ITEMS_ICC = 0.05
"""Items that differ by 0.8 on the logit scale, half of it alike for two algorithms: .03 near 10 %, .05 near 40 %."""
_MOST = 100_000
_ROUNDING = 1e-9


def raters_needed(
    difference: float,
    rate: float = 0.2,
    trials: int = 40,
    icc: float = 0.05,
    power: float = 0.8,
    alpha: float = 0.05,
    items: int = ITEMS,
    items_icc: float = ITEMS_ICC,
) -> int:
    """Raters per algorithm, so that a difference between two algorithms is found with a given power.

    Args:
        difference: Between the two fooling rates, above 0, at most 1 (0.06 is six percentage points). Half of it to
            both sides of the rate stays within 0 and 1.
        rate: The fooling rate near which both lie, between 0 and 1.
        trials: Scored trials per rater, each of another item.
        icc: Intra-class correlation of raters, 0 to 1.
        power: Probability of finding the difference, between 0 and 1.
        alpha: Two-sided level of the test; divide it by the number of pairs for a study of many.
        items: How many items are shown, at least 2 and the trials.
        items_icc: Intra-class correlation of items, of what the two algorithms do not share, 0 to 1.

    Raises:
        ValueError: An argument is outside its range, or no number of raters up to 100,000 is enough.
    """
    if not 0 < difference <= 1:
        raise ValueError(f"difference is {difference}; expected above 0, at most 1")
    found = _detectable(np.arange(2, _MOST + 1), rate, trials, icc, power, alpha, items, items_icc)
    if difference > _most(rate) + _ROUNDING:
        end = "below 0" if rate < 0.5 else "above 100"
        raise ValueError(
            f"two rates near {_percent(rate)} % do not differ by {_percent(difference)} percentage points, as one "
            f"would be {end} %; expected at most {_percent(_most(rate))}, or a rate nearer to 50 %"
        )
    enough = np.flatnonzero(found <= difference + _ROUNDING)
    if enough.size:
        return 2 + int(enough[0])
    raise ValueError(
        f"no {_MOST:,} raters per algorithm find a difference of {_percent(difference)} percentage points on {items} "
        f"items; expected at least {100 * found.min():.1f} points, or more items"
    )


def smallest_difference(
    raters: int,
    rate: float = 0.2,
    trials: int = 40,
    icc: float = 0.05,
    power: float = 0.8,
    alpha: float = 0.05,
    items: int = ITEMS,
    items_icc: float = ITEMS_ICC,
) -> float:
    """The difference between two fooling rates that so many raters per algorithm find with a given power.

    Arguments are those of `raters_needed`.

    Raises:
        ValueError: An argument is outside its range, or no difference that two rates near this one can have is found.
    """
    if raters < 2:
        raise ValueError(f"raters is {raters}; expected at least 2")
    found = float(_detectable(np.array([raters]), rate, trials, icc, power, alpha, items, items_icc)[0])
    if found > _most(rate) + _ROUNDING:
        raise ValueError(
            f"{raters} raters per algorithm find no difference that two rates near {_percent(rate)} % can have, which "
            f"is at most {_percent(_most(rate))} percentage points; expected more raters, more items, or a rate nearer "
            "to 50 %"
        )
    return found


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


def _detectable(
    raters: NDArray[np.integer],
    rate: float,
    trials: int,
    icc: float,
    power: float,
    alpha: float,
    items: int,
    items_icc: float,
) -> NDArray[np.float64]:
    for name, value in (("rate", rate), ("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; expected between 0 and 1")
    if trials < 1 or not 0 <= icc <= 1:
        raise ValueError(f"trials is {trials} and icc {icc}; expected at least 1 trial, and an icc from 0 to 1")
    if items < 2 or not 0 <= items_icc <= 1:
        raise ValueError(f"items is {items} and items_icc {items_icc}; expected at least 2 items, and 0 to 1")
    if trials > items:
        raise ValueError(
            f"trials is {trials} and items {items}; expected at least {trials} items, as no rater sees one twice"
        )
    answers = raters * float(trials)
    of_raters = (1 + (trials - 1) * icc) / answers
    of_items = items_icc * np.maximum(0, 1 / items - 1 / answers)
    chance = np.maximum(0, 1 - items / answers) / answers
    shares = of_raters**2 / (2 * (raters - 1)) + (of_items + chance) ** 2 / (items - 1)
    fewest = np.minimum(2 * (raters - 1), items - 1)
    freedom = np.maximum(fewest, (of_raters + of_items) ** 2 / shares)
    quantiles = stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power)
    return np.asarray(quantiles * np.sqrt(2 * rate * (1 - rate) * (of_raters + of_items)))


def _most(rate: float) -> float:
    """The largest difference of two rates in whose middle this one is."""
    return 2 * min(rate, 1 - rate)


def _percent(share: float) -> str:
    return f"{100 * share:g}"
