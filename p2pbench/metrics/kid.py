"""KID: the squared maximum mean discrepancy of features under a cubic kernel, without bias for few items.

Binkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs, ICLR 2018.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def kid(outputs: Features, real: Features) -> float:
    """The unbiased estimate from all pairs of features (n, d) of both sides; a little below 0 for equal sources."""
    return float(replicates(outputs, real, np.ones((1, len(outputs))))[0])


def replicates(outputs: Features, real: Features, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The estimate in each draw of the items, weights (replicates, n); both sides draw the same.

    An item that comes twice in a draw is not paired with itself: its kernel would pose as a likeness of two items.
    """
    n = weights.sum(axis=1).astype(np.float64)
    pairs = n**2 - np.square(weights).sum(axis=1)
    within = _sum(_kernel(outputs, outputs), weights, same=False) + _sum(_kernel(real, real), weights, same=False)
    across = _sum(_kernel(outputs, real), weights, same=True)
    return np.asarray(within / pairs - 2 * across / n**2)


def _sum(kernel: NDArray[np.float64], weights: NDArray[np.floating], *, same: bool) -> NDArray[np.float64]:
    """The sum (replicates,) of a kernel (n, n) over all pairs drawn, those of an item with itself only if asked for."""
    if not same:
        np.fill_diagonal(kernel, 0.0)
    total: NDArray[np.float64] = np.einsum("rn,rn->r", weights @ kernel, weights)
    return total


def _kernel(one: Features, other: Features) -> NDArray[np.float64]:
    product: NDArray[np.float64] = one.astype(np.float64) @ other.astype(np.float64).T
    return np.asarray((product / one.shape[1] + 1) ** 3)
