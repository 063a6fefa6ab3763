"""Gradient magnitude similarity deviation: how unevenly the edges of an output depart from those of its target.

Xue, Zhang, Mou, Bovik: Gradient Magnitude Similarity Deviation, IEEE Transactions on Image Processing 23(2), 2014.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range
from p2pbench.metrics.luminance import luminance

C = 170.0  # of the paper, for luminance 0..255; keeps flat pictures from dividing by zero


def gmsd(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """The standard deviation, over a picture's pixels, of how alike the two gradient magnitudes are; 0 for equal ones.

    Pictures (H, W, C) of any size are halved first by the mean of 2x2 pixels; beyond their borders lies black.
    `ends` is the range of values that they use, None all of their depth.
    """
    one, other = (_gradient_magnitude(_halve(luminance(picture, ends))) for picture in (output, target))
    return float(((2 * one * other + C) / (one**2 + other**2 + C)).std())


def _halve(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each 2x2 pixels; an odd side gets a black line, as in the authors' program."""
    even = np.pad(plane, [(0, side % 2) for side in plane.shape])
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _gradient_magnitude(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """By Prewitt's filters, each weight a third."""
    padded = np.pad(plane, 1)
    across, down = padded[:, 2:] - padded[:, :-2], padded[2:] - padded[:-2]
    horizontal = (across[:-2] + across[1:-1] + across[2:]) / 3
    vertical = (down[:, :-2] + down[:, 1:-1] + down[:, 2:]) / 3
    magnitude: NDArray[np.float64] = np.sqrt(horizontal**2 + vertical**2)
    return magnitude
