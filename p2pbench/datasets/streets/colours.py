"""Colours of a street scene: light, paint, clothes and leaves.

Colours are float32 (3,), 0 to 1 in daylight; lamps exceed 1, and stay bright at dusk.
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from p2pbench.datasets.streets.things import CAR, PERSON, SIGN, VEGETATION, Reals

# Face, border and mark of traffic signs.
_WHITE, _RED, _BLUE = (0.95, 0.95, 0.95), (0.82, 0.06, 0.08), (0.05, 0.25, 0.75)
_YELLOW, _BLACK = (0.98, 0.78, 0.08), (0.08, 0.08, 0.08)
_SIGNS = (
    (_WHITE, _RED, _BLACK),
    (_RED, _WHITE, _WHITE),
    (_BLUE, _WHITE, _WHITE),
    (_YELLOW, _BLACK, _BLACK),
    (_YELLOW, _WHITE, _BLACK),
)


class Light(NamedTuple):
    """Light of a time of day: zenith, horizon, sun, effects.

    Colours are (3,).

    sun is -1 where it stands on the left, 1 on the right; shadow is how dark a shadow is, cloud how much of the sky is
    cloud, haze the share of light lost per metre, lit the share of windows with lamps on.
    """

    zenith: Reals
    horizon: Reals
    tint: Reals
    sun: int
    elevation: float
    shadow: float
    cloud: float
    haze: float
    lit: float


def colour(red: float, green: float, blue: float) -> Reals:
    """A colour (3,) from its red, green and blue."""
    return np.array((red, green, blue), np.float32)


def hsv(hue: float, saturation: float, value: float) -> Reals:
    """Colour (3,) from hue, saturation and value, 0 to 1.

    Whole turns of the hue count for nothing.
    """
    return colour(*colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def draw_light(rng: Generator) -> Light:
    """Draw the light of a time and weather.

    A clear day, an overcast one, a golden hour or dusk.
    """
    sun = int(rng.choice([-1, 1]))
    kind = rng.random()
    if kind < 0.42:
        return Light(
            zenith=hsv(rng.uniform(0.55, 0.61), rng.uniform(0.5, 0.75), rng.uniform(0.7, 0.92)),
            horizon=colour(0.8, 0.88, 0.95),
            tint=colour(1.06, 1.02, 0.95) * rng.uniform(0.92, 1.15),
            sun=sun,
            elevation=rng.uniform(0.7, 1.6),
            shadow=0.4,
            cloud=rng.uniform(-0.4, 1.0),
            haze=rng.uniform(0.001, 0.005),
            lit=0.03,
        )
    if kind < 0.66:
        grey = rng.uniform(0.62, 0.86)
        return Light(
            zenith=colour(0.94, 0.98, 1.05) * grey * 0.88,
            horizon=colour(1, 1, 1) * grey * 1.05,
            tint=colour(0.92, 0.96, 1.0) * rng.uniform(0.8, 1.0),
            sun=sun,
            elevation=1.0,
            shadow=0.08,
            cloud=rng.uniform(0.3, 1.2),
            haze=rng.uniform(0.003, 0.01),
            lit=0.1,
        )
    if kind < 0.89:
        return Light(
            zenith=hsv(rng.uniform(0.56, 0.66), 0.4, 0.68),
            horizon=hsv(rng.uniform(0.04, 0.11), rng.uniform(0.3, 0.55), 0.98),
            tint=colour(1.13, 0.98, 0.8) * rng.uniform(0.86, 1.06),
            sun=sun,
            elevation=rng.uniform(0.3, 0.7),
            shadow=0.42,
            cloud=rng.uniform(0.0, 1.0),
            haze=rng.uniform(0.002, 0.007),
            lit=0.13,
        )
    return Light(
        zenith=hsv(rng.uniform(0.6, 0.72), 0.5, 0.36),
        horizon=hsv(rng.uniform(0.9, 1.08), rng.uniform(0.25, 0.45), 0.72),
        tint=colour(0.76, 0.73, 0.87) * rng.uniform(0.88, 1.06),
        sun=sun,
        elevation=0.5,
        shadow=0.1,
        cloud=rng.uniform(0.0, 1.0),
        haze=rng.uniform(0.002, 0.007),
        lit=0.5,
    )


def draw_leaf(rng: Generator) -> Reals:
    """Draw the colour of a plant's leaves."""
    if rng.random() < 0.86:
        return hsv(rng.uniform(0.22, 0.36), rng.uniform(0.45, 0.75), rng.uniform(0.32, 0.52))
    # Autumn.
    return hsv(rng.uniform(0.03, 0.15), rng.uniform(0.6, 0.85), rng.uniform(0.55, 0.75))


def draw_palette(rng: Generator, label: int, dusk: bool) -> dict[str, Reals]:
    """Draw the colours (3,) of a thing, by its label."""
    if label == CAR:
        return _car_palette(rng, 1.5 if dusk else 1.0)
    if label == PERSON:
        return _person_palette(rng)
    if label == VEGETATION:
        return {"leaf": draw_leaf(rng) * 1.1, "bark": hsv(0.07, 0.4, rng.uniform(0.2, 0.38))}
    metal = {"metal": hsv(0.5, rng.uniform(0, 0.2), rng.uniform(0.14, 0.34))}
    if label == SIGN:
        face, border, mark = _SIGNS[int(rng.integers(len(_SIGNS)))]
        return metal | {"face": colour(*face), "border": colour(*border), "mark": colour(*mark)}
    return metal | {"lamp": colour(1.0, 0.95, 0.75) * (1.6 if dusk else 0.95)}


def _car_palette(rng: Generator, glow: float) -> dict[str, Reals]:
    if rng.random() < 0.5:
        paint = hsv(rng.random(), rng.uniform(0.6, 0.9), rng.uniform(0.45, 0.85))
    else:
        paint = colour(1, 1, 1.02) * float(rng.choice([0.1, 0.3, 0.6, 0.92]))
    return {
        "paint": paint,
        "glass": colour(0.14, 0.17, 0.21) * rng.uniform(0.6, 1.6),
        "trim": colour(0.09, 0.09, 0.1),
        "plate": colour(0.9, 0.88, 0.75),
        "tyre": colour(0.06, 0.06, 0.065),
        "rim": colour(0.6, 0.6, 0.63) * rng.uniform(0.5, 1.1),
        "headlamp": colour(1.0, 0.98, 0.85) * glow,
        "taillamp": colour(0.85, 0.06, 0.06) * glow,
    }


def _person_palette(rng: Generator) -> dict[str, Reals]:
    return {
        "skin": colour(0.93, 0.72, 0.58) * rng.uniform(0.4, 1.0),
        "hair": hsv(rng.uniform(0.04, 0.12), rng.uniform(0.3, 0.7), rng.uniform(0.06, 0.6)),
        "top": hsv(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.45, 0.95)),
        "legs": hsv(rng.choice([0.6, 0.62, 0.08]), rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.5)),
        "shoe": colour(0.15, 0.12, 0.1),
        "bag": hsv(rng.random(), 0.7, rng.uniform(0.3, 0.8)),
    }
