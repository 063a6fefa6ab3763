"""Bootstrap draws of test items, or of clusters of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.store.names import counted

REPLICATES = 10_000
_BLOCK = 1_000_000  # draws in memory at a time
ENOUGH = 5
"""With fewer clusters, Student's t makes intervals too wide to be of use."""
FIELD = "clusters"
"""Field of a protocol that describes the clusters."""


class Interval(NamedTuple):
    """Ends of a 95 % interval; both NaN if there is none."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    def text(self, digits: int) -> str:
        """Text such as "0.612, 0.655"; "-" without an interval."""
        return f"{self.low:.{digits}f}, {self.high:.{digits}f}" if self.known else "-"


NO_INTERVAL = Interval(math.nan, math.nan)


class ClusterCounts(NamedTuple):
    """Clusters of the scored items.

    Attributes:
        by: Criterion of the clusters, such as "sequences".
        n: Number of clusters among the scored items.
        effective: Number of equal clusters with as much information, 1 to n.
    """

    by: str
    n: int
    effective: float

    @property
    def things(self) -> str:
        """Resampled units in words, such as "3 clusters of items (cities)"."""
        return f"{counted(self.n, 'cluster')} of items ({self.by})"

    @property
    def doubt(self) -> str:
        """Warning about few clusters, without a full stop; else empty."""
        if self.effective >= ENOUGH:
            return ""
        if self.n == 1:
            return f"1 cluster of items ({self.by}): no interval, as one cluster does not show how others would score"
        unequal = self.effective < self.n - 0.05  # as the number below is written
        worth = f", with as much information as {self.effective:.1f} equal ones" if unequal else ""
        return f"{self.things}{worth}: too few for meaningful intervals; use {ENOUGH} or more"


def item_weights(
    item_ids: Sequence[str], replicates: int = REPLICATES, clusters: Mapping[str, str] | None = None
) -> NDArray[np.float32]:
    """Count of each item in each bootstrap replicate.

    The draws depend on the set of ids, or of clusters, only: an item gets the same counts whatever the order of
    `item_ids`. Two runs scored on the same items thus share their draws, so that differences are paired.

    Args:
        item_ids: The n distinct ids of the scored items.
        replicates: Number of bootstrap replicates, at least 1.
        clusters: The cluster of each item by its id; clusters are drawn whole.

    Returns:
        Counts (replicates, n) in the order of `item_ids`, each row a multinomial draw of the items, which sums to n,
        or of the clusters. The replicates of a mean over items are `weights @ values / weights.sum(axis=1)`.

    Raises:
        ValueError: There is no item, an id occurs twice, or `replicates` is below 1.
    """
    n = len(item_ids)
    if n == 0 or len(set(item_ids)) != n:
        raise ValueError(f"expected at least one item and every id once, found {n} ids, {len(set(item_ids))} distinct")
    if replicates < 1:
        raise ValueError(f"expected at least one replicate, found {replicates}")
    if clusters is not None:
        names, columns = grouped(item_ids, clusters)
        # Items of a cluster get its count, so rows sum to the number of items only on average.
        return item_weights(names, replicates)[:, columns]
    in_order = sorted(item_ids)
    # Seeded by the ids themselves, not by a setting: scores of two commands, or of two years, are paired.
    draws = _Draws(json.dumps(in_order).encode())
    weights = np.empty((replicates, n), np.float32)
    rows = max(1, _BLOCK // n)  # blocks bound the memory of large sets
    for start in range(0, replicates, rows):
        block = weights[start : start + rows]
        block[:] = _counts(draws.below(n, block.shape))
    if in_order == list(item_ids):  # the usual case saves a copy of all weights
        return weights
    column = {item: index for index, item in enumerate(in_order)}
    return weights[:, [column[item] for item in item_ids]]


def grouped(item_ids: Sequence[str], clusters: Mapping[str, str]) -> tuple[list[str], NDArray[np.intp]]:
    """Sorted cluster names, and the index of each item's cluster (n,)."""
    of_items = [clusters[item] for item in item_ids]
    names = sorted(set(of_items))
    index = {name: i for i, name in enumerate(names)}
    return names, np.array([index[name] for name in of_items], np.intp)


def jackknife(left_out: NDArray[np.floating], value: float) -> float:
    """Jackknife estimate of a score's squared error; 0 where undefined.

    It is the jackknife's variance plus the square of its bias (Efron and Stein, The jackknife estimate of variance,
    Annals of Statistics 9, 1981; Quenouille, Notes on bias in estimation, Biometrika 43, 1956).

    Args:
        left_out: Scores with each item or cluster left out (n,); NaN where undefined.
        value: Score of all.
    """
    known = left_out[~np.isnan(left_out)]  # without its only item a class has no score
    if not len(known):
        return 0.0
    # Left-out scores differ from the score of all by about bias / (n - 1), which the factor undoes.
    bias = (len(known) - 1) * (known.mean() - value)
    return (len(known) - 1) * float(known.var()) + float(bias) ** 2


def interval(replicates: NDArray[np.floating]) -> Interval:
    """The 2.5 and 97.5 percentiles of replicates; none if all are NaN.

    The ends are rounded to the seven digits of float32, in which replicates are stored: 0.35, not 0.3499999940395355.

    Raises:
        ValueError: There is no replicate, or one is not finite.
    """
    if replicates.size and np.isnan(replicates).all():
        return NO_INTERVAL
    if replicates.size == 0 or not np.isfinite(replicates).all():
        raise ValueError(f"expected finite replicates, found {replicates.size}, not all finite or none")
    # Percentile method, of Efron (Bootstrap methods: another look at the jackknife, Annals of Statistics 7, 1979).
    low, high = np.percentile(replicates.astype(np.float64), [2.5, 97.5])
    return Interval(float(f"{low:.7g}"), float(f"{high:.7g}"))


def scaled(draws: NDArray[np.floating], value: float, variance: float, units: int) -> NDArray[np.float64]:
    """Shift replicates to a value and scale them to a known variance.

    As draws repeat items, replicates of distances between distributions, and of means over classes that few items have,
    are biased and spread too far or too little. Their correlation between scores of the same draws is still right.

    Args:
        draws: Bootstrap replicates (replicates,).
        value: Score of the items themselves.
        variance: Variance of the value over samples of as many units.
        units: Number of drawn items, or clusters; draws of n have (n - 1) / n of the variance of samples.
    """
    centred = np.asarray(draws - draws.mean(), np.float64)
    spread = float(centred.var())
    if not spread > 0:
        return np.full(len(draws), value)
    return value + centred * math.sqrt(variance * (units - 1) / units / spread)


def halves(item_ids: Sequence[str], count: int) -> NDArray[np.bool_]:
    """Random halves of the items (count, n), without replacement.

    They depend on the set of ids only.
    """
    in_order = sorted(item_ids)
    n = len(in_order)
    # A key of its own, so that halves are independent of the draws.
    random = _Draws(b"halves" + json.dumps(in_order).encode())
    column = {item: index for index, item in enumerate(in_order)}
    columns = np.array([column[item] for item in item_ids])
    # Ranks of random numbers are a random permutation per row; ties are too rare to matter.
    order = np.argsort(random.below(2**31, (count, n)), axis=1, kind="stable")
    return np.asarray((order < n // 2)[:, columns])


class _Draws:
    """Random integers that are stable across NumPy versions.

    NumPy guarantees its raw bits only.
    """

    def __init__(self, key: bytes) -> None:
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(key).digest(), "big"))

    def below(self, n: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Integers 0 .. n-1, uniform to within n / 2**32."""
        # The high half of each 64-bit number, times n, divided by 2**32: no rejection, so every draw takes one number.
        raw: NDArray[np.uint64] = self._bits.random_raw(shape)
        return (((raw >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)).astype(np.intp)


def _counts(drawn: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count of each of 0 .. n-1 per row of `drawn` (rows, n)."""
    # One bincount for all rows: each row gets n bins of its own, which is much faster than a loop.
    rows, n = drawn.shape
    flat = drawn + np.arange(rows)[:, None] * n
    return np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n)


def effective(sizes: Sequence[int]) -> float:
    """Effective number of clusters: that of equal ones with as much information."""
    return float(sum(sizes) ** 2 / sum(size**2 for size in sizes))  # Kish's effective sample size


def clusters_of(protocol: Mapping[str, object] | None) -> ClusterCounts | None:
    """Clusters by a protocol; None where items were drawn singly.

    Raises:
        ValueError: The field is malformed.
    """
    field = None if protocol is None else protocol.get(FIELD)
    if field is None:
        return None
    match field:
        case {"by": str(by), "n": int(n), "effective": int() | float() as worth} if 1 <= worth <= n:
            return ClusterCounts(by, n, float(worth))
    raise ValueError(
        f"found {FIELD} = {field!r} in the protocol, expected by (text), n (a count) and effective (1 to n)"
    )
