"""Bootstrap intervals: over items for one run, over seeds and items for a cell, paired over items for a difference.

Every score carries its replicates: the value it would have had on other draws of the same test items. Two runs scored
on the same items share the draws, so subtracting their replicates gives the paired difference of the two.
Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REPLICATES = 10_000
_BLOCK = 1_000_000  # draws in memory at a time


class Interval(NamedTuple):
    """The two ends of a 95 % interval, in the metric's unit; both NaN where there is none, as of a single item."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    def text(self, digits: int) -> str:
        """Both ends for a terminal, such as "0.612, 0.655"; "-" where there is none."""
        return f"{self.low:.{digits}f}, {self.high:.{digits}f}" if self.known else "-"


NO_INTERVAL = Interval(math.nan, math.nan)


def item_weights(item_ids: Sequence[str], replicates: int = REPLICATES) -> NDArray[np.float32]:
    """How often each item is drawn in each bootstrap replicate.

    The draws depend on the set of ids alone: an item gets the same counts whatever the order of `item_ids`.

    Args:
        item_ids: The n ids of the scored items, each once.
        replicates: Number of bootstrap replicates, at least 1.

    Returns:
        Counts (replicates, n) in the order of `item_ids`, each row a multinomial draw that sums to n. The replicates
        of a mean over items are `weights @ values / n`.

    Raises:
        ValueError: There is no item, or an id comes twice, or no replicate is asked for.
    """
    n = len(item_ids)
    if n == 0 or len(set(item_ids)) != n:
        raise ValueError(f"expected at least one item and every id once, found {n} ids, {len(set(item_ids))} distinct")
    if replicates < 1:
        raise ValueError(f"expected at least one replicate, found {replicates}")
    in_order = sorted(item_ids)
    draws = _Draws(json.dumps(in_order).encode())
    weights = np.empty((replicates, n), np.float32)
    rows = max(1, _BLOCK // n)
    for start in range(0, replicates, rows):
        block = weights[start : start + rows]
        block[:] = _counts(draws.below(n, block.shape))
    if in_order == list(item_ids):
        return weights
    column = {item: index for index, item in enumerate(in_order)}
    return weights[:, [column[item] for item in item_ids]]


def interval(replicates: NDArray[np.floating]) -> Interval:
    """The 2.5 and 97.5 percentiles of a vector of replicates; no interval where all of them are NaN.

    The ends have seven digits, as many as replicates, which are kept in float32: 0.35, not 0.3499999940395355.

    Raises:
        ValueError: There is no replicate, or one is not finite.
    """
    if replicates.size and np.isnan(replicates).all():
        return NO_INTERVAL
    if replicates.size == 0 or not np.isfinite(replicates).all():
        raise ValueError(f"expected finite replicates, found {replicates.size}, not all finite or none")
    low, high = np.percentile(replicates.astype(np.float64), [2.5, 97.5])
    return Interval(float(f"{low:.7g}"), float(f"{high:.7g}"))


def over_seeds(runs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Replicates of a cell's mean over its seeds, from the replicates of its runs.

    Each replicate draws as many seeds as there are, with replacement, and averages their values at that same
    replicate, so the items stay shared with other cells while the seeds vary. The draws of seeds depend on the values,
    so cells draw theirs independently: nothing pairs seed 0 of one cell with seed 0 of another. With two or three
    seeds the interval is too narrow, as any bootstrap of so few is.

    Args:
        runs: Replicates (seeds, replicates), one row a seed, all made from the same item weights.

    Returns:
        Replicates (replicates,); with one seed, that row itself; NaN where one of the runs has no interval.

    Raises:
        ValueError: The array is not two-dimensional or has no seed.
    """
    if runs.ndim != 2 or len(runs) == 0:
        raise ValueError(f"expected replicates (seeds, replicates), found shape {runs.shape}")
    values = np.ascontiguousarray(runs, dtype=np.float64)
    seeds, replicates = values.shape
    if seeds == 1:
        return np.asarray(values[0])
    if np.isnan(values).any():
        return np.full(replicates, np.nan)
    drawn = _Draws(values.tobytes()).below(seeds, (replicates, seeds))
    return np.asarray(values[drawn, np.arange(replicates)[:, None]].mean(axis=1))


def tie(a: NDArray[np.floating], b: NDArray[np.floating]) -> bool:
    """Whether the 95 % interval of the paired difference of two replicate vectors holds zero.

    Raises:
        ValueError: The vectors differ in length, are empty or not finite, or belong to numbers without an interval.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected replicates of the same draws, found shapes {a.shape} and {b.shape}")
    difference = interval(a.astype(np.float64) - b.astype(np.float64))
    if not difference.known:
        raise ValueError("expected replicates of two numbers with intervals, found NaN")
    return difference.low <= 0 <= difference.high


class _Draws:
    """Random integers that stay the same in every version of numpy, as only its raw bits are promised to."""

    def __init__(self, key: bytes) -> None:
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(key).digest(), "big"))

    def below(self, n: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Integers 0 .. n-1, uniform to within n / 2**32."""
        raw: NDArray[np.uint64] = self._bits.random_raw(shape)
        return (((raw >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)).astype(np.intp)


def _counts(drawn: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each of 0 .. n-1 comes in each row of `drawn` (rows, n)."""
    rows, n = drawn.shape
    flat = drawn + np.arange(rows)[:, None] * n
    return np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n)
