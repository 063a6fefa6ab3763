"""The camera of a street scene: where points, walls and the ground appear in its picture.

World axes: x to the right of the road's middle, y up from the ground, z ahead of the camera, in metres. Pictures are
square and measured in unit coordinates: u to the right and v down, each from 0 to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating]


class Camera(NamedTuple):
    """A pinhole camera x metres right of the road's middle, `height` above it, looking along the street.

    The street vanishes at (u, v), focal is in picture widths, and the street bends by bend * z**2 metres to the right.
    """

    x: float
    height: float
    focal: float
    u: float
    v: float
    bend: float

    def project(self, points: Reals) -> Reals:
        """Unit coordinates (..., 2) of points (..., 3); those behind the camera end far outside of the picture."""
        z = np.maximum(points[..., 2], 0.5)
        u = self.u + self.focal * ((points[..., 0] - self.x) / z + self.bend * z)
        v = self.v + self.focal * (self.height - points[..., 1]) / z
        return np.stack([u, v], axis=-1)

    def slope(self, u: Reals) -> Reals:
        """Metres to the right a metre ahead, of the rays of columns u."""
        return (u - self.u) / self.focal

    def drop(self, v: Reals) -> Reals:
        """Metres down a metre ahead, of the rays of rows v."""
        return (v - self.v) / self.focal

    def place(self, u: Reals, z: Reals) -> Reals:
        """The x at which the rays of columns u are at distance z."""
        return (self.slope(u) - self.bend * z) * z + self.x

    def wall_distance(self, u: Reals, x: float) -> Reals:
        """How far ahead a wall along the street at x is met by columns u; infinite where it is not.

        By `place`, z solves bend * z**2 - slope * z + (x - camera x) = 0; this is its smaller positive root.
        """
        slope, offset = self.slope(u), x - self.x
        side = np.sign(offset)
        squared = slope**2 - 4 * self.bend * offset
        below = slope + side * np.sqrt(np.maximum(squared, 0.0))
        met = (below * side > 1e-6) & (squared >= 0)
        return np.where(met, 2 * offset / np.where(met, below, 1.0), np.inf)
