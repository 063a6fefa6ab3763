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
    return _distance(*(_gaussian(side, np.ones(len(side))) for side in (outputs, real)))


def replicates(outputs: Features, real: Features, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The distance in each draw of the items, weights (replicates, n); both sides draw the same. Not yet centred."""
    return np.array([_distance(_gaussian(outputs, row), _gaussian(real, row)) for row in weights])


def _gaussian(features: Features, counts: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,) and a root R (at most d rows, d) of the covariance R'R of features that come so many times."""
    drawn = counts > 0
    values, times = features[drawn].astype(np.float64), counts[drawn].astype(np.float64)
    centre = times @ values / times.sum()
    root = (values - centre) * np.sqrt(times / (times.sum() - 1))[:, None]
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
