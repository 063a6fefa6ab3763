"""FID: the Frechet distance of two Gaussians, fitted to the features of outputs and of real pictures.

Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def fid(outputs: Features, real: Features) -> float:
    """The distance |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of features (n, d) and (m, d), at least two rows each.

    With A and B the centred features over the root of n - 1, so that C1 = A'A, the trace of the root is the sum of
    the singular values of A B': no root of a matrix, and no trouble where items are fewer than features.
    """
    return _distance(*map(_gaussian, (outputs, real)))


def influence(outputs: Features, real: Features) -> NDArray[np.float64]:
    """How far each item moves the distance (n,): its derivative by the item's weight, times n; they sum to 0.

    An item is an output with its own target, row by row. The derivative of a sum of singular values by a matrix is UV'
    of its decomposition USV', so that one decomposition is enough for all items.
    """
    n = len(outputs)
    sides = [side.astype(np.float64) - side.mean(axis=0, dtype=np.float64) for side in (outputs, real)]
    moved = outputs.mean(axis=0, dtype=np.float64) - real.mean(axis=0, dtype=np.float64)
    (basis, root), (other_basis, other_root) = (np.linalg.qr(side / np.sqrt(n - 1)) for side in sides)
    left, values, right = np.linalg.svd(root @ other_root.T)
    overlap = np.square(basis @ left) @ values + np.square(other_basis @ right.T) @ values
    spread = (np.square(sides[0]).sum(axis=1) + np.square(sides[1]).sum(axis=1)) / (n - 1)
    change = 2 * (sides[0] - sides[1]) @ moved + n * (spread - overlap)
    return np.asarray(change - change.mean())


def variance(outputs: Features, real: Features, halves: NDArray[np.bool_]) -> float:
    """The variance of the distance over samples of so many items, each an output with its own target.

    To first order it is that of the influences. What is of second order they count twice, and halves of the items
    thrice; so twice the one less the other is left with it once.

    Args:
        outputs: Features (n, d).
        real: Features (n, d) of the same items.
        halves: Random halves of the items (halves, n).
    """
    change = influence(outputs, real)
    first = float(np.square(change).sum()) / (len(change) * (len(change) - 1))
    of_halves = float(np.var([fid(outputs[half], real[half]) for half in halves], ddof=1))
    return max(2 * first - of_halves, first / 2)


def _gaussian(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,) and a root R (at most d rows, d) of the covariance R'R of features."""
    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    root = (values - centre) / np.sqrt(len(values) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return centre, root


def _distance(
    one: tuple[NDArray[np.float64], NDArray[np.float64]], other: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    (centre, root), (other_centre, other_root) = one, other
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    spread = np.square(root).sum() + np.square(other_root).sum()
    return float(np.square(centre - other_centre).sum() + spread - 2 * overlap)
