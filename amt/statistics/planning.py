"""Sample size and power of comparisons between two fooling rates.

The rate of n raters with m trials each on I items, near p, has the variance (Donner and Klar, Design and Analysis of
Cluster Randomization Trials, chapter 5, with a component for items)

    p (1 - p) * ((1 + (m - 1) ICC) / (n m) + ICC_items (1 / I - 1 / (n m)))

ICC is the share of an answer's variance between raters. ICC_items is the share between items that two algorithms do not
have in common: an item may be hard for one and easy for the other. What is hard for both cancels in their difference.
Two algorithms with n raters each differ detectably by (t of 1 - alpha/2 + t of the power) times the root of twice that
variance: Student's t with Satterthwaite's degrees of freedom from 2 (n - 1) of raters and I - 1 of items, as in
`components`. There the chance variance of repeated answers to an item, p (1 - p) (1 / (n m) - I / (n m)^2), counts
with the items', since it is subtracted to estimate their component. More raters do not reduce the items' component:
with few items, small differences cannot be detected at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ITEMS = 100
ITEMS_ICC = 0.05
"""Items with a deviation of 0.8 logits, half of it common to two algorithms: .03 near 10 %, .05 near 40 %."""
_MOST = 100_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Assumptions:
    """Assumptions of a power analysis.

    Attributes:
        rate: Fooling rate near which both algorithms lie, between 0 and 1.
        trials: Scored trials per rater, each of another item.
        icc: Intra-class correlation of raters, 0 to 1.
        power: Probability of detecting the difference, between 0 and 1.
        alpha: Two-sided level of the test; divide it by the number of pairs for a study of many.
        items: Number of items shown, at least 2 and the trials.
        items_icc: Intra-class correlation of items that the two algorithms do not share, 0 to 1.

    Raises:
        ValueError: A value is outside its range.
    """

    rate: float = 0.2
    trials: int = 40
    icc: float = 0.05
    power: float = 0.8
    alpha: float = 0.05
    items: int = ITEMS
    items_icc: float = ITEMS_ICC

    def __post_init__(self) -> None:
        for name in ("rate", "power", "alpha"):
            if not 0 < (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}; expected between 0 and 1")
        trials, items = self.trials, self.items
        if trials < 1 or not 0 <= self.icc <= 1:
            raise ValueError(f"trials is {trials} and icc {self.icc}; expected at least 1 trial, and icc from 0 to 1")
        if items < 2 or not 0 <= self.items_icc <= 1:
            raise ValueError(f"items is {items} and items_icc {self.items_icc}; expected at least 2 items, and 0 to 1")
        if trials > items:
            raise ValueError(
                f"trials is {trials} and items {items}; expected at least {trials} items, as no rater sees one twice"
            )

    @property
    def largest_difference(self) -> float:
        """Largest difference of two rates with this mean."""
        return 2 * min(self.rate, 1 - self.rate)

    def detectable(self, raters: NDArray[np.integer]) -> NDArray[np.float64]:
        """Detectable differences by numbers of raters per algorithm."""
        from scipy.special import stdtrit  # the plan's help text needs no scipy

        answers = raters * float(self.trials)
        of_raters = (1 + (self.trials - 1) * self.icc) / answers
        of_items = self.items_icc * np.maximum(0, 1 / self.items - 1 / answers)
        # See the module's docstring: this variance is subtracted in the estimate, and its own error costs degrees of
        # freedom.
        chance = np.maximum(0, 1 - self.items / answers) / answers
        shares = of_raters**2 / (2 * (raters - 1)) + (of_items + chance) ** 2 / (self.items - 1)
        # At least the fewest of the two, as in `components.summed`.
        fewest = np.minimum(2 * (raters - 1), self.items - 1)
        freedom = np.maximum(fewest, (of_raters + of_items) ** 2 / shares)
        # The usual approximation by two central t quantiles, in place of the noncentral t.
        quantiles = stdtrit(freedom, 1 - self.alpha / 2) + stdtrit(freedom, self.power)
        return np.asarray(quantiles * np.sqrt(2 * self.rate * (1 - self.rate) * (of_raters + of_items)))


def raters_needed(difference: float, assumptions: Assumptions = Assumptions()) -> int:
    """Raters per algorithm that detect a difference with the given power.

    Args:
        difference: Between the two fooling rates, above 0, at most 1 (0.06 is six percentage points). The rates lie
            half of it below and above the assumed one, within 0 and 1.
        assumptions: Rate, trials, correlations, power and level.

    Raises:
        ValueError: The difference is outside its range, or no number of raters up to 100,000 is enough.
    """
    if not 0 < difference <= 1:
        raise ValueError(f"difference is {difference}; expected above 0, at most 1")
    rate, largest = assumptions.rate, assumptions.largest_difference
    if difference > largest + _ROUNDING:
        end = "below 0" if rate < 0.5 else "above 100"
        raise ValueError(
            f"two rates near {_percent(rate)} % do not differ by {_percent(difference)} percentage points, as one "
            f"would be {end} %; expected at most {_percent(largest)}, or a rate nearer to 50 %"
        )
    # All numbers at once: the detectable difference falls with raters, so the first that suffices is the answer.
    detectable = assumptions.detectable(np.arange(2, _MOST + 1))
    enough = np.flatnonzero(detectable <= difference + _ROUNDING)
    if enough.size:
        return 2 + int(enough[0])
    raise ValueError(
        f"no {_MOST:,} raters per algorithm detect a difference of {_percent(difference)} percentage points on "
        f"{assumptions.items} items; expected at least {100 * detectable.min():.1f} points, or more items"
    )


def smallest_difference(raters: int, assumptions: Assumptions = Assumptions()) -> float:
    """Smallest difference that some number of raters per algorithm detects.

    Args:
        raters: Per algorithm, at least 2.
        assumptions: Rate, trials, correlations, power and level.

    Raises:
        ValueError: There are too few raters to detect any difference that two rates near the assumed one can have.
    """
    if raters < 2:
        raise ValueError(f"raters is {raters}; expected at least 2")
    smallest = float(assumptions.detectable(np.array([raters]))[0])
    rate, largest = assumptions.rate, assumptions.largest_difference
    if smallest > largest + _ROUNDING:
        raise ValueError(
            f"{raters} raters per algorithm detect no difference that two rates near {_percent(rate)} % can have, "
            f"which is at most {_percent(largest)} percentage points; expected more raters, more items, or a rate "
            "nearer to 50 %"
        )
    return smallest


def _percent(share: float) -> str:
    return f"{100 * share:g}"
