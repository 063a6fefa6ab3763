"""Drawing of a street scene: label map and photo.

The two have separate randomness. The layout decides the label map; textures, colours and light are then drawn over it,
so that many photos fit one label map, as in the real task.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from p2pbench.datasets.streets import textures
from p2pbench.datasets.streets.colours import Light, draw_light, draw_palette
from p2pbench.datasets.streets.street_layout import Street, plan_street
from p2pbench.datasets.streets.things import BUILDING, FENCE, ROAD, SIDEWALK, SKY, TERRAIN, Points, Reals, Thing
from p2pbench.datasets.streets.walls import Hit, Wall, hit_ends, hit_fronts

SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)

# The canvas has 2 x 2 points a pixel. A pixel's label is that of most of its points, its colour the mean of those
# alone: textures and edges within a class are smooth, but no pixel mixes classes, which small pictures cannot afford.
_POINTS = 2
_SKYLINE_DISTANCE = 130.0
# How strong white and fractal noise are on parts of things that are not smooth.
_GRAIN = {"leaf": (0.3, 0.16), "bark": (0.15, 0.1)}
_SMOOTH = (0.035, 0.02)


class Scene(NamedTuple):
    """Street scene: label ids (H, W) and photo (H, W, 3), uint8.

    The ids are those of Cityscapes.
    """

    labels: NDArray[np.uint8]
    photo: NDArray[np.uint8]


def draw_scene(seed: int, index: int, size: int, repaint: int = 0) -> Scene:
    """Draw the street scene of (seed, index), always the same one.

    Args:
        seed: Which set of scenes, 0 or more.
        index: Which scene of the set, 0 or more.
        size: Height and width in pixels, a power of two from 32 to 4096; any size shows the same street.
        repaint: Which of the photos that fit the labels, 0 or more; the labels do not depend on it.

    Raises:
        ValueError: The size is not a power of two from 32 to 4096.
    """
    if size not in SIZES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
    street = plan_street(np.random.default_rng(SeedSequence((seed, index, 0))))
    look, noise = (np.random.default_rng(SeedSequence((seed, index, part, repaint))) for part in (1, 2))
    return _Painter(street, look, noise, size * _POINTS).paint()


class _Painter:
    """Painter of a street, from far to near.

    `look` draws the colours, in an order that does not depend on the size, `noise` the randomness of single points.
    """

    def __init__(self, street: Street, look: Generator, noise: Generator, n: int) -> None:
        self.street, self.look, self.n = street, look, n
        self.light: Light = draw_light(look)
        self.noise = textures.draw_noise(noise, n)
        self.labels = np.full((n, n), SKY, np.uint8)
        self.colours = np.empty((3, n, n), np.float32)
        self.depth = np.zeros((n, n), np.float32)
        self.points = (np.arange(n) + 0.5) / n
        self.drop = street.camera.drop(self.points).astype(np.float32)
        self.horizon = math.ceil(street.camera.v * n)

    def paint(self) -> Scene:
        self._sky()
        self._skyline()
        self._ground()
        for wall in self.street.walls:
            self._wall(wall)
        self._things()
        labels = self._pick()
        return Scene(labels, self._develop(labels))

    def _sky(self) -> None:
        height = 1 - self.points[: self.horizon] / self.street.camera.v
        self.colours[:, : self.horizon] = textures.sky(height.astype(np.float32), self.light, self.noise)

    def _skyline(self) -> None:
        label, heights = self.street.skyline
        above = self.street.camera.v - self.points[: self.horizon, None]
        tall = np.interp(self.points, np.linspace(0, 1, len(heights)), heights)
        rows = slice(int((self.street.camera.v - tall.max()) * self.n), self.horizon)
        up, along = (above[rows] * 200).astype(np.float32), (self.points * 200).astype(np.float32)
        up = np.broadcast_to(up, (len(up), self.n))
        if label == BUILDING:
            built = textures.draw_facades(self.look, np.full(8, 6.0), np.full(8, 30.0))
            built = built._replace(eaves=np.full(8, 99, np.float32))  # far beyond the skyline: no roofs
            which = (self.points * 23).astype(np.intp) % 8
            colours = textures.facade(along, up, which, built, self.light, self.noise)
        else:
            colours = textures.leaves(along, up, self.look, self.noise)
        self._put(rows, slice(0, self.n), above[rows] < tall, label, colours, _SKYLINE_DISTANCE)

    def _ground(self) -> None:
        street, rows = self.street, slice(self.horizon, self.n)
        # A ray that drops by `drop` metres a metre meets the ground at height / drop; at the horizon it never does.
        z = street.camera.height / np.maximum(self.drop[rows, None], np.float32(1e-3))
        x = street.camera.place(self.points, z).astype(np.float32)
        labels = np.array(street.strip_labels, np.uint8)[np.sum([x > edge for edge in street.strips], axis=0)]
        if street.crossing:
            labels[(z[:, 0] > street.crossing[0]) & (z[:, 0] < street.crossing[1])] = ROAD
        labels[z[:, 0] > street.end] = SIDEWALK
        colours = textures.road(x, z, street.half_road, street.crossing, self.look, self.noise)
        np.copyto(colours, textures.paving(x, z, street.half_road, self.look, self.noise), where=labels == SIDEWALK)
        np.copyto(colours, textures.grass(x, z, self.look, self.noise), where=labels == TERRAIN)
        colours *= self._sunlight(x, z)
        self._put(rows, slice(0, self.n), np.ones(x.shape, bool), labels, colours, z)

    def _sunlight(self, x: Reals, z: Reals) -> Reals:
        """Share of light (R, N) that walls on the sun's side and things leave to the ground."""
        sun, dark = self.light.sun, self.light.shadow
        reach = np.full(len(z), np.inf)
        for wall in self.street.walls:
            if wall.along and np.sign(wall.at) == sun:
                length = wall.height(z[:, 0]) / (1.5 * self.light.elevation)
                reach = np.minimum(reach, abs(wall.at) - length)
        cast = np.clip(3 * (sun * x - reach.astype(np.float32)[:, None]), 0, 1)
        contact = Image.new("L", (self.n, self.n))
        draw = ImageDraw.Draw(contact)
        for outline in self._outlines([_shadow(thing, sun) for thing in self.street.things]):
            draw.polygon(outline, fill=255)
        soft = np.asarray(contact.filter(ImageFilter.BoxBlur(self.n / 100)))[self.n - len(z) :]
        left: Reals = (1 - dark * cast) * (1 - (0.35 + 0.3 * dark) / 255 * soft.astype(np.float32))
        return left

    def _wall(self, wall: Wall) -> None:
        camera = self.street.camera
        seed = int(self.look.integers(2**32))
        sunny = np.sign(wall.at) != self.light.sun
        if wall.along:
            self._stretches(wall, hit_ends(wall, camera, self.points), 0.8, seed)
        shade = (1.05 if sunny else 1 - 0.75 * self.light.shadow) if wall.along else 0.86
        self._stretches(wall, hit_fronts(wall, camera, self.points), shade, seed)

    def _stretches(self, wall: Wall, hit: Hit, shade: float, seed: int) -> None:
        """Paint the stretches of a wall that columns meet, one label after the other."""
        for label in np.unique(wall.kinds[hit.which[hit.met]]).tolist():
            # Few columns of a small picture may miss a label. Each has its own generator, so that the others look the
            # same.
            rng = np.random.default_rng((seed, label))
            met = hit.met & (wall.kinds[hit.which] == label)
            columns = slice(int(met.argmax()), self.n - int(met[::-1].argmax()))
            met = met[columns]
            z, along, top = (values[columns].astype(np.float32) for values in (hit.z, hit.along, hit.top))
            rows = self._rows(z[met], top[met])
            up = self.street.camera.height - self.drop[rows, None] * z
            if label == BUILDING:
                which = hit.which[columns]
                built = textures.draw_facades(rng, np.diff(wall.edges), wall.eaves)
                colours = textures.facade(along, up, which, built, self.light, self.noise)
            elif label == FENCE:
                colours = textures.fence(along, up, np.maximum(top, 0.1), rng, self.noise)
            else:
                colours = textures.leaves(along, up, rng, self.noise)
            self._put(rows, columns, (up > 0) & (up < top) & met, label, colours * np.float32(shade), z)

    def _rows(self, z: Reals, top: Reals) -> slice:
        """The rows between the ground and heights `top` at distances z."""
        camera = self.street.camera
        high = camera.v - camera.focal * float(((top - camera.height) / z).max())
        low = camera.v + camera.focal * camera.height / float(z.min())
        return slice(max(int(high * self.n), 0), min(int(low * self.n) + 1, self.n))

    def _things(self) -> None:
        """Paint all things at once: their faces are numbered in one picture, and the numbers looked up."""
        faces = [face for thing in self.street.things for face in thing.faces]
        # 32 bits, as a street may have more than 255 faces.
        numbers = Image.new("I", (self.n, self.n))
        draw = ImageDraw.Draw(numbers)
        for i, outline in enumerate(self._outlines([face.points for face in faces]), start=1):
            draw.polygon(outline, fill=i)
        # A face's label, distance, two kinds of grain, and colour; number 0 is where no thing is.
        table: list[tuple[float, ...]] = [(0.0,) * 7]
        for thing in self.street.things:
            palette = draw_palette(self.look, thing.faces[-1].label, self.light.lit > 0.3)
            for face in thing.faces:
                colour = (palette[face.part] * np.float32(face.tone)).tolist()
                table.append((face.label, thing.z, *_GRAIN.get(face.part, _SMOOTH), *colour))
        index = np.asarray(numbers)
        label, depth, grain, clump, *planes = (column.take(index) for column in np.array(table, np.float32).T.copy())
        tone = np.maximum(1 + grain * self.noise.white + clump * self.noise.fractal, 0.15)
        everywhere = slice(0, self.n)
        self._put(everywhere, everywhere, index > 0, label.astype(np.uint8), np.stack(planes) * tone, depth)

    def _outlines(self, polygons: list[Points]) -> list[list[float]]:
        """Canvas coordinates x, y, x, y, ... of polygons in metres."""
        points = np.array([point for polygon in polygons for point in polygon]).reshape(-1, 3)
        flat = (self.street.camera.project(points) * self.n - 0.5).ravel().tolist()
        stops = list(accumulate((2 * len(polygon) for polygon in polygons), initial=0))
        return [flat[start:stop] for start, stop in zip(stops, stops[1:], strict=False)]

    def _put(
        self,
        rows: slice,
        columns: slice,
        shown: NDArray[np.bool_],
        labels: int | NDArray[np.uint8],
        colours: Reals,
        z: Reals | float,
    ) -> None:
        np.copyto(self.labels[rows, columns], np.asarray(labels, np.uint8), where=shown)
        np.copyto(self.colours[:, rows, columns], colours, where=shown)
        np.copyto(self.depth[rows, columns], np.asarray(z, np.float32), where=shown)

    def _pick(self) -> NDArray[np.uint8]:
        """The label of most of the four points of each pixel."""
        first, second, third, fourth = (self.labels[row::2, column::2] for row in (0, 1) for column in (0, 1))
        first_wins = (first == second) | (first == third) | (first == fourth)
        second_wins = (second == third) | (second == fourth)
        return np.where(first_wins, first, np.where(second_wins, second, third))

    def _develop(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The photo: the canvas shrunk, with the light's colour, haze, and the sensor's noise."""
        light, size = self.light, self.n // _POINTS
        photo = np.zeros((3, size, size), np.float32)
        depth, total = np.zeros((2, size, size), np.float32)
        for row in (0, 1):
            for column in (0, 1):
                weight = (self.labels[row::2, column::2] == labels).astype(np.float32)
                photo += self.colours[:, row::2, column::2] * weight
                depth += self.depth[row::2, column::2] * weight
                total += weight
        photo /= total
        photo *= np.where(labels == SKY, np.float32(1), light.tint[:, None, None])
        # Haze by Koschmieder's law: with distance, the light of a thing gives way exponentially to that of the horizon.
        photo += (light.horizon[:, None, None] * np.float32(0.95) - photo) * (1 - np.exp(-depth / total * light.haze))
        photo += np.float32(0.012) * self.noise.white[:size, :size]
        return np.ascontiguousarray(np.moveaxis(np.clip(photo * 255, 0, 255).astype(np.uint8), 0, -1))


def _shadow(thing: Thing, sun: int) -> Points:
    """The dark ground below a thing, drawn away from the sun."""
    middle, half, length = thing.shadow
    angles = [step * math.pi / 7 for step in range(14)]
    return [
        (middle + half * (math.cos(angle) - 0.35 * sun), 0.0, thing.z + length * (0.5 + 0.55 * math.sin(angle)))
        for angle in angles
    ]
