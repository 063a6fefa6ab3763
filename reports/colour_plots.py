"""Drawings of colour distributions: one a channel of Lab, on a log scale, as the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from reports import colours, plots
from reports.colours import CHANNELS, Colours
from reports.layout import REAL
from reports.plots import GREY, Drawing, Stroke

_LEAST = 1e-6  # of all pixels; less is not told from nothing
_REAL = Stroke(GREY, "1.2 1.6")


def draw(shown: Colours, strokes: Mapping[str, Stroke]) -> list[Drawing]:
    """One drawing a channel; cells in their strokes, the targets dotted."""
    return [
        Drawing(
            f"lab-{name}",
            title,
            f"Share of pixels by {title}, on a log scale, one curve a cell",
            _svg(shown, name, strokes),
        )
        for name, title in CHANNELS.items()
    ]


def _svg(shown: Colours, channel: str, strokes: Mapping[str, Stroke]) -> str:
    def paint(axes: Axes) -> None:
        for cell, table in colours.curves(shown, channel).items():
            middle = (table["low"] + table["high"]) / 2
            some = table["share"].where(table["share"] >= _LEAST, np.nan)
            plots.line(axes, middle, some, _REAL if cell == REAL else strokes[cell], 1.8 if cell == REAL else 0.9)
        axes.set_yscale("log")
        plots.dress(axes, channel, "share of pixels")

    return plots.svg(paint, f"share of pixels by {channel}")
