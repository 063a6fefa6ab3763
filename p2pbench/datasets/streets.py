"""Procedural street scenes: label maps in Cityscapes classes, and photos that are random given the labels.

A scene is drawn in two steps with separate randomness. The layout (street_layout) decides the label map; textures,
colours and light (street_textures) are then drawn over it, so that many photos fit one label map, as in the real task.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from p2pbench.datasets import street_textures as textures
from p2pbench.datasets.street_layout import BUILDING_DEPTH, FAR, NOTHING, Street, Wall, plan_street
from p2pbench.datasets.street_textures import Array, Light, Noise
from p2pbench.datasets.street_things import (
    BUILDING,
    FENCE,
    ROAD,
    SIDEWALK,
    SKY,
    TERRAIN,
    VEGETATION,
    Points,
    Thing,
)

_OVERSAMPLING = 2
# How strong white and fractal noise are on parts that are not smooth.
_GRAIN = {"leaf": (0.3, 0.16), "bark": (0.15, 0.1)}


class Scene(NamedTuple):
    """One street scene: Cityscapes label ids (H, W) and a photo (H, W, 3), both uint8."""

    labels: NDArray[np.uint8]
    photo: NDArray[np.uint8]


def draw_scene(seed: int, index: int, size: int, repaint: int = 0) -> Scene:
    """Draws the street scene that (seed, index) name, always the same one.

    Args:
        seed: Which set of scenes, 0 or more.
        index: Which scene of the set, 0 or more.
        size: Height and width in pixels, a power of two from 32 to 1024; any size shows the same street.
        repaint: Which of the photos that fit the labels; the labels do not depend on it.

    Raises:
        ValueError: The size is not a power of two from 32 to 1024.
    """
    if size not in (32, 64, 128, 256, 512, 1024):
        raise ValueError(f"size is {size}, expected a power of two from 32 to 1024")
    street = plan_street(np.random.default_rng(SeedSequence((seed, index, 0))))
    look, grain = (np.random.default_rng(part) for part in SeedSequence((seed, index, 1, repaint)).spawn(2))
    return _Painter(street, look, grain, size).paint()


def _shadow(thing: Thing, sun: int) -> Points:
    """The dark ground below a thing, drawn away from the sun."""
    middle, half, length = thing.shadow
    angles = [step * math.pi / 7 for step in range(14)]
    return [
        (middle + half * (math.cos(angle) - 0.35 * sun), 0.0, thing.z + length * (0.5 + 0.55 * math.sin(angle)))
        for angle in angles
    ]


class _Painter:
    """Paints a street from far to near on one canvas, larger than the picture to smooth the photo's edges."""

    def __init__(self, street: Street, look: Generator, grain: Generator, size: int) -> None:
        self.street, self.look, self.grain, self.size = street, look, grain, size
        self.n = n = size * _OVERSAMPLING
        self.light: Light = textures.draw_light(look)
        self.noise: Noise = textures.draw_noise(grain, n)
        self.labels = np.full((n, n), SKY, np.uint8)
        self.colours = np.empty((3, n, n), np.float32)
        self.depth = np.zeros((n, n), np.float32)
        self.u = (np.arange(n) + 0.5) / n
        camera = street.camera
        self.horizon = int(np.ceil(camera.v * n))
        self.slope = ((self.u - camera.u) / camera.focal).astype(np.float32)
        self.drop = ((self.u - camera.v) / camera.focal).astype(np.float32)

    def paint(self) -> Scene:
        self._sky()
        self._skyline()
        self._ground()
        for wall in self.street.walls:
            self._wall(wall)
        self._things()
        return Scene(self.labels[1::_OVERSAMPLING, 1::_OVERSAMPLING].copy(), self._develop())

    def _sky(self) -> None:
        height = ((self.street.camera.v - self.u[: self.horizon]) / self.street.camera.v).astype(np.float32)
        self.colours[:, : self.horizon] = textures.sky(height, self.light, self.noise)

    def _skyline(self) -> None:
        label, heights = self.street.skyline
        top = self.street.camera.v - np.interp(self.u, np.linspace(0, 1, len(heights)), heights)
        first = int(top.min() * self.n)
        rows = slice(first, self.horizon)
        shown = self.u[rows, None] > top
        along, up = (self.u * 200).astype(np.float32), (self.street.camera.v - self.u[rows, None]) * np.float32(200)
        up = np.broadcast_to(up, shown.shape)
        if label == BUILDING:
            blocks = textures.draw_facades(self.look, np.full(8, 6.0), np.full(8, 30.0))
            which = (heights.searchsorted(heights[:1]) + (self.u * 23).astype(np.intp)) % 8
            colours = textures.facade(along, up, np.full(self.n, 99, np.float32), which, blocks, self.light, self.noise)
        else:
            colours = textures.leaves(along, up, self.look, self.noise)
        self._put(rows, slice(0, self.n), shown, label, colours, np.float32(130))

    def _ground(self) -> None:
        street, rows = self.street, slice(self.horizon, self.n)
        camera = street.camera
        z = (camera.height / np.maximum(self.drop[rows, None], 1e-4)).astype(np.float32)
        x = (self.slope - camera.bend * z) * z + np.float32(camera.x)
        strip = sum((x > edge).astype(np.intp) for edge in street.strips)
        labels = np.array(street.strip_labels, np.uint8)[strip]
        if street.crossing:
            labels = np.where((z > street.crossing[0]) & (z < street.crossing[1]), np.uint8(ROAD), labels)
        labels = np.where(z > street.end, np.uint8(SIDEWALK), labels)
        kerb = np.abs(x) - np.float32(street.half_road)
        colours = textures.road(x, z, street.half_road, street.crossing, self.look, self.noise)
        stones = textures.paving(x, z, kerb, self.look, self.noise)
        np.copyto(colours, stones, where=labels == SIDEWALK)
        if TERRAIN in street.strip_labels:
            np.copyto(colours, textures.grass(x, z, self.look, self.noise), where=labels == TERRAIN)
        colours *= self._shadows(x, z)
        self._put(rows, slice(0, self.n), np.ones_like(x, bool), labels, colours, z)

    def _shadows(self, x: Array, z: Array) -> Array:
        """What the sun leaves (R, N) of the light on the ground: walls on its side and things cast shadows."""
        reach = np.full(z.shape, np.inf, np.float32)
        sun = self.light.sun
        for wall in self.street.walls:
            if wall.along and np.sign(wall.at) == sun:
                which = np.clip(np.searchsorted(wall.edges, z[:, 0]) - 1, 0, len(wall.kinds) - 1)
                height = np.where(z[:, 0] < wall.edges[-1], (wall.eaves + wall.roofs)[which], 0)
                reach = np.minimum(reach, abs(wall.at) - (height / (1.5 * self.light.elevation))[:, None])
        cast = np.clip(3 * (sun * x - reach), 0, 1)
        contact = Image.new("L", (self.n, self.n))
        draw = ImageDraw.Draw(contact)
        for outline in self._outlines([_shadow(thing, sun) for thing in self.street.things]):
            draw.polygon(outline, fill=255)
        soft = np.asarray(contact.filter(ImageFilter.BoxBlur(self.n / 100)), np.float32)[-len(z) :] / 255
        return ((1 - self.light.shadow * cast) * (1 - (0.35 + 0.3 * self.light.shadow) * soft)).astype(np.float32)

    def _wall(self, wall: Wall) -> None:
        camera, end = self.street.camera, min(self.street.end, FAR)
        if not wall.along:
            z = np.full(self.n, wall.at)
            self._stretches(wall, z, self.slope * z + camera.x, z < np.inf, 0.86)
            return
        z = camera.wall_distance(self.u, wall.at)
        met = (z < min(end, float(wall.edges[-1]))) & (z > wall.edges[0])
        z = np.where(met, z, 1.0)
        which = np.searchsorted(wall.edges, z) - 1
        # Where a stretch is a gap, or lower than the next one, the next one's end shows.
        following = np.minimum(which + 1, len(wall.kinds) - 1)
        corner = wall.edges[following]
        across = np.abs((self.slope - camera.bend * corner) * corner + camera.x) - abs(wall.at)
        ends = met & (following > which) & (across < BUILDING_DEPTH) & (wall.kinds[following] == BUILDING) & (corner < end)
        self._stretches(wall, np.where(ends, corner, 1.0), across, ends, 0.8, following)
        sunny = np.sign(wall.at) != self.light.sun
        self._stretches(wall, z, z, met, 1.05 if sunny else 1 - 0.75 * self.light.shadow)

    def _stretches(
        self,
        wall: Wall,
        z: NDArray[np.float64],
        place: NDArray[np.float64],
        met: NDArray[np.bool_],
        shade: float,
        ends: NDArray[np.intp] | None = None,
    ) -> None:
        """Paints the stretches that the columns meet at distance z; `ends` are stretches that show their ends."""
        if ends is None:
            which = np.clip(np.searchsorted(wall.edges, place) - 1, 0, len(wall.kinds) - 1)
            along, left = place - wall.edges[which], np.diff(wall.edges)[which]
        else:
            which, along, left = ends, place, np.full(self.n, BUILDING_DEPTH)
        hip = np.minimum(wall.roofs[which], 1.6 * np.minimum(along, left - along) + 0.1)
        top = wall.eaves[which] + np.where(wall.roofs[which] > 0, hip, 0)
        woods = wall.kinds[which] == VEGETATION
        top = top * np.where(woods, 0.88 + 0.1 * np.sin(1.7 * along) + 0.07 * np.sin(4.3 * along + which), 1)
        for kind in np.unique(wall.kinds[which[met]]):
            if kind != NOTHING:
                self._stretch(wall, int(kind), which, along, z, top, met & (wall.kinds[which] == kind), shade)

    def _stretch(
        self,
        wall: Wall,
        kind: int,
        which: NDArray[np.intp],
        along: NDArray[np.float64],
        z: NDArray[np.float64],
        top: NDArray[np.float64],
        met: NDArray[np.bool_],
        shade: float,
    ) -> None:
        camera = self.street.camera
        found = np.flatnonzero(met)
        columns = slice(int(found[0]), int(found[-1]) + 1)
        z, top, along, which = (values[columns] for values in (z, top, along, which))
        high = camera.v - camera.focal * ((top - camera.height) / z)[met[columns]].max()
        low = camera.v + camera.focal * (camera.height / z)[met[columns]].max()
        rows = slice(max(int(high * self.n), 0), min(int(low * self.n) + 1, self.n))
        z, top, along = z.astype(np.float32), top.astype(np.float32), along.astype(np.float32)
        up = np.float32(camera.height) - self.drop[rows, None] * z
        shown = (up > 0) & (up < top) & met[columns]
        if kind == BUILDING:
            built = textures.draw_facades(self.look, np.diff(wall.edges), wall.eaves)
            eaves = wall.eaves[which].astype(np.float32)
            colours = textures.facade(along, up, eaves, which, built, self.light, self.noise)
        elif kind == FENCE:
            colours = textures.fence(along + z, up, top, self.look, self.noise)
        else:
            colours = textures.leaves(along, up, self.look, self.noise)
        self._put(rows, columns, shown, kind, colours * np.float32(shade), z)

    def _things(self) -> None:
        """Paints all things at once: their faces are numbered in one picture, and the numbers looked up."""
        things = self.street.things
        faces = [face for thing in things for face in thing.faces]
        numbers = Image.new("I", (self.n, self.n))
        draw = ImageDraw.Draw(numbers)
        for number, outline in enumerate(self._outlines([face.points for face in faces]), start=1):
            draw.polygon(outline, fill=number)
        # Row 0 is where no thing is: label, distance, grain, clumps, colour.
        look = np.zeros((len(faces) + 1, 7), np.float32)
        rows = iter(look[1:])
        for thing in things:
            palette = textures.draw_palette(self.look, thing.faces[-1].label, self.light.lit > 0.3)
            for face, row in zip(thing.faces, rows, strict=False):
                grain = _GRAIN.get(face.part, (0.035, 0.02))
                row[:] = (face.label, thing.z, *grain, *(palette[face.part] * face.tone))
        index = np.asarray(numbers)
        label, depth, grain, clump, *colour = (column.take(index) for column in look.T.copy())
        tone = np.maximum(1 + grain * self.noise.white + clump * self.noise.fractal, 0.15)
        everywhere = slice(0, self.n)
        self._put(everywhere, everywhere, index > 0, label.astype(np.uint8), np.stack(colour) * tone, depth)

    def _outlines(self, polygons: list[Points]) -> list[list[float]]:
        """Pixel coordinates x, y, x, y, ... of polygons in metres."""
        points = np.array([point for polygon in polygons for point in polygon]).reshape(-1, 3)
        flat = (self.street.camera.project(points) * self.n - 0.5).ravel().tolist()
        stops = list(accumulate(2 * len(polygon) for polygon in polygons))
        return [flat[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]

    def _put(
        self,
        rows: slice,
        columns: slice,
        shown: NDArray[np.bool_],
        label: int | NDArray[np.uint8],
        colours: Array,
        z: Array | np.float32,
    ) -> None:
        np.copyto(self.labels[rows, columns], np.uint8(label) if isinstance(label, int) else label, where=shown)
        np.copyto(self.colours[:, rows, columns], colours, where=shown)
        np.copyto(self.depth[rows, columns], z, where=shown)

    def _develop(self) -> NDArray[np.uint8]:
        """The photo: shrunk, then haze, the light's colour, the sensor's noise and the film's curve."""
        tall = self.colours[:, ::2] + self.colours[:, 1::2]
        small = (tall[:, :, ::2] + tall[:, :, 1::2]) / 4
        depth = self.depth[::2, ::2]
        is_sky = depth == 0
        small *= np.where(is_sky, np.float32(1), self.light.tint[:, None, None])
        haze = 1 - np.exp(-depth * np.float32(self.light.haze))
        small += (self.light.horizon[:, None, None] * np.float32(0.95) - small) * haze
        small += np.float32(0.012) * self.noise.white[: self.size, : self.size]
        return np.moveaxis(np.clip(small * 255, 0, 255).astype(np.uint8), 0, -1).copy()
