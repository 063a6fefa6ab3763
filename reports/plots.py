"""Plots as SVG for light and dark pages: losses, colours, common style."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import histograms
from reports.histograms import CHANNELS, LabHistograms
from reports.run_states import LOSSES
from reports.store.layout import REAL

# Mid-tones of equal lightness and different hue, with a contrast of at least 3:1 to the white and the dark page.
PALETTE = ("#2f80d0", "#d9662b", "#2e9e6b", "#c0569b", "#9a7d0a", "#7a6fd6", "#d64550", "#1d98a8")
DASHES = ("", "5 2", "1.5 1.5")
GREY = "#7c7c7c"
_SIZE = re.compile(r'<svg [^>]*\bwidth="([\d.]+)pt" height="([\d.]+)pt"')
_SMOOTHING = 25  # the rolling mean is over 1 / 25 of the logged steps
_POINTS = 400  # the resolution at this width
_LEAST = 1e-6  # of all pixels; less would fall off the log scale


@dataclass(frozen=True)
class Stroke:
    """Line style of a cell: colour, and dashes once colours repeat."""

    colour: str
    dashes: str


@dataclass(frozen=True)
class Drawing:
    """A drawing as an SVG document.

    Attributes:
        name: Part of its file's name.
        title: Its heading.
        alt: Text alternative.
        svg: The document.
    """

    name: str
    title: str
    alt: str
    svg: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels; 4 of these are 3 points."""
        match = _SIZE.search(self.svg)
        assert match, "matplotlib writes both"
        width, height = (round(float(points) * 4 / 3) for points in match.groups())
        return width, height


@dataclass(frozen=True)
class PlotFile:
    """A drawing's file in the report's assets.

    Attributes:
        title: Its heading.
        alt: Text alternative.
        name: Its file, from the assets.
        width: CSS pixels; with both sizes known, the page does not move while the drawing loads.
        height: CSS pixels.
    """

    title: str
    alt: str
    name: str
    width: int
    height: int


def strokes(cells: Sequence[str]) -> dict[str, Stroke]:
    """Assign each cell a line style, the same in all drawings."""
    return {
        cell: Stroke(PALETTE[index % len(PALETTE)], DASHES[index // len(PALETTE) % len(DASHES)])
        for index, cell in enumerate(cells)
    }


def draw_losses(runs: Mapping[str, Sequence[pd.DataFrame]], strokes: Mapping[str, Stroke]) -> list[Drawing]:
    """Draw each loss that any run has, in the order of `LOSSES`.

    Args:
        runs: Loss tables of each cell, one per seed, as `run_states.read_losses` gives them.
        strokes: Line styles of those cells.

    Returns:
        The drawings, byte-identical for the same numbers.
    """
    drawings = []
    for loss, title in LOSSES.items():
        curves = {
            cell: [smooth(table, loss) for table in tables if loss in table and table[loss].notna().any()]
            for cell, tables in runs.items()
        }
        if any(curves.values()):
            drawings.append(
                Drawing(loss, title, f"{title}, by step, one curve per run", _losses(loss, curves, strokes))
            )
    return drawings


def smooth(table: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Rolling mean of one loss, thinned to what a drawing can resolve."""
    logged = table[["step", loss]].replace([math.inf, -math.inf], math.nan).dropna()
    window = max(1, len(logged) // _SMOOTHING)  # grows with the training, so curves look alike
    logged[loss] = logged[loss].rolling(window, min_periods=1, center=True).mean()
    return logged.iloc[:: max(1, len(logged) // _POINTS)]


def svg(paint: Callable[[Axes], None], title: str, size: tuple[float, float] = (3.9, 2.5)) -> str:
    """Draw one pair of axes as SVG, byte-identical for the same input.

    Args:
        paint: Draws on the axes.
        title: Of the document.
        size: Width and height in inches of 72 CSS points.
    """
    # A fixed salt for ids and no date make the bytes reproducible; text stays text, in the reader's own fonts.
    buffer = io.StringIO()
    with mpl.rc_context(
        {
            "svg.hashsalt": "p2pbench",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 8.5,
            "axes.unicode_minus": False,  # fonts of readers may lack the sign
        }
    ):
        dpi = mpl.rcParams["savefig.dpi"]
        figure = Figure(figsize=size, dpi=None if dpi == "figure" else dpi, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        # By itself savefig draws everything once without any output before it arranges it.
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        figure.set_layout_engine("none")  # not None, for which a user's matplotlibrc may name another
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Title": title}
        )  # for any page colour
    return buffer.getvalue()


def line(axes: Axes, x: pd.Series, y: pd.Series, stroke: Stroke, width: float = 0.9) -> None:
    """Draw one curve in its cell's style."""
    (drawn,) = axes.plot(x, y, color=stroke.colour, linewidth=width)
    if stroke.dashes:
        drawn.set_dashes(tuple(float(part) for part in stroke.dashes.split()))


def dress(axes: Axes, x: str, y: str) -> None:
    """Label the axes; set few ticks, a faint grid, and neutral colours."""
    axes.set_xlabel(x, color=GREY)
    axes.set_ylabel(y, color=GREY)
    axes.tick_params(which="both", colors=GREY, length=0)
    axes.grid(color=GREY, alpha=0.22, linewidth=0.6)
    axes.margins(x=0.01)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(GREY)


def _losses(loss: str, curves: Mapping[str, Sequence[pd.DataFrame]], strokes: Mapping[str, Stroke]) -> str:
    def paint(axes: Axes) -> None:
        for cell, tables in curves.items():
            for table in tables:
                line(axes, table["step"], table[loss], strokes[cell])
        dress(axes, "step", loss)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))

    return svg(paint, f"{loss} by step")


def write_drawings(drawings: Sequence[Drawing], folder: Path, prefix: str = "") -> tuple[PlotFile, ...]:
    """Write drawings into a folder of the assets."""
    files = []
    for drawing in drawings:
        name = f"{prefix}-{drawing.name}.svg" if prefix else f"{drawing.name}.svg"
        (folder / name).write_text(drawing.svg, "utf-8")
        files.append(PlotFile(drawing.title, drawing.alt, f"{folder.name}/{name}", *drawing.size))
    return tuple(files)


_REAL = Stroke(GREY, "1.2 1.6")


def draw_colours(shown: LabHistograms, strokes: Mapping[str, Stroke]) -> list[Drawing]:
    """Draw one plot per Lab channel, the targets dotted."""
    return [
        Drawing(
            f"lab-{name}",
            title,
            f"Share of pixels by {title}, on a log scale, one curve per cell",
            _svg(shown, name, strokes),
        )
        for name, title in CHANNELS.items()
    ]


def _svg(shown: LabHistograms, channel: str, strokes: Mapping[str, Stroke]) -> str:
    def paint(axes: Axes) -> None:
        for cell, table in histograms.curves(shown, channel).items():
            middle = (table["low"] + table["high"]) / 2
            some = table["share"].where(table["share"] >= _LEAST, np.nan)
            line(axes, middle, some, _REAL if cell == REAL else strokes[cell], 1.8 if cell == REAL else 0.9)
        axes.set_yscale("log")  # rare colours matter as well, see the paper's Figure 7
        dress(axes, channel, "share of pixels")

    return svg(paint, f"share of pixels by {channel}")
