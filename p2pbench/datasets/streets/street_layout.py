"""Layout of a street scene: ground, walls, things (metres)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from p2pbench.datasets.streets.things import (
    BUILDING,
    ROAD,
    SIDEWALK,
    TERRAIN,
    VEGETATION,
    Camera,
    Reals,
    Thing,
    car,
    crossing_car,
    lamp_post,
    person,
    sign,
    tree,
)
from p2pbench.datasets.streets.walls import Crossing, Wall, draw_across, draw_row

FAR = 85.0


class Skyline(NamedTuple):
    """Skyline: label of the far end, and its heights.

    Heights are above the horizon, in unit coordinates, at equally spaced u.
    """

    label: int
    heights: Reals


class Street(NamedTuple):
    """Geometry that a label map is drawn from.

    Walls and things from far to near.

    strips are the x at which the ground's label changes, strip_labels the labels between them (one more than strips);
    crossing is the range of z in which another road crosses, or None; beyond z = end the ground is sidewalk.
    """

    camera: Camera
    strips: tuple[float, ...]
    strip_labels: tuple[int, ...]
    half_road: float
    crossing: Crossing
    end: float
    skyline: Skyline
    walls: list[Wall]
    things: list[Thing]


class _Side(NamedTuple):
    """One side of the street: its style, and how far from the road's middle things are.

    From the road outwards: a verge of grass up to `verge`, the sidewalk up to `sidewalk`, perhaps a fence, and a wall
    of buildings or woods.
    """

    style: str
    verge: float
    sidewalk: float
    fence: float | None
    wall: float


class _Ground(NamedTuple):
    """Ground plan of a street: half the road's width, both sides, the crossing, and the z of its end."""

    half_road: float
    left: _Side
    right: _Side
    crossing: Crossing
    end: float


class _Spot(NamedTuple):
    """Candidate place of a thing: its position, rough size, and maker, which costs more than the test of visibility.

    It is left out where it would be lower than `least` of the picture.
    """

    make: Callable[[], Thing]
    x: float
    z: float
    half_width: float
    height: float
    least: float
    on_road: bool


def plan_street(rng: Generator) -> Street:
    """Draw a street at random; the generator's state alone decides it."""
    style = str(rng.choice(["city", "suburb", "park"], p=[0.36, 0.36, 0.28]))
    half = rng.uniform(3.6, 6.0) if style == "city" else rng.uniform(2.8, 4.2)
    crossing, end = _crossing(rng, style)
    left, right = _side(rng, style, half), _side(rng, style, half)
    ground = _Ground(half, left, right, crossing, end)
    camera = _camera(rng, half, bends=crossing is None)
    beyond = [SIDEWALK if side.style == "city" else TERRAIN for side in (left, right)]
    return Street(
        camera=camera,
        strips=(-left.sidewalk, -left.verge, -half, half, right.verge, right.sidewalk),
        strip_labels=(beyond[0], SIDEWALK, TERRAIN, ROAD, TERRAIN, SIDEWALK, beyond[1]),
        half_road=half,
        crossing=crossing,
        end=end,
        skyline=_skyline(rng, style),
        walls=_walls(rng, ground, camera.bend),
        things=_things(rng, ground, camera),
    )


def _crossing(rng: Generator, style: str) -> tuple[Crossing, float]:
    """Draw the range of z of a crossing road, and the street's end.

    The end is at a T-junction just behind it, or never.
    """
    chance, start, width = rng.random(), rng.uniform(12, 30), rng.uniform(7, 10)
    if chance > {"city": 0.6, "suburb": 0.45, "park": 0.25}[style]:
        return None, np.inf
    return (start, start + width), start + width + rng.uniform(2, 4) if chance < 0.25 else np.inf


def _side(rng: Generator, style: str, half: float) -> _Side:
    if rng.random() < 0.25:
        style = str(rng.choice(["city", "suburb", "park"]))
    if style == "city":
        wall = half + rng.uniform(3, 5)
        return _Side(style, half, wall, None, wall)
    verge = half + (rng.uniform(1.2, 2.4) if rng.random() < 0.45 else 0.0)
    sidewalk = verge + rng.uniform(1.9, 2.9)
    if style == "park" and rng.random() < 0.3:
        verge = sidewalk = half + 0.35
    fence = sidewalk + rng.uniform(0.1, 0.8) if rng.random() < 0.65 else None
    return _Side(style, verge, sidewalk, fence, sidewalk + rng.uniform(3, 8))


def _camera(rng: Generator, half: float, bends: bool) -> Camera:
    """Draw a camera between the kerbs, or a step beyond one.

    It looks past the nearer side to the farther one.
    """
    x = rng.uniform(-1.1, 1.1) * half
    return Camera(
        x=x,
        height=rng.uniform(1.5, 2.7),
        focal=rng.uniform(0.65, 1.1),
        u=0.5 + 0.14 * x / half + rng.uniform(-0.15, 0.15),
        v=rng.uniform(0.37, 0.56),
        bend=float(rng.normal(0, 0.0025)) if bends else 0.0,
    )


def _walls(rng: Generator, ground: _Ground, bend: float) -> list[Wall]:
    crossing = ground.crossing
    walls, stop = [], FAR
    if crossing and ground.end < FAR:
        walls, stop = [draw_across(rng, ground.end)], crossing[0]
    for facing, side in ((-1, ground.left), (1, ground.right)):
        walls.append(draw_row(rng, side.style, facing * side.wall, crossing, stop))
        if side.fence is not None:
            walls.append(draw_row(rng, "fence", facing * side.fence, crossing, stop))
    # In a bend the inner side hides the outer one; fences stand before buildings.
    inner = np.sign(bend) or 1.0
    return sorted(walls, key=lambda wall: (wall.along, np.sign(wall.at) == inner, -abs(wall.at)))


def _skyline(rng: Generator, style: str) -> Skyline:
    if style == "city" and rng.random() < 0.6:
        # Blocks of one height each: a distant city has a stepped outline.
        blocks = rng.uniform(0.015, 0.11, int(rng.integers(9, 22)))
        return Skyline(BUILDING, np.repeat(blocks, 24))
    u = np.linspace(0, 1, 257)
    heights = rng.uniform(0.03, 0.07) + 0.012 * np.abs(np.sin(rng.uniform(30, 60) * u + 3 * np.sin(5 * u)))
    for wave in (1, 2, 3):
        heights += rng.uniform(0.003, 0.03 / wave) * np.sin(2 * np.pi * wave * u + rng.uniform(0, 6.3))
    return Skyline(VEGETATION, np.maximum(heights, 0.008))


def _things(rng: Generator, ground: _Ground, camera: Camera) -> list[Thing]:
    """Draw cars, people, posts, signs and trees that are in view and clear of walls, from far to near."""
    half, crossing = ground.half_road, ground.crossing
    spots = _traffic(rng, camera, half, crossing)
    spots += _kerb(rng, camera, half, ground.left, -1) + _kerb(rng, camera, half, ground.right, 1)
    spots.sort(key=lambda spot: -spot.z)
    x, z, half_width, height, least, on_road = (
        np.array(values) for values in zip(*(spot[1:] for spot in spots), strict=True)
    )
    u = camera.project(np.stack([x, 0 * x, z], axis=-1))[:, 0]
    seen = (np.abs(u - 0.5) < 0.49 + camera.focal * half_width / z) & (camera.focal * height / z > least)
    seen &= z < ground.end - 1
    walls = camera.wall_distance(u, -ground.left.wall), camera.wall_distance(u, ground.right.wall)
    clear = np.minimum(*walls) > z - 1
    if crossing:
        clear &= (z < crossing[0] - 1) | (z > crossing[1] + 1)
    return [spots[index].make() for index in np.flatnonzero(seen & (clear | on_road))]


def _traffic(rng: Generator, camera: Camera, half: float, crossing: Crossing) -> list[_Spot]:
    """Draw cars in both lanes.

    At a crossing cars from the side and people on the zebra.
    """
    spots = []
    for x, oncoming, own in ((0.42 * half, False, camera.x > 0), (-0.42 * half, True, camera.x < 0)):
        for z in _along(rng, rng.uniform(7, 22) if own else rng.uniform(5, 16), (9, 28), 32):
            spots.append(_Spot(partial(car, rng, x, z, camera.x, oncoming), x, z, 0.9, 1.5, 0.06, True))
    if crossing:
        for _ in range(rng.integers(0, 3)):
            x, z = rng.uniform(-14, 14), sum(crossing) / 2 + rng.uniform(-2, 2)
            spots.append(_Spot(partial(crossing_car, rng, x, z), x, z, 2.2, 1.5, 0.06, True))
        for _ in range(rng.integers(0, 3)):
            x, z = rng.uniform(-half, half), crossing[0] - 1.5
            spots.append(_Spot(partial(person, rng, x, z), x, z, 0.4, 1.7, 0.13, True))
    return spots


def _kerb(rng: Generator, camera: Camera, half: float, side: _Side, facing: int) -> list[_Spot]:
    """Draw the things on one side of the street.

    Facing is -1 for left and 1 for right.
    """
    city = side.style == "city"
    # Things nearer than this would stand outside the picture.
    margin = (0.96 - camera.u if facing > 0 else camera.u - 0.04) / camera.focal
    near = max(4.5, (half + 1 - facing * camera.x) / margin)
    spots = []
    if city and half > 4.7 and rng.random() < 0.7:
        x = facing * (half - 0.95)
        for z in _along(rng, near + rng.uniform(0, 9), (5.5, 12), 30):
            spots.append(_Spot(partial(car, rng, x, z, camera.x, facing < 0), x, z, 0.9, 1.5, 0.06, True))
    if rng.random() < 0.75:
        x = facing * (half + 0.45)
        for z in _along(rng, near + rng.uniform(0, 6), (12, 18), 25):
            spots.append(_Spot(partial(lamp_post, rng, x, z, facing, _visible(camera, z)), x, z, 1.2, 5, 0.1, False))
    if rng.random() < 0.85:
        x, z = facing * (half + rng.uniform(0.3, 0.7)), near + rng.uniform(0, 5)
        spots.append(_Spot(partial(sign, rng, x, z, _visible(camera, z)), x, z, 0.6, 3, 0.1, False))
    for _ in range(int(rng.integers(1, 6 if city else 4))):
        x = facing * rng.uniform(side.verge + 0.4, max(side.sidewalk, side.verge + 0.8) - 0.2)
        z = near + rng.gamma(1.5, 1.8)
        spots.append(_Spot(partial(person, rng, x, z), x, z, 0.4, 1.7, 0.13, False))
    if not city or rng.random() < 0.55:
        beside, gap = (half + 0.9, (9.0, 22.0)) if city else (side.sidewalk + rng.uniform(1.2, 2.6), (6.0, 16.0))
        for z in _along(rng, near + rng.uniform(1, 11), gap, 38):
            x = facing * beside + rng.normal(0, 0.3)
            spots.append(_Spot(partial(tree, rng, x, z), x, z, 1.6, 4, 0.1, False))
    return spots


def _along(rng: Generator, start: float, gap: tuple[float, float], stop: float) -> list[float]:
    """Draw the distances of things that stand in a row."""
    distances, z = [], start
    while z < stop:
        distances.append(z)
        z += rng.uniform(*gap)
    return distances


def _visible(camera: Camera, z: float) -> float:
    """Thickness in metres of a post at z that shows in a small picture, where a real one would vanish."""
    return max(0.18, 0.029 * z / camera.focal)
