"""Loss curves as SVG, one drawing a loss, that read on white and on black."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.losses import LOSSES

# Mid-tones of even lightness, apart in hue: each keeps a contrast of 3:1 and more with white and with the dark page.
PALETTE = ("#2f80d0", "#d9662b", "#2e9e6b", "#c0569b", "#9a7d0a", "#7a6fd6", "#d64550", "#1d98a8")
DASHES = ("", "5 2", "1.5 1.5")
_GREY = "#7c7c7c"
_SMOOTHING = 25  # a rolling mean over one part in so many of the logged steps
_POINTS = 400  # more cannot be told apart at this width


@dataclass(frozen=True)
class Stroke:
    """How the curves of one cell are drawn: a colour, and dashes (SVG's stroke-dasharray) once colours run out."""

    colour: str
    dashes: str


@dataclass(frozen=True)
class Drawing:
    """The curves of one loss, an SVG document."""

    loss: str
    title: str
    svg: str


def strokes(cells: Sequence[str]) -> dict[str, Stroke]:
    """A stroke for each cell; a cell keeps its own in every drawing of a grid."""
    return {
        cell: Stroke(PALETTE[index % len(PALETTE)], DASHES[index // len(PALETTE) % len(DASHES)])
        for index, cell in enumerate(cells)
    }


def draw(runs: Mapping[str, Sequence[pd.DataFrame]], strokes: Mapping[str, Stroke]) -> list[Drawing]:
    """One drawing for each loss that any run has, in the order of `LOSSES`.

    Args:
        runs: The loss tables of each cell, one a seed, as `losses.read` gives them.
        strokes: How to draw each of those cells.

    Returns:
        The drawings, the same bytes for the same numbers.
    """
    drawings = []
    for loss, title in LOSSES.items():
        curves = {
            cell: [smooth(table, loss) for table in tables if loss in table and table[loss].notna().any()]
            for cell, tables in runs.items()
        }
        if any(curves.values()):
            drawings.append(Drawing(loss, title, _svg(loss, curves, strokes)))
    return drawings


def smooth(table: pd.DataFrame, loss: str) -> pd.DataFrame:
    """The rolling mean of one loss, thinned to what a drawing can show, with the columns step and `loss`."""
    logged = table[["step", loss]].replace([math.inf, -math.inf], math.nan).dropna()
    window = max(1, len(logged) // _SMOOTHING)
    logged[loss] = logged[loss].rolling(window, min_periods=1, center=True).mean()
    return logged.iloc[:: max(1, len(logged) // _POINTS)]


def _svg(loss: str, curves: Mapping[str, Sequence[pd.DataFrame]], strokes: Mapping[str, Stroke]) -> str:
    buffer = io.StringIO()
    with mpl.rc_context(
        {
            "svg.hashsalt": "p2pbench",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 8.5,
            "axes.unicode_minus": False,
        }
    ):
        figure = Figure(figsize=(3.9, 2.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for cell, tables in curves.items():
            stroke = strokes[cell]
            dashes = tuple(float(part) for part in stroke.dashes.split())
            for table in tables:
                (line,) = axes.plot(table["step"], table[loss], color=stroke.colour, linewidth=0.9)
                if dashes:
                    line.set_dashes(dashes)
        _dress(axes, loss)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Title": f"{loss} by step"})
    return buffer.getvalue()


def _dress(axes: Axes, loss: str) -> None:
    axes.set_xlabel("step", color=_GREY)
    axes.set_ylabel(loss, color=_GREY)
    axes.tick_params(colors=_GREY, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=_GREY, alpha=0.22, linewidth=0.6)
    axes.margins(x=0.01)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(_GREY)
