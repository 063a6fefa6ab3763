"""FID and KID from Inception features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def fid(outputs: Features, real: Features) -> float:
    """Frechet distance (FID) of features (n, d) and (m, d).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), with means m and covariances C of at least two rows each. With A and B
    the centred features over the root of n - 1, so that C1 = A'A, the trace of the root is the sum of the singular
    values of A B': no matrix root is needed, and fewer items than features are no problem.
    """
    return _distance(*map(_gaussian, (outputs, real)))


def fid_influence(outputs: Features, real: Features) -> NDArray[np.float64]:
    """Influence (n,) of each item on the FID.

    Its derivative by the item's weight, times n; they sum to 0.

    An item is an output with its own target, row by row. The derivative of a sum of singular values by a matrix is UV'
    of its decomposition USV', so that one decomposition is enough for all items.
    """
    n = len(outputs)
    sides = [side.astype(np.float64) - side.mean(axis=0, dtype=np.float64) for side in (outputs, real)]
    moved = outputs.mean(axis=0, dtype=np.float64) - real.mean(axis=0, dtype=np.float64)
    # Orthonormal bases of the items: the decomposition is of a small matrix, and `basis @ left` brings it back to
    # items.
    (basis, root), (other_basis, other_root) = (np.linalg.qr(side / np.sqrt(n - 1)) for side in sides)
    left, values, right = np.linalg.svd(root @ other_root.T)
    overlap = np.square(basis @ left) @ values + np.square(other_basis @ right.T) @ values
    spread = (np.square(sides[0]).sum(axis=1) + np.square(sides[1]).sum(axis=1)) / (n - 1)
    change = 2 * (sides[0] - sides[1]) @ moved + n * (spread - overlap)
    return np.asarray(change - change.mean())


def fid_variance(outputs: Features, real: Features, halves: NDArray[np.bool_]) -> float:
    """Variance of the FID over samples of n items.

    Each is an output with its own target.

    To first order it is that of the influences. The second-order term is counted twice by them, and three times by
    halves of the items; so twice the former minus the latter counts it once.

    Args:
        outputs: Features (n, d).
        real: Features (n, d) of the same items.
        halves: Random halves of the items (halves, n).
    """
    change = fid_influence(outputs, real)
    first = float(np.square(change).sum()) / (len(change) * (len(change) - 1))
    of_halves = float(np.var([fid(outputs[half], real[half]) for half in halves], ddof=1))
    # The difference is an estimate and may be small or negative by chance; half the first-order variance is a floor.
    return max(2 * first - of_halves, first / 2)


def _gaussian(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and a root R (at most d rows, d) of the covariance R'R of features."""
    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    root = (values - centre) / np.sqrt(len(values) - 1)
    if len(root) > root.shape[1]:
        # R'R is the same covariance, and the later decomposition is at most d x d, however many items there are.
        root = np.linalg.qr(root, mode="r")
    return centre, root


def _distance(
    one: tuple[NDArray[np.float64], NDArray[np.float64]], other: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    (centre, root), (other_centre, other_root) = one, other
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    spread = np.square(root).sum() + np.square(other_root).sum()
    return float(np.square(centre - other_centre).sum() + spread - 2 * overlap)


def kid(outputs: Features, real: Features) -> float:
    """Unbiased KID of features (n, d) of outputs and targets.

    Outputs and their targets correspond row by row.

    0 where each output equals its target; around 0, also below, for other pictures from the same source.
    """
    n = len(outputs)
    return float(_discrepancies(outputs, real).sum() / (n * (n - 1)))


def kid_influence(outputs: Features, real: Features) -> NDArray[np.float64]:
    """Influence (n,) of each item on the KID, to first order.

    They sum to 0.
    """
    rows = _discrepancies(outputs, real).sum(axis=1) / (len(outputs) - 1)
    return np.asarray(2 * (rows - rows.mean()))


def kid_variance(outputs: Features, real: Features) -> float:
    """Variance of the KID over samples of n items.

    Each is an output with its own target; at least 0.

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
    """Contribution (n, n) of each pair of different items; 0 on the diagonal."""
    found = _kernel(outputs, outputs) + _kernel(real, real) - 2 * _kernel(outputs, real)
    np.fill_diagonal(found, 0.0)
    # k(output_i, real_j) and k(output_j, real_i) differ; the pair has the mean of both.
    return np.asarray((found + found.T) / 2)


def _kernel(one: Features, other: Features) -> NDArray[np.float64]:
    # Copies: BLAS multiplies an array with itself by another routine, with other last digits.
    product: NDArray[np.float64] = one.astype(np.float64) @ other.astype(np.float64).T
    return np.asarray((product / one.shape[1] + 1) ** 3)
