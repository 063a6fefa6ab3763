"""Do people and an automatic score agree on which items are good?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amt.errors import AmtError
from amt.statistics.bootstrap import REPLICATES, Estimate, estimate, generator

_BLOCK = 1_000_000


class Agreement(NamedTuple):
    """Spearman's rank correlation (-1 to 1) over the items that have both, with its bootstrap interval over items."""

    rho: Estimate
    items: int


def agreement(
    item_rates: Mapping[str, float], scores: Mapping[str, float], replicates: int = REPLICATES, seed: int = 0
) -> Agreement:
    """Rank correlation of fooling rates and a score, by item.

    Args:
        item_rates: Fooling rate by item.
        scores: An automatic score by item, such as L1; items without a rate are left out, and the other way round.
        replicates: How many draws of items, with replacement; those with all rates or all scores equal are left out.
        seed: Of the draws.

    Raises:
        AmtError: Fewer than three items have both, or one of the two is the same for all of them.
    """
    shared = sorted(item for item in item_rates.keys() & scores.keys())
    if len(shared) < 3:
        raise AmtError(
            f"{len(shared)} items have both a fooling rate and a score; expected at least 3: are the item ids the same "
            f"(rates: {_some(item_rates)}; scores: {_some(scores)})?"
        )
    both = np.array([[item_rates[item], scores[item]] for item in shared], float).T
    if not np.isfinite(both).all() or (both.min(axis=1) == both.max(axis=1)).any():
        raise AmtError(
            f"fooling rates or scores of {len(shared)} items are all equal or not finite; expected different numbers"
        )
    random = generator(seed, "agreement")
    rho = np.empty(replicates)
    rows = max(1, _BLOCK // len(shared))
    for start in range(0, replicates, rows):
        block = rho[start : start + rows]
        drawn = random.integers(len(shared), size=(len(block), len(shared)))
        block[:] = _spearman(both[0][drawn], both[1][drawn])
    value = float(_spearman(both[:1], both[1:])[0])
    return Agreement(estimate(value, rho), len(shared))


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rho of each row; NaN where a row is constant."""
    ranks = [pd.DataFrame(values).rank(axis=1).to_numpy() for values in (a, b)]
    x, y = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    rho: NDArray[np.float64] = np.divide((x * y).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)
    return rho


def _some(values: Mapping[str, float]) -> str:
    names = sorted(values)[:3]
    return ", ".join(names) + (", ..." if len(values) > 3 else "") if names else "none"
