"""Camera and things of a street scene.

Cars, people, posts, signs and trees.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

# Label ids of Cityscapes.
ROAD, SIDEWALK, BUILDING, FENCE, POLE, SIGN = 7, 8, 11, 13, 17, 20
VEGETATION, TERRAIN, SKY, PERSON, CAR = 21, 22, 23, 24, 26

Reals = NDArray[np.floating]
Outline = list[tuple[float, float]]
Points = list[tuple[float, float, float]]


class Camera(NamedTuple):
    """Pinhole camera looking along the street.

    It is x metres right of the road's middle, `height` above it.

    The street vanishes at (u, v), focal is in picture widths, and the street bends by bend * z**2 metres to the right.
    """

    x: float
    height: float
    focal: float
    u: float
    v: float
    bend: float

    def project(self, points: Reals) -> Reals:
        """Unit coordinates (..., 2) of points (..., 3).

        Those behind the camera end far outside of the picture.
        """
        # Points at or behind the camera have no projection.
        z = np.maximum(points[..., 2], 0.5)
        u = self.u + self.focal * ((points[..., 0] - self.x) / z + self.bend * z)
        v = self.v + self.focal * (self.height - points[..., 1]) / z
        return np.stack([u, v], axis=-1)

    def slope(self, u: Reals) -> Reals:
        """Slope of the rays of columns u: metres right per metre ahead."""
        return (u - self.u) / self.focal

    def drop(self, v: Reals) -> Reals:
        """Metres down a metre ahead, of the rays of rows v."""
        return (v - self.v) / self.focal

    def place(self, u: Reals, z: Reals) -> Reals:
        """The x of the rays of columns u at distance z."""
        return (self.slope(u) - self.bend * z) * z + self.x

    def wall_distance(self, u: Reals, x: float) -> Reals:
        """Distances of columns u to a wall at x.

        Infinite where they do not meet.

        By `place`, z solves bend * z**2 - slope * z + (x - camera x) = 0; this is its smaller positive root.
        """
        slope, offset = self.slope(u), x - self.x
        side = np.sign(offset)
        squared = slope**2 - 4 * self.bend * offset
        # 2 c / (-b + side * root), equal to (-b - side * root) / (2 a), which would divide by 0 on a straight street.
        below = slope + side * np.sqrt(np.maximum(squared, 0.0))
        met = (below * side > 1e-6) & (squared >= 0)
        return np.where(met, 2 * offset / np.where(met, below, 1.0), np.inf)


class Face(NamedTuple):
    """Flat polygon: points, part, brightness, label.

    Points are (x, y, z) in metres.
    """

    points: Points
    part: str
    tone: float
    label: int


class Thing(NamedTuple):
    """Thing at distance z: faces from far to near, shadow.

    shadow is (x, half its width, its length) in metres.
    """

    z: float
    faces: list[Face]
    shadow: tuple[float, float, float]


def _flat(x: float, z: float, outline: Outline, turn: float = 1.0, size: float = 1.0) -> Points:
    """Points of an outline of (right, up) that faces the camera at (x, z); turn -1 mirrors it."""
    return [(x + turn * size * right, size * up, z) for right, up in outline]


def _box(left: float, bottom: float, right: float, top: float) -> Outline:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _disc(x: float, y: float, radius: float, corners: int = 12, turn: float = 0.0) -> Outline:
    angles = [turn + corner * 2 * pi / corners for corner in range(corners)]
    return [(x + radius * cos(angle), y + radius * sin(angle)) for angle in angles]


def _lobed(
    rng: Generator, middle: tuple[float, float], size: tuple[float, float], corners: int, rough: float
) -> Outline:
    """A round outline with lobes, as a tree's crown has."""
    lobes, phase = int(rng.integers(3, 6)) / 2, rng.uniform(0, 6.3)
    outline = []
    for corner, chance in enumerate(rng.random(corners).tolist()):
        angle = corner * 2 * pi / corners
        radius = 1 - rough * (1 - abs(sin(angle * lobes + phase))) + rough * (chance - 0.5) / 1.5
        outline.append((middle[0] + size[0] * radius * cos(angle), middle[1] + size[1] * radius * sin(angle)))
    return outline


def car(rng: Generator, x: float, z: float, camera_x: float, oncoming: bool) -> Thing:
    """Car along the street: visible end, visible side, roof."""
    wide, long = rng.uniform(0.84, 0.98), rng.uniform(3.8, 4.8)
    belt, top = rng.uniform(0.88, 1.02), rng.uniform(1.42, 1.62)
    if rng.random() < 0.2:  # A van.
        top, long = rng.uniform(1.9, 2.3), rng.uniform(4.6, 5.4)
    narrow, slant, tail = 0.8 * wide, rng.uniform(0.15, 0.7), long * rng.uniform(0.72, 0.96)
    side = 1.0 if x < camera_x else -1.0
    flank, edge = x + side * wide, x + side * narrow

    def side_on(at: float, outline: Outline) -> Points:
        return [(at, up, z + ahead) for ahead, up in outline]

    def level(half: float, up: float, start: float, stop: float) -> Points:
        return [(x + right, up, z + ahead) for right, ahead in _box(-half, start, half, stop)]

    def screen(low: float, high: float, up: float, share: float) -> Points:
        ahead = z + share * slant
        return [(x - low, belt, z), (x + low, belt, z), (x + high, up, ahead), (x - high, up, ahead)]

    pane = [(slant + 0.2, top - 0.13), (tail - slant - 0.1, top - 0.13), (tail - 0.25, belt + 0.06), (0.4, belt + 0.06)]
    cabin: Points = [(edge, belt, z + tail), (edge, top, z + tail - slant), (edge, top, z + slant), (flank, belt, z)]
    lamp = "headlamp" if oncoming else "taillamp"
    # Each face is painted over those before it, so that the end which faces the camera, and its lights, come last.
    shapes: list[tuple[str, float, Points]] = [
        ("tyre", 1.0, _flat(x, z, _box(-0.85 * wide, 0, -0.6 * wide, 0.4))),
        ("tyre", 1.0, _flat(x, z, _box(0.6 * wide, 0, 0.85 * wide, 0.4))),
        ("paint", 0.78, side_on(flank, [(0, 0.3), (0, belt), (long, belt - 0.05), (long, 0.3)])),
        ("tyre", 1.0, side_on(flank, _disc(0.85, 0.33, 0.34))),
        ("rim", 1.0, side_on(flank, _disc(0.85, 0.33, 0.19, 8))),
        ("tyre", 1.0, side_on(flank, _disc(long - 0.85, 0.33, 0.34))),
        ("paint", 1.05, level(wide, belt, 0.0, long)),
        ("paint", 0.85, cabin),
        ("glass", 0.8, side_on(edge, pane)),
        ("paint", 0.95, screen(0.97 * wide, narrow, top, 1.0)),
        ("paint", 1.15, level(narrow, top, slant, tail - slant)),
        ("paint", 1.0, _flat(x, z, _box(-wide, 0.32, wide, belt))),
        ("glass", 1.0, screen(0.88 * wide, 0.92 * narrow, top - 0.12, 0.85)),
        ("trim", 1.0, _flat(x, z, _box(-0.98 * wide, 0.28, 0.98 * wide, 0.48))),
        ("plate", 1.0, _flat(x, z, _box(-0.25, 0.5, 0.25, 0.64))),
        (lamp, 1.0, _flat(x, z, _box(-0.97 * wide, 0.62, -0.62 * wide, 0.8))),
        (lamp, 1.0, _flat(x, z, _box(0.62 * wide, 0.62, 0.97 * wide, 0.8))),
    ]
    return Thing(z, [Face(points, part, tone, CAR) for part, tone, points in shapes], (x, 1.15 * wide, long))


def crossing_car(rng: Generator, x: float, z: float) -> Thing:
    """A car seen from the side."""
    half, belt, top = rng.uniform(1.9, 2.4), rng.uniform(0.88, 1.0), rng.uniform(1.42, 1.65)
    turn = float(rng.choice([-1.0, 1.0]))
    back, front = -rng.uniform(0.72, 0.97) * half, rng.uniform(0.2, 0.5) * half
    body = [(-half, 0.3), (half, 0.3), (half, 0.68), (0.55 * half, belt), (-0.96 * half, belt), (-half, 0.75)]
    sill, head = belt + 0.04, top - 0.12
    shapes: list[tuple[str, float, Outline]] = [
        ("paint", 0.95, [(back, belt), (front + 0.5, belt), (front, top), (back + 0.35, top)]),
        ("glass", 1.0, [(back + 0.22, sill), (front + 0.32, sill), (front - 0.04, head), (back + 0.45, head)]),
        ("paint", 1.0, body),
        ("paint", 0.95, _box(-0.12, belt, 0.02, top - 0.05)),
        ("trim", 1.0, _box(-0.97 * half, 0.27, 0.97 * half, 0.42)),
        ("taillamp", 1.0, _box(-half, 0.62, -half + 0.2, 0.76)),
        ("headlamp", 1.0, _box(half - 0.25, 0.56, half, 0.67)),
        *(("tyre", 1.0, _disc(middle * half, 0.34, 0.36)) for middle in (-0.62, 0.62)),
        *(("rim", 1.0, _disc(middle * half, 0.34, 0.2)) for middle in (-0.62, 0.62)),
    ]
    faces = [Face(_flat(x, z, outline, turn), part, tone, CAR) for part, tone, outline in shapes]
    return Thing(z, faces, (x, half, 1.8))


def person(rng: Generator, x: float, z: float) -> Thing:
    """Somebody on foot, in trousers or a skirt, some with a bag."""
    size, stride = rng.uniform(1.6, 2.0), rng.uniform(0.05, 0.24) / 2
    turn = float(rng.choice([-1.0, 1.0]))
    hip, shoulder, broad, swing = 0.5, 0.83, rng.uniform(0.12, 0.15), rng.uniform(0.0, 0.06)
    skirt, bag = rng.random() < 0.25, rng.random() < 0.35
    arm = [(broad - 0.07, shoulder), (broad, shoulder), (broad + 0.04 + swing, 0.45), (broad - 0.03 + swing, 0.45)]
    shapes: list[tuple[str, float, Outline]] = [
        ("legs", 0.85, [(-0.1, hip), (0.03, hip), (0.06 - stride, 0.03), (-0.06 - stride, 0.03)]),
        ("legs", 1.0, [(-0.03, hip), (0.1, hip), (0.06 + stride, 0.03), (-0.06 + stride, 0.03)]),
        ("shoe", 1.0, _box(-stride - 0.06, 0, -stride + 0.08, 0.045)),
        ("shoe", 1.0, _box(stride - 0.06, 0, stride + 0.08, 0.045)),
        *([("legs", 1.0, [(-0.1, hip + 0.05), (0.1, hip + 0.05), (0.17, 0.27), (-0.17, 0.27)])] if skirt else []),
        *([("bag", 1.0, _box(-broad - 0.09, 0.52, -broad + 0.09, 0.78))] if bag else []),
        ("top", 0.75, [(-right, up) for right, up in arm]),
        ("top", 1.0, [(-broad, shoulder), (broad, shoulder), (0.105, hip - 0.04), (-0.105, hip - 0.04)]),
        ("top", 0.85, arm),
        ("skin", 0.9, _box(-0.035, 0.8, 0.035, 0.88)),
        ("hair", 1.0, _disc(0, 0.935, 0.072, 10)),
        ("skin", 1.0, _disc(0.022, 0.92, 0.052, 10)),
    ]
    faces = [Face(_flat(x, z, outline, turn, size), part, tone, PERSON) for part, tone, outline in shapes]
    return Thing(z, faces, (x, 0.35, 0.5))


def lamp_post(rng: Generator, x: float, z: float, facing: int, thick: float) -> Thing:
    """Lamp post on the side `facing` (-1 left, 1 right).

    Its arm is over the road; it is `thick` metres thick.
    """
    height, arm, half = rng.uniform(4.5, 7), -facing * rng.uniform(0.8, 1.6), thick / 2
    inner, outer = sorted((arm, arm * 0.45))
    shapes = [
        ("metal", 1.0, _box(-half, 0, half, height)),
        ("metal", 0.8, _box(-1.3 * half, 0, 1.3 * half, 0.6)),
        ("metal", 1.0, _box(min(0, arm), height - half, max(0, arm), height + half)),
        ("lamp", 1.0, _box(inner, height - 1.6 * half, outer, height + 0.4 * half)),
    ]
    return Thing(z, [Face(_flat(x, z, outline), part, tone, POLE) for part, tone, outline in shapes], (x, 0.25, 0.3))


def sign(rng: Generator, x: float, z: float, thick: float) -> Thing:
    """Traffic sign on a post `thick` metres thick.

    Round, triangular, square or eight-sided.
    """
    radius, up = rng.uniform(0.55, 0.7), rng.uniform(2.3, 2.9)
    corners, turn = ((14, 0.0), (3, pi / 2), (4, pi / 4), (4, 0.0), (8, pi / 8))[int(rng.integers(5))]
    long, short = (0.14, 0.5) if rng.random() < 0.5 else (0.5, 0.14)
    shapes = [
        ("metal", POLE, _box(-thick / 2, 0, thick / 2, up)),
        ("border", SIGN, _disc(0, up, radius, corners, turn)),
        ("face", SIGN, _disc(0, up, 0.78 * radius, corners, turn)),
        ("mark", SIGN, _box(-long * radius, up - short * radius, long * radius, up + short * radius)),
    ]
    return Thing(z, [Face(_flat(x, z, outline), part, 1.0, label) for part, label, outline in shapes], (x, 0.2, 0.2))


def tree(rng: Generator, x: float, z: float) -> Thing:
    """Tree or bush: trunk, crown, and clumps of lit leaves."""
    kind = str(rng.choice(["round", "tall", "conifer", "bush"], p=[0.5, 0.15, 0.15, 0.2]))
    if kind == "conifer":
        return _conifer(rng, x, z)
    wide, high, trunk = {
        "round": (rng.uniform(1.5, 2.8), rng.uniform(1.5, 2.5), rng.uniform(1.7, 2.6)),
        "tall": (rng.uniform(0.8, 1.3), rng.uniform(2.8, 4.2), rng.uniform(0.6, 1.3)),
        "bush": (rng.uniform(0.7, 1.3), rng.uniform(0.5, 0.9), -0.2),
    }[kind]
    middle, stem = trunk + high, 0.09 * wide
    faces = [Face(_flat(x, z, _lobed(rng, (0, middle), (wide, high), 34, 0.16)), "leaf", 0.62, VEGETATION)]
    if kind != "bush":
        trunk_face = _flat(x, z, [(-1.6 * stem, 0), (1.6 * stem, 0), (stem, middle), (-stem, middle)])
        faces.insert(0, Face(trunk_face, "bark", 1.0, VEGETATION))
    # Far crowns are too small to show more.
    clumps = 9 if z < 25 else 4
    for clump, (right, up, size, tone) in enumerate(rng.random((clumps, 4)).tolist()):
        level, size = clump / (clumps - 1), 0.26 + 0.14 * size
        place = (wide * 1.24 * (right - 0.5) * (1 - 0.5 * level), middle + high * (1.1 * level - 0.65 + 0.2 * up))
        outline = _lobed(rng, place, (wide * size, high * size), 12, 0.25)
        faces.append(Face(_flat(x, z, outline), "leaf", 0.6 + 0.55 * level + 0.2 * tone, VEGETATION))
    return Thing(z, faces, (x, 0.9 * wide, 1.2 * wide))


def _conifer(rng: Generator, x: float, z: float) -> Thing:
    height, wide = rng.uniform(4.5, 8), rng.uniform(1.2, 1.9)
    faces = [Face(_flat(x, z, _box(-0.15, 0, 0.15, 0.8)), "bark", 1.0, VEGETATION)]
    for tier in range(5):
        low, reach = 0.5 + tier * (height - 1.5) / 5, wide * (1 - tier / 6)
        skirt = [(-reach + step * reach / 3, low + 0.22 * (step % 2)) for step in range(7)]
        outline = [*skirt, (0.0, low + (height - 0.5) / 3.2)]
        faces.append(Face(_flat(x, z, outline), "leaf", 0.6 + 0.1 * tier, VEGETATION))
    return Thing(z, faces, (x, 0.8 * wide, 1.2 * wide))
