"""Rows of buildings, hedges and fences, intersected with picture columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from p2pbench.datasets.streets.things import BUILDING, FENCE, VEGETATION, Camera, Reals

NOTHING = 0
BUILDING_DEPTH = 11.0
# Pickets further away than this would be a line of one pixel.
FENCE_END = 26.0

Crossing = tuple[float, float] | None


class Wall(NamedTuple):
    """Row of stretches along the street, or across its end.

    Along it at x = `at`, or at its end across it at z = `at`.

    Stretch i goes from edges[i] to edges[i + 1] and has the label kinds[i] (NOTHING for a gap); it is eaves[i] metres
    tall, and roofs[i] metres more if its roof is pitched.
    """

    along: bool
    at: float
    edges: Reals
    kinds: NDArray[np.uint8]
    eaves: Reals
    roofs: Reals

    def height(self, z: Reals) -> Reals:
        """Heights of a wall along the street at distances z."""
        tall = (self.eaves + self.roofs)[self.stretch(z)]
        return np.where((z >= self.edges[0]) & (z < self.edges[-1]), tall, 0.0)

    def stretch(self, place: Reals) -> NDArray[np.intp]:
        """Index of the nearest stretch at positions along the wall."""
        return np.clip(np.searchsorted(self.edges, place, side="right") - 1, 0, len(self.kinds) - 1)


class Hit(NamedTuple):
    """Intersection of a picture's N columns with a wall.

    Each is of shape (N,), in metres.

    Whether a column meets the wall, the distance ahead, the stretch, the place along it, and its height there.
    """

    met: NDArray[np.bool_]
    z: Reals
    which: NDArray[np.intp]
    along: Reals
    top: Reals


def hit_fronts(wall: Wall, camera: Camera, u: Reals) -> Hit:
    """The sides that a wall turns to the street."""
    if not wall.along:
        z = np.full(len(u), wall.at)
        return _hit(wall, z < np.inf, z, camera.place(u, z))
    z = camera.wall_distance(u, wall.at)
    met = (z < wall.edges[-1]) & (z > wall.edges[0])
    z = np.where(met, z, 1.0)
    return _hit(wall, met, z, z)


def hit_ends(wall: Wall, camera: Camera, u: Reals) -> Hit:
    """Visible ends of buildings beyond a gap or lower neighbour."""
    front = hit_fronts(wall, camera, u)
    # A building's end stands at the edge between the stretch that the column meets and the next one.
    following = np.minimum(front.which + 1, len(wall.kinds) - 1)
    z = np.maximum(wall.edges[following], 1.0)
    along = np.abs(camera.place(u, z)) - abs(wall.at)
    met = front.met & (following > front.which) & (wall.kinds[following] == BUILDING)
    met &= (along > 0) & (along < BUILDING_DEPTH)
    return Hit(met, z, following, along, _top(wall, following, along, np.full(len(u), BUILDING_DEPTH)))


def _hit(wall: Wall, met: NDArray[np.bool_], z: Reals, place: Reals) -> Hit:
    which = wall.stretch(place)
    along = place - wall.edges[which]
    top = _top(wall, which, along, np.diff(wall.edges)[which])
    return Hit(met & (wall.kinds[which] != NOTHING), z, which, along, top)


def _top(wall: Wall, which: NDArray[np.intp], along: Reals, length: Reals) -> Reals:
    """Heights along a stretch: roofs slope at both ends, woods are uneven."""
    eaves, roof = wall.eaves[which], wall.roofs[which]
    hip = np.minimum(roof, 1.6 * np.minimum(along, length - along) + 0.1) * (roof > 0)
    wave = 0.1 * np.sin(1.7 * along) + 0.07 * np.sin(4.3 * along + which) - 0.12
    top: Reals = (eaves + hip) * (1 + wave * (wall.kinds[which] == VEGETATION))
    return top


def draw_row(rng: Generator, style: str, x: float, crossing: Crossing, end: float) -> Wall:
    """Draw stretches along the street to z = end.

    From behind the camera on, none of them on the crossing road.
    """
    z, gap = rng.uniform(-8, 1), bool(rng.random() < 0.5)
    edges, stretches = [z], []
    while z < end:
        kind, length, eaves, roof = _draw_stretch(rng, style, gap)
        stop = z + length
        # The stretch is cut where the crossing road begins, and the width of that road stays empty.
        if crossing and z < crossing[0] < stop:
            stop = crossing[0]
        elif crossing and crossing[0] <= z < crossing[1]:
            kind, stop = NOTHING, crossing[1]
        elif kind == FENCE and z > FENCE_END:
            kind = NOTHING
        z, gap = min(stop, end), kind == NOTHING
        edges.append(z)
        stretches.append((kind, eaves, roof))
    return _wall(True, x, edges, stretches)


def draw_across(rng: Generator, z: float) -> Wall:
    """Buildings that face the camera at the end of the street."""
    edges, stretches = [-70.0], []
    while edges[-1] < 70:
        kind, length, eaves, roof = _draw_stretch(rng, "city", True)
        edges.append(edges[-1] + length)
        stretches.append((kind, eaves, roof))
    return _wall(False, z, edges, stretches)


def _wall(along: bool, at: float, edges: list[float], stretches: list[tuple[int, float, float]]) -> Wall:
    kinds, eaves, roofs = zip(*stretches, strict=True)
    return Wall(along, at, np.array(edges), np.array(kinds, np.uint8), np.array(eaves), np.array(roofs))


def _draw_stretch(rng: Generator, style: str, after_gap: bool) -> tuple[int, float, float, float]:
    """One stretch of a wall: label, length, height of the eaves, height of the roof above them."""
    chance = rng.random()
    # Never two gaps in a row: they would be one, longer than a style has.
    if style == "city":
        if chance < 0.1 and not after_gap:
            return NOTHING, rng.uniform(2, 5), 0.0, 0.0
        return BUILDING, rng.uniform(7, 16), rng.uniform(6.5, 21), rng.uniform(1.5, 3) * (rng.random() < 0.35)
    if style == "suburb":
        if not after_gap:
            return NOTHING, rng.uniform(2.5, 7), 0.0, 0.0
        return BUILDING, rng.uniform(7, 13), rng.uniform(3, 6), rng.uniform(1.8, 3.4)
    if style == "park":
        if chance < 0.6 and not after_gap:
            return NOTHING, rng.uniform(4, 14), 0.0, 0.0
        if chance < 0.75:
            return VEGETATION, rng.uniform(6, 18), rng.uniform(2, 7), 0.0
        return BUILDING, rng.uniform(8, 14), rng.uniform(3, 4.5), rng.uniform(2, 4)
    if chance < 0.2 and not after_gap:
        return NOTHING, rng.uniform(2, 5), 0.0, 0.0
    if chance < 0.35:
        return VEGETATION, rng.uniform(5, 12), rng.uniform(0.9, 1.7), 0.0
    return FENCE, rng.uniform(8, 20), rng.uniform(1.5, 2.1), 0.0
