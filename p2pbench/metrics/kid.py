"""KID: the squared maximum mean discrepancy of features under a cubic kernel, without bias for few items.

Binkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs, ICLR 2018. They have independent samples; here output i is
made for target i, so that a kernel of the two is no likeness of two independent pictures. The pairs i = j are left out
of the cross term too: equation 4 of Gretton et al., A kernel two-sample test, JMLR 13 (2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def kid(outputs: Features, real: Features) -> float:
    """The unbiased estimate from features (n, d) of n outputs and their targets, row by row.

    0 where each output equals its target; around 0, below it too, for other pictures from the same source.
    """
    n = len(outputs)
    return float(_discrepancies(outputs, real).sum() / (n * (n - 1)))


def influence(outputs: Features, real: Features) -> NDArray[np.float64]:
    """How far each item moves the estimate (n,), to first order; they sum to 0."""
    rows = _discrepancies(outputs, real).sum(axis=1) / (len(outputs) - 1)
    return np.asarray(2 * (rows - rows.mean()))


def variance(outputs: Features, real: Features) -> float:
    """The variance of the estimate over samples of so many items, each an output with its own target, at least 0.

    That of a U-statistic of pairs (Hoeffding, A class of statistics with asymptotically normal distribution, Annals of
    Mathematical Statistics 19, 1948), each of its expectations estimated without bias, as by Sutherland, Unbiased
    estimators for the variance of MMD estimators (2019). Needs four items.
    """
    pairs = _discrepancies(outputs, real)
    n = len(pairs)
    squares, sums = np.square(pairs), pairs.sum(axis=1)
    chains = float((np.square(sums) - squares.sum(axis=1)).sum())  # over pairs that share one item
    alone = float(sums.sum()) ** 2 - 4 * chains - 2 * float(squares.sum())  # over pairs that share none
    square = squares.sum() / (n * (n - 1))
    shared = chains / (n * (n - 1) * (n - 2))
    apart = alone / (n * (n - 1) * (n - 2) * (n - 3))
    return max(0.0, float(4 * (n - 2) * (shared - apart) + 2 * (square - apart)) / (n * (n - 1)))


def _discrepancies(outputs: Features, real: Features) -> NDArray[np.float64]:
    """What each pair of different items adds (n, n); 0 on the diagonal."""
    found = _kernel(outputs, outputs) + _kernel(real, real) - 2 * _kernel(outputs, real)
    np.fill_diagonal(found, 0.0)
    return np.asarray((found + found.T) / 2)


def _kernel(one: Features, other: Features) -> NDArray[np.float64]:
    # A product of one array with itself is computed otherwise, to other last digits: of copies all are alike.
    product: NDArray[np.float64] = one.astype(np.float64) @ other.astype(np.float64).T
    return np.asarray((product / one.shape[1] + 1) ** 3)
