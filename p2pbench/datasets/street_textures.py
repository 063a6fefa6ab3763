"""What the surfaces of a street look like: light, noise, sky, ground, facades, leaves, fences and the colours of things.

Everything here is random given the label map. Colours are planes (3, H, W) of float32, 0 to 1 in daylight; lamps and
lit windows exceed 1, and stay bright at dusk.
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets.street_things import CAR, PERSON, SIGN, VEGETATION

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

_CELLS = 64


class Light(NamedTuple):
    """The time of day: colours (3,) of the zenith, the horizon and the light, and what they do to the street.

    sun is -1 where it stands on the left, 1 on the right; shadow is how dark a shadow is, cloud how much of the sky is
    cloud, haze the share of light lost a metre, lit the share of windows with lamps on.
    """

    zenith: Array
    horizon: Array
    tint: Array
    sun: int
    elevation: float
    shadow: float
    cloud: float
    haze: float
    lit: float


class Noise(NamedTuple):
    """Randomness to look up: one value a cell for stones, bricks and windows; white and fractal noise a pixel."""

    cells: Array
    white: Array
    fractal: Array

    def at(self, row: NDArray[np.floating], column: NDArray[np.floating]) -> Array:
        """The value of the cell at (row, column), the same for all points of a cell."""
        rows = np.floor(row).astype(np.int32) & (_CELLS - 1)
        columns = np.floor(column).astype(np.int32) & (_CELLS - 1)
        return self.cells.take(rows * _CELLS + columns)

    def patches(self, row: NDArray[np.floating], column: NDArray[np.floating]) -> Array:
        """Fractal noise at world coordinates given as shares of its period."""
        size = len(self.fractal)
        rows = (row * size).astype(np.int32) & (size - 1)
        columns = (column * size).astype(np.int32) & (size - 1)
        return self.fractal.ravel().take(rows * size + columns)


def draw_noise(rng: Generator, size: int) -> Noise:
    """Noise for a picture of size x size pixels, a power of two."""
    fractal = rng.random((4, 4), dtype=np.float32)
    strength = 1.0
    while len(fractal) < size:
        strength *= 0.57
        larger = Image.fromarray(fractal).resize((2 * len(fractal),) * 2, Image.Resampling.BILINEAR)
        fractal = np.asarray(larger) + strength * (rng.random(larger.size, dtype=np.float32) - 0.5)
    fractal = (fractal - fractal.mean()) / fractal.std()
    return Noise(rng.random(_CELLS**2, dtype=np.float32), rng.standard_normal((size, size), dtype=np.float32), fractal)


def _colour(*values: float) -> Array:
    return np.array(values, np.float32)


def _hsv(hue: float, saturation: float, value: float) -> Array:
    return _colour(*colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)))


def _hsv_planes(hue: Values, saturation: Values, value: Values) -> Array:
    """Colours (3, m) of m hues, saturations and values."""
    angle = (np.array([[5.0], [3.0], [1.0]]) + 6 * hue) % 6
    return (value * (1 - saturation * np.clip(np.minimum(angle, 4 - angle), 0, 1))).astype(np.float32)


def draw_light(rng: Generator) -> Light:
    """A clear day, an overcast one, a golden hour or dusk."""
    sun = int(rng.choice([-1, 1]))
    kind = str(rng.choice(["clear", "overcast", "golden", "dusk"], p=[0.42, 0.24, 0.22, 0.12]))
    if kind == "clear":
        zenith, horizon = _hsv(rng.uniform(0.55, 0.61), rng.uniform(0.5, 0.75), rng.uniform(0.7, 0.92)), _colour(0.8, 0.88, 0.95)
        tint = _colour(1.06, 1.02, 0.95) * rng.uniform(0.92, 1.15)
        return Light(zenith, horizon, tint, sun, rng.uniform(0.7, 1.6), 0.45, rng.uniform(-0.4, 1.0), rng.uniform(0.001, 0.005), 0.03)
    if kind == "overcast":
        grey = rng.uniform(0.62, 0.86)
        zenith, horizon = _colour(0.94, 0.98, 1.05) * grey * 0.88, _colour(1, 1, 1) * grey * 1.05
        tint = _colour(0.92, 0.96, 1.0) * rng.uniform(0.78, 1.0)
        return Light(zenith, horizon, tint, sun, 1.0, 0.08, rng.uniform(0.3, 1.2), rng.uniform(0.004, 0.014), 0.12)
    if kind == "golden":
        zenith, horizon = _hsv(rng.uniform(0.56, 0.66), 0.4, 0.68), _hsv(rng.uniform(0.04, 0.11), rng.uniform(0.3, 0.55), 0.98)
        tint = _colour(1.12, 0.95, 0.74) * rng.uniform(0.82, 1.02)
        return Light(zenith, horizon, tint, sun, rng.uniform(0.3, 0.7), 0.5, rng.uniform(0, 1.0), rng.uniform(0.003, 0.009), 0.15)
    zenith, horizon = _hsv(rng.uniform(0.6, 0.72), 0.5, 0.36), _hsv(rng.uniform(0.9, 1.08), rng.uniform(0.25, 0.45), 0.72)
    tint = _colour(0.72, 0.69, 0.84) * rng.uniform(0.85, 1.05)
    return Light(zenith, horizon, tint, sun, 0.5, 0.1, rng.uniform(0, 1.0), rng.uniform(0.003, 0.009), 0.5)


def sky(height: Array, light: Light, noise: Noise) -> Array:
    """The sky (3, R, N): height (R,) is 0 at the horizon and 1 at the zenith."""
    rows, size = len(height), len(noise.fractal)
    blue = np.sqrt(np.clip(height, 0, 1))[None, :, None]
    planes = light.horizon[:, None, None] * (1 - blue) + light.zenith[:, None, None] * blue
    # Clouds lie in a plane overhead, so they are flatter and denser towards the horizon.
    row = ((0.35 / (height + 0.25)) * size).astype(np.int32) % size
    cloud = noise.fractal[row[:, None], np.arange(size)[None, :] // 2]
    cover = np.clip((cloud + light.cloud - 0.7) * 0.75, 0, 0.9)
    white = 0.6 * light.horizon + 0.4 * light.tint.max()
    relief = 1 - 0.16 * np.clip(noise.fractal[row[:, None] - size // 24, np.arange(size)[None, :] // 2], -1, 1)
    planes = planes + (white[:, None, None] * relief - planes) * cover
    return np.broadcast_to(planes, (3, rows, size)).astype(np.float32)


def road(x: Array, z: Array, half: float, crossing: tuple[float, float] | None, rng: Generator, noise: Noise) -> Array:
    """Asphalt and its markings (3, R, N) at x (R, N), z (R, 1) metres."""
    base = _colour(1.0, 1.0, 1.03) * rng.uniform(0.27, 0.46)
    tone = 1 + 0.09 * noise.white[-len(z) :] + 0.07 * noise.patches(z / 23, x / 19)
    tone -= 0.1 * (np.abs(np.abs(np.abs(x) - half / 2) - 0.8) < 0.35)
    if rng.random() < 0.4:
        tone -= rng.uniform(0.1, 0.3) * (noise.at(z / rng.uniform(3, 9), x / rng.uniform(1.5, 4)) > 0.82)
    paint = _markings(x, z, half, crossing, rng) * rng.uniform(0.6, 1.0) * np.clip(1 + 0.25 * noise.white[-len(z) :], 0, 1)
    yellow = rng.random() < 0.25
    colour = _colour(0.88, 0.7, 0.2) if yellow else _colour(0.88, 0.88, 0.86)
    planes = base[:, None, None] * tone
    return (planes + (colour[:, None, None] - planes) * paint).astype(np.float32)


def _markings(x: Array, z: Array, half: float, crossing: tuple[float, float] | None, rng: Generator) -> Array:
    """Share of marking paint (R, N)."""
    middle = np.abs(x) < 0.1
    period, filled = rng.uniform(4, 9), rng.uniform(0.35, 0.6)
    style = rng.random()
    if style < 0.6:
        middle = middle & ((z / period) % 1 < filled)
    elif style < 0.8:
        middle = (np.abs(x) < 0.28) & (np.abs(x) > 0.12)
    marks = middle
    if rng.random() < 0.6:
        marks = marks | (np.abs(np.abs(x) - half + 0.35) < 0.08)
    if crossing:
        start, stop = crossing
        marks = marks & ((z < start - 4) | (z > stop))
        stripes = (z > start - 3.2) & (z < start - 0.6) & ((x / 1.1) % 1 < 0.5) & (np.abs(x) < half - 0.2)
        marks = marks | stripes
    elif rng.random() < 0.3:
        start = rng.uniform(7, 16)
        marks = marks | ((z > start) & (z < start + 2.8) & ((x / 1.1) % 1 < 0.5) & (np.abs(x) < half - 0.2))
    return marks.astype(np.float32)


def paving(x: Array, z: Array, kerb: Array, rng: Generator, noise: Noise) -> Array:
    """Paving stones (3, R, N) at x (R, N), z (R, 1) metres; kerb (R, N) is the distance from the road."""
    base = _hsv(rng.choice([0.07, 0.09, 0.02, 0.6]) + rng.normal(0, 0.01), rng.uniform(0.03, 0.26), rng.uniform(0.52, 0.74))
    long, wide = rng.uniform(0.5, 1.3), rng.uniform(0.4, 0.9)
    row = z / long
    column = x / wide + 0.5 * (np.floor(row) % 2)
    tone = 1 + rng.uniform(0.15, 0.4) * (noise.at(row, column) - 0.5) + 0.05 * noise.white[-len(z) :]
    # Joints narrower than a pixel would flicker, so they fade with the distance.
    joint = np.clip(14 / z - 0.3, 0, 1) * 0.22
    tone -= joint * ((row % 1 < 0.1) | (column % 1 < 0.1))
    tone += 0.06 * noise.patches(z / 17, x / 15)
    tone = np.where(kerb < 0.22, 1.18, tone)
    return (base[:, None, None] * tone).astype(np.float32)


def grass(x: Array, z: Array, rng: Generator, noise: Noise) -> Array:
    """Grass (3, R, N) at x (R, N), z (R, 1) metres."""
    base = _hsv(rng.uniform(0.19, 0.29), rng.uniform(0.42, 0.68), rng.uniform(0.5, 0.66))
    dry = _hsv(rng.uniform(0.12, 0.16), 0.45, 0.62)
    tone = 1 + 0.17 * noise.white[-len(z) :] + 0.1 * noise.patches(z / 7, x / 5)
    share = np.clip(0.3 * noise.patches(z / 19, x / 16) + rng.uniform(-0.1, 0.3), 0, 0.8)
    planes = base[:, None, None] + (dry - base)[:, None, None] * share
    return (planes * tone).astype(np.float32)


class Facades(NamedTuple):
    """How each of m buildings of a wall is built and painted: colours (3, m), the rest (m,)."""

    wall: Array
    trim: Array
    roof: Array
    storey: Array
    bay: Array
    wide: Array
    high: Array
    brick: Array
    contrast: Array
    shop: Mask


def draw_facades(rng: Generator, lengths: NDArray[np.floating], eaves: NDArray[np.floating]) -> Facades:
    """Facades for buildings of these lengths and heights in metres; windows fill both without a remainder."""
    count = len(lengths)
    # Brick, plaster or anything.
    kind = rng.choice(3, count, p=[0.4, 0.35, 0.25])
    low = np.array([[0.0, 0.35, 0.35], [0.06, 0.1, 0.6], [0.0, 0.05, 0.4]])[kind]
    high = np.array([[0.05, 0.6, 0.62], [0.14, 0.4, 0.88], [1.0, 0.25, 0.8]])[kind]
    hue, saturation, value = (low + (high - low) * rng.random((count, 3))).T
    storey = eaves / np.maximum(np.round(eaves / rng.uniform(2.7, 3.6, count)), 1)
    bay = lengths / np.maximum(np.round(lengths / rng.uniform(1.9, 3.4, count)), 1)
    return Facades(
        wall=_hsv_planes(hue, saturation, value),
        trim=_colour(1, 1, 0.97)[:, None] * rng.uniform(0.2, 0.95, count).astype(np.float32),
        roof=_hsv_planes(
            rng.choice([0.02, 0.04, 0.6], count), rng.uniform(0.1, 0.5, count), rng.uniform(0.28, 0.5, count)
        ),
        storey=np.maximum(storey, 1).astype(np.float32),
        bay=np.maximum(bay, 0.5).astype(np.float32),
        wide=rng.uniform(0.2, 0.36, count).astype(np.float32),
        high=rng.uniform(0.24, 0.36, count).astype(np.float32),
        brick=rng.uniform(0.22, 0.5, count).astype(np.float32),
        contrast=rng.uniform(0.15, 0.6, count).astype(np.float32),
        shop=(rng.random(count) < 0.3) & (eaves > 6),
    )


def facade(along: Array, up: Array, eaves: Array, which: Indices, built: Facades, light: Light, noise: Noise) -> Array:
    """Bricks, windows and roofs (3, R, C): along, eaves, which are (C,), up is (R, C), all but which in metres."""
    brick, storey, bay = built.brick[which], built.storey[which], built.bay[which]
    row, floor, across = up / brick, up / storey, along / bay
    tone = 1 + built.contrast[which] * (noise.at(row, along / (2 * brick) + 0.5 * (np.floor(row) % 2)) - 0.5)
    tone *= 0.82 + 0.18 * np.clip(up / 2.5, 0, 1)
    ground = built.shop[which] & (up < storey)
    half = np.where(ground, 0.44, built.wide[which])
    inside_x = (half - np.abs(across % 1 - 0.5)) * bay
    inside_y = (np.where(ground, 0.38, built.high[which]) - np.abs(floor % 1 - 0.5)) * storey
    inside = np.where(up < eaves, np.minimum(inside_x, inside_y), -1.0)
    window, frame = inside > 0.0, np.abs(inside) < 0.09
    chance = noise.at(floor + 11 * which, across)
    lit = chance > 1 - light.lit
    glow = 0.7 + 0.6 * np.abs(chance * 37 % 1 - 0.5)
    glass = (0.12 + 0.35 * (chance * 13 % 1)) * (0.8 + 0.4 * (floor % 1))
    cornice = (up > eaves - 0.35) & (up < eaves)
    roof = up > eaves
    tiles = 0.8 + 0.4 * noise.at(up / 0.4 + 5, along / 0.5)
    planes = np.empty((3, *up.shape), np.float32)
    for plane, lamp in enumerate((1.45, 1.12, 0.6)):
        wall, trim = built.wall[plane][which], built.trim[plane][which]
        pane = np.where(lit, lamp * glow, glass * (0.5 + 0.5 * light.zenith[plane]))
        shown = np.where(window, pane, wall * tone)
        shown = np.where(frame | cornice, trim, shown)
        planes[plane] = np.where(roof, built.roof[plane][which] * tiles, shown)
    return planes


def leaves(along: Array, up: Array, rng: Generator, noise: Noise) -> Array:
    """A hedge or the edge of a wood (3, R, C): along (C,), up (R, C) metres."""
    base = draw_leaf(rng)
    clump = noise.patches(up / 9 + 0.3, np.broadcast_to(along / 11, up.shape))
    leaf = noise.at(up / 0.17, along / 0.2) - 0.5
    tone = (0.62 + 0.2 * clump + 0.75 * leaf) * (0.75 + 0.3 * np.clip(up / 3, 0, 1))
    return (base[:, None, None] * np.maximum(tone, 0.12)).astype(np.float32)


def fence(along: Array, up: Array, height: Array, rng: Generator, noise: Noise) -> Array:
    """Pickets and rails before a dark hedge (3, R, C): along, height (C,), up (R, C) metres."""
    wood = (
        _colour(0.92, 0.92, 0.9) * rng.uniform(0.85, 1.0)
        if rng.random() < 0.6
        else _hsv(rng.uniform(0.06, 0.1), rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.75))
    )
    pitch = rng.uniform(0.3, 0.5)
    share = up / height
    picket = np.broadcast_to((along / pitch) % 1 < rng.uniform(0.5, 0.68), up.shape)
    rail = (np.abs(share - 0.25) < 0.07) | (np.abs(share - 0.78) < 0.07)
    tone = 0.85 + 0.3 * noise.at(np.zeros_like(along), along / pitch)
    behind = _colour(0.15, 0.19, 0.12) * (0.6 + 0.8 * noise.at(up / 0.15, along / 0.2))[..., None]
    shown = np.where((picket | rail)[..., None], wood * tone[:, None], behind)
    return np.moveaxis(shown, -1, 0).astype(np.float32)


def draw_leaf(rng: Generator) -> Array:
    """The colour of a plant's leaves."""
    kind = rng.random()
    if kind < 0.8:
        return _hsv(rng.uniform(0.22, 0.36), rng.uniform(0.45, 0.75), rng.uniform(0.32, 0.52))
    return _hsv(rng.uniform(0.03, 0.15), rng.uniform(0.6, 0.85), rng.uniform(0.55, 0.75))


def draw_palette(rng: Generator, label: int, dusk: bool) -> dict[str, Array]:
    """The colour (3,) of every part of a thing whose nearest face has this label."""
    if label == CAR:
        return _car_palette(rng, 1.5 if dusk else 1.0)
    if label == PERSON:
        return _person_palette(rng)
    if label == VEGETATION:
        return {"leaf": draw_leaf(rng) * 1.1, "bark": _hsv(0.07, 0.4, rng.uniform(0.2, 0.38))}
    metal = {"metal": _hsv(0.5, rng.uniform(0, 0.2), rng.uniform(0.14, 0.34))}
    if label == SIGN:
        return metal | dict(zip(("face", "border", "mark"), _SIGNS[int(rng.integers(len(_SIGNS)))], strict=True))
    return metal | {"lamp": _colour(1.0, 0.95, 0.75) * (1.6 if dusk else 0.95)}


def _car_palette(rng: Generator, glow: float) -> dict[str, Array]:
    if rng.random() < 0.5:
        paint = _hsv(rng.random(), rng.uniform(0.6, 0.9), rng.uniform(0.45, 0.85))
    else:
        paint = _colour(1, 1, 1.02) * float(rng.choice([0.1, 0.3, 0.6, 0.92]))
    return {
        "paint": paint,
        "glass": _colour(0.14, 0.17, 0.21) * rng.uniform(0.6, 1.6),
        "trim": _colour(0.09, 0.09, 0.1),
        "plate": _colour(0.9, 0.88, 0.75),
        "tyre": _colour(0.06, 0.06, 0.065),
        "rim": _colour(0.6, 0.6, 0.63) * rng.uniform(0.5, 1.1),
        "headlamp": _colour(1.0, 0.98, 0.85) * glow,
        "taillamp": _colour(0.85, 0.06, 0.06) * glow,
    }


def _person_palette(rng: Generator) -> dict[str, Array]:
    return {
        "skin": _colour(0.93, 0.72, 0.58) * rng.uniform(0.4, 1.0),
        "hair": _hsv(rng.uniform(0.04, 0.12), rng.uniform(0.3, 0.7), rng.uniform(0.06, 0.6)),
        "top": _hsv(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.45, 0.95)),
        "legs": _hsv(rng.choice([0.6, 0.62, 0.08]), rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.5)),
        "shoe": _colour(0.15, 0.12, 0.1),
        "bag": _hsv(rng.random(), 0.7, rng.uniform(0.3, 0.8)),
    }


_WHITE, _RED, _BLUE, _YELLOW, _BLACK = (
    _colour(0.95, 0.95, 0.95),
    _colour(0.82, 0.06, 0.08),
    _colour(0.05, 0.25, 0.75),
    _colour(0.98, 0.78, 0.08),
    _colour(0.08, 0.08, 0.08),
)
_SIGNS = (
    (_WHITE, _RED, _BLACK),
    (_RED, _WHITE, _WHITE),
    (_BLUE, _WHITE, _WHITE),
    (_YELLOW, _BLACK, _BLACK),
    (_YELLOW, _WHITE, _BLACK),
)
