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
    return float(replicates(outputs, real, np.ones((1, len(outputs))))[0])


def replicates(outputs: Features, real: Features, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The estimate in each draw of the items, weights (replicates, n); both sides draw the same.

    An item that comes twice in a draw is paired neither with itself nor with its own target.
    """
    pairs = np.square(weights.sum(axis=1).astype(np.float64)) - np.square(weights).sum(axis=1)
    within = _sum(outputs, outputs, weights) + _sum(real, real, weights)
    return np.asarray((within - 2 * _sum(outputs, real, weights)) / pairs)


def _sum(one: Features, other: Features, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The sum (replicates,) of the kernel over all pairs of different items in each draw."""
    product: NDArray[np.float64] = one.astype(np.float64) @ other.astype(np.float64).T
    kernel = (product / one.shape[1] + 1) ** 3
    np.fill_diagonal(kernel, 0.0)
    total: NDArray[np.float64] = np.einsum("rn,rn->r", weights @ kernel, weights)
    return total
