"""Sharpness: the energy of an output's Laplacian over that of its target's. Blur has little, noise has much."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import laplace

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range
from p2pbench.metrics.luminance import luminance

# A flat target has no energy to divide by. Rounding to whole grey levels has a variance of 1/12, and the Laplacian's
# weights (4 and four times 1) squared sum to 20: this much energy says nothing about a picture of 8 bits.
ROUNDING = 20 / 12


def energy(picture: Picture, ends: Range | None = None) -> float:
    """The mean square of the Laplacian of the luminance 0..255, and `ROUNDING`; finite and above 0 for any picture.

    The Laplacian has four neighbours; pixels beyond the border repeat those on it, so a flat picture has none.
    `ends` is the range of values that pictures use, None all of their depth.
    """
    return float(np.square(laplace(luminance(picture, ends), mode="reflect")).mean() + ROUNDING)
