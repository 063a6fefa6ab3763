"""Textures of a street scene.

All of it is random given the label map. Surfaces are colour planes (3, H, W) of float32, 0 to 1 in daylight; lit
windows exceed 1, and stay bright at dusk.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets.streets.colours import Light, colour, draw_leaf, hsv
from p2pbench.datasets.streets.things import Reals
from p2pbench.datasets.streets.walls import Crossing

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_CELLS = 64


class Noise(NamedTuple):
    """Lookup tables of noise, per cell and per pixel.

    One value per cell for stones, bricks and windows; white and fractal noise per pixel.
    """

    cells: Reals
    white: Reals
    fractal: Reals

    def at(self, row: Reals, column: Reals) -> Reals:
        """Value of the cell at (row, column)."""
        # The table repeats; as its side is a power of two, the mask is the remainder, for negative cells too.
        rows = np.floor(row).astype(np.int32) & (_CELLS - 1)
        columns = np.floor(column).astype(np.int32) & (_CELLS - 1)
        found: Reals = self.cells.take(rows * _CELLS + columns)
        return found

    def patches(self, row: Reals, column: Reals) -> Reals:
        """Fractal noise at world coordinates given as shares of its period."""
        size = len(self.fractal)
        rows = (row * size).astype(np.int32) & (size - 1)
        columns = (column * size).astype(np.int32) & (size - 1)
        found: Reals = self.fractal.ravel().take(rows * size + columns)
        return found

    def ground(self, rows: int) -> Reals:
        """White noise for the lowest rows of the picture."""
        return self.white[len(self.white) - rows :]


def draw_noise(rng: Generator, size: int) -> Noise:
    """Draw noise for a picture of size x size pixels.

    The size is a power of two.
    """
    # Noise of ever finer grain is added to the enlarged sum, each time weaker: clouds, patches and leaves have detail
    # at every scale.
    fractal = rng.random((4, 4), dtype=np.float32)
    strength = 1.0
    while len(fractal) < size:
        strength *= 0.57
        larger = Image.fromarray(fractal).resize((2 * len(fractal),) * 2, Image.Resampling.BILINEAR)
        fractal = np.asarray(larger) + strength * (rng.random(larger.size, dtype=np.float32) - 0.5)
    fractal = (fractal - fractal.mean()) / fractal.std()
    return Noise(rng.random(_CELLS**2, dtype=np.float32), rng.standard_normal((size, size), dtype=np.float32), fractal)


def sky(height: Reals, light: Light, noise: Noise) -> Reals:
    """Sky (3, R, N) at height (R,), horizon 0 to zenith 1."""
    size = len(noise.fractal)
    blue = np.sqrt(np.clip(height, 0, 1))[:, None]
    # Clouds lie in a plane overhead, so they are flatter and denser towards the horizon.
    row = ((0.35 / (height + 0.25)) * size).astype(np.int32)[:, None] % size
    column = np.arange(size)[None, :] // 2
    cover = np.clip((noise.fractal[row, column] + light.cloud - 0.7) * 0.75, 0, 0.9)
    relief = 1 - 0.16 * np.clip(noise.fractal[row - size // 24, column], -1, 1)
    white = 0.6 * light.horizon + 0.4 * light.tint.max()
    planes = np.empty((3, len(height), size), np.float32)
    for plane in range(3):
        clear = light.horizon[plane] * (1 - blue) + light.zenith[plane] * blue
        planes[plane] = clear + (white[plane] * relief - clear) * cover
    return planes


def road(x: Reals, z: Reals, half: float, crossing: Crossing, rng: Generator, noise: Noise) -> Reals:
    """Asphalt and its markings (3, R, N) at x (R, N), z (R, 1) metres.

    The road's edges are at x = -half and half.
    """
    base = colour(1.0, 1.0, 1.03) * rng.uniform(0.25, 0.43)
    grain = noise.ground(len(z))
    tone = 1 + 0.09 * grain + 0.07 * noise.patches(z / 23, x / 19)
    tone -= 0.1 * (np.abs(np.abs(np.abs(x) - half / 2) - 0.8) < 0.35)  # Tyre tracks.
    if rng.random() < 0.4:
        mended = noise.at(z / rng.uniform(3, 9), x / rng.uniform(1.5, 4)) > 0.82
        tone -= rng.uniform(0.1, 0.3) * mended
    paint = _markings(x, z, half, crossing, rng) * (rng.uniform(0.6, 1.0) * np.clip(1 + 0.25 * grain, 0, 1))
    coat = colour(0.88, 0.7, 0.2) if rng.random() < 0.25 else colour(0.88, 0.88, 0.86)
    planes = base[:, None, None] * tone
    planes += (coat[:, None, None] - planes) * paint
    return planes.astype(np.float32)


def _markings(x: Reals, z: Reals, half: float, crossing: Crossing, rng: Generator) -> Mask:
    """Draw the painted parts of the road (R, N): its middle, perhaps its edges, and a zebra."""
    style, period, filled = rng.random(), rng.uniform(4, 9), rng.uniform(0.35, 0.6)
    aside = np.abs(x)
    if style < 0.6:
        marks = (aside < 0.1) & ((z / period) % 1 < filled)
    elif style < 0.8:
        marks = (aside < 0.28) & (aside > 0.12)
    else:
        marks = aside < 0.1
    if rng.random() < 0.6:
        marks |= np.abs(aside - half + 0.35) < 0.08
    zebra, start = rng.random() < 0.3, rng.uniform(7, 16)
    if crossing:
        zebra, start = True, crossing[0] - 3.2
        marks &= (z < start - 0.8) | (z > crossing[1])
    if zebra:
        marks |= (z > start) & (z < start + 2.6) & ((x / 1.1) % 1 < 0.5) & (aside < half - 0.2)
    return marks


def paving(x: Reals, z: Reals, half: float, rng: Generator, noise: Noise) -> Reals:
    """Paving stones (3, R, N) at x (R, N), z (R, 1) metres.

    With the kerb of a road `half` metres to either side.
    """
    hue = float(rng.choice([0.07, 0.09, 0.02, 0.6]))
    base = hsv(hue + rng.normal(0, 0.01), rng.uniform(0.04, 0.26), rng.uniform(0.58, 0.8))
    row = z / rng.uniform(0.5, 1.3)
    column = x / rng.uniform(0.4, 0.9) + 0.5 * (np.floor(row) % 2)
    tone = 1 + rng.uniform(0.15, 0.4) * (noise.at(row, column) - 0.5) + 0.05 * noise.ground(len(z))
    # Joints narrower than a pixel would flicker, so they fade with the distance.
    tone -= np.clip(14 / z - 0.3, 0, 1) * 0.22 * ((row % 1 < 0.1) | (column % 1 < 0.1))
    tone += 0.06 * noise.patches(z / 17, x / 15)
    tone = np.where(np.abs(x) < half + 0.22, np.float32(1.18), tone)
    planes: Reals = base[:, None, None] * tone
    return planes


def grass(x: Reals, z: Reals, rng: Generator, noise: Noise) -> Reals:
    """Grass (3, R, N) at x (R, N), z (R, 1) metres."""
    base = hsv(rng.uniform(0.19, 0.29), rng.uniform(0.42, 0.68), rng.uniform(0.5, 0.66))
    dry = hsv(rng.uniform(0.12, 0.16), 0.45, 0.62)
    tone = 1 + 0.17 * noise.ground(len(z)) + 0.1 * noise.patches(z / 7, x / 5)
    share = np.clip(0.3 * noise.patches(z / 19, x / 16) + rng.uniform(-0.1, 0.3), 0, 0.8)
    planes: Reals = base[:, None, None] + (dry - base)[:, None, None] * share
    planes *= tone
    return planes


def _hsv_planes(hue: Reals, saturation: Reals, value: Reals) -> Reals:
    """Colours (3, m) of m hues, saturations and values."""
    angle = (np.array([[5.0], [3.0], [1.0]]) + 6 * hue) % 6
    planes: Reals = value * (1 - saturation * np.clip(np.minimum(angle, 4 - angle), 0, 1))
    return planes.astype(np.float32)


class Facades(NamedTuple):
    """Measures and paint of the m buildings of a wall.

    Colours are (3, m), the rest (m,), lengths in metres.
    """

    eaves: Reals
    wall: Reals
    trim: Reals
    roof: Reals
    storey: Reals
    bay: Reals
    wide: Reals
    high: Reals
    brick: Reals
    contrast: Reals
    shop: Mask


def draw_facades(rng: Generator, lengths: NDArray[np.floating], eaves: NDArray[np.floating]) -> Facades:
    """Facades for buildings of these lengths and heights in metres.

    Windows fill both without a remainder.
    """
    count = len(lengths)
    # Brick, plaster or anything.
    kind = rng.choice(3, count, p=[0.4, 0.35, 0.25])
    low = np.array([[0.0, 0.35, 0.35], [0.06, 0.1, 0.6], [0.0, 0.05, 0.4]])[kind]
    high = np.array([[0.05, 0.6, 0.62], [0.14, 0.4, 0.88], [1.0, 0.25, 0.8]])[kind]
    hue, saturation, value = (low + (high - low) * rng.random((count, 3))).T
    storey = eaves / np.maximum(np.round(eaves / rng.uniform(2.7, 3.6, count)), 1)
    bay = lengths / np.maximum(np.round(lengths / rng.uniform(1.9, 3.4, count)), 1)
    return Facades(
        eaves=eaves.astype(np.float32),
        wall=_hsv_planes(hue, saturation, value),
        trim=colour(1, 1, 0.97)[:, None] * rng.uniform(0.2, 0.95, count).astype(np.float32),
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


def facade(along: Reals, up: Reals, which: Indices, built: Facades, light: Light, noise: Noise) -> Reals:
    """Paint bricks, windows and roofs (3, R, C): along (C,), up (R, C) in metres.

    Which (C,) is a building's index.
    """
    eaves, brick = built.eaves[which], built.brick[which]
    storey, bay = built.storey[which], built.bay[which]
    row, floor, across = up / brick, up / storey, along / bay
    tone = 1 + built.contrast[which] * (noise.at(row, along / (2 * brick) + 0.5 * (np.floor(row) % 2)) - 0.5)
    tone *= 0.82 + 0.18 * np.clip(up / 2.5, 0, 1)
    ground = built.shop[which] & (up < storey)
    half = np.where(ground, 0.44, built.wide[which])
    inside_x = (half - np.abs(across % 1 - 0.5)) * bay
    inside_y = (np.where(ground, 0.38, built.high[which]) - np.abs(floor % 1 - 0.5)) * storey
    inside = np.where(up < eaves, np.minimum(inside_x, inside_y), -1.0)
    window, frame = inside > 0.0, np.abs(inside) < 0.09
    # One value a window; 11 a building keeps neighbours from having the same windows lit.
    chance = noise.at(floor + 11 * which, across)
    lit = chance > 1 - light.lit
    # Later digits of the same value serve as further random values, without another look-up.
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


def leaves(along: Reals, up: Reals, rng: Generator, noise: Noise) -> Reals:
    """Hedge or wood edge (3, R, C) along (C,), up (R, C) metres."""
    base = draw_leaf(rng)
    clump = noise.patches(up / 9 + 0.3, np.broadcast_to(along / 11, up.shape))
    leaf = noise.at(up / 0.17, along / 0.2) - 0.5
    tone = (0.62 + 0.2 * clump + 0.75 * leaf) * (0.75 + 0.3 * np.clip(up / 3, 0, 1))
    return base[:, None, None] * np.maximum(tone, 0.12)


def fence(along: Reals, up: Reals, height: Reals, rng: Generator, noise: Noise) -> Reals:
    """Fence before a dark hedge (3, R, C).

    Along, height (C,), up (R, C) metres.
    """
    if rng.random() < 0.7:
        wood = colour(0.95, 0.95, 0.92) * rng.uniform(0.88, 1.0)
    else:
        wood = hsv(rng.uniform(0.06, 0.1), rng.uniform(0.4, 0.6), rng.uniform(0.6, 0.8))
    place, share = along / rng.uniform(0.3, 0.5), up / height
    rail = (np.abs(share - 0.25) < 0.08) | (np.abs(share - 0.78) < 0.08)
    shown = rail | (place % 1 < rng.uniform(0.58, 0.72))
    tone = 0.85 + 0.3 * noise.at(np.zeros_like(place), place)
    dark = 0.6 + 0.8 * noise.at(up / 0.15, along / 0.2)
    hedge = colour(0.15, 0.19, 0.12)
    return np.stack([np.where(shown, wood[plane] * tone, hedge[plane] * dark) for plane in range(3)])
