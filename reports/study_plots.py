"""Plots of a study as SVG: fooling rates, learning, agreement with scores.

They use the colours of the loss curves, and have text alternatives. Cells' names are not parsed as TeX.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports import plots
from reports.correlation import ALL_CELLS, WITHIN_CELLS, Correlation, Points, RatesAndScores
from reports.plots import DASHES, GREY, Drawing, Stroke
from reports.store.analyses import StudyCell, StudyRecord, TrialBlock
from reports.store.bootstrap import Interval
from reports.store.metrics import ScorerInfo, describe, describe_scorer
from reports.store.names import counted, printable

CHANCE = 50.0
_MARKERS = dict(zip(DASHES, ("o", "s", "^"), strict=True))  # as dashes for lines, once colours repeat
_DOT = 2.5  # diameter in points of a dot that stands for one trial; the area is by trials
_LARGEST_DOT = 8.0
_MOST_DOTS = 4000  # more are rasterised, while text stays text
_BELOW = 1.0  # Matplotlib's z-order below lines
_LONGEST = 40  # characters of a cell's name on a drawing


def rates(study: StudyRecord, cells: Sequence[str], strokes: Mapping[str, Stroke]) -> Drawing:
    """Plot the cells' fooling rates with both intervals and chance.

    Args:
        study: A study of the grid, with at least one cell.
        cells: The grid's cells in the order of its tables; cells without ratings are left out.
        strokes: Line style of each cell.
    """
    shown = _in_order(study, cells)
    said = ", ".join(f"{cell.label} {_percents(cell.rate, cell.over_items)}" for cell in shown)
    alt = (
        f"Fooling rates of {counted(len(shown), 'cell')} with 95 % intervals over {study.over}, beside 50 % "
        f"at which fakes are indistinguishable from real images: {said}."
    )
    return _drawing(
        "rates",
        "Fooling rates, with 95 % intervals",
        alt,
        lambda axes: _paint_rates(axes, shown, strokes, study.over),
        (7.8, 0.75 + 0.34 * len(shown)),
    )


def learning(study: StudyRecord, cells: Sequence[str], strokes: Mapping[str, Stroke]) -> list[Drawing]:
    """Plot the learning curve of each cell's raters, to one scale.

    Args:
        study: A study of the grid.
        cells: The grid's cells in the order of its tables.
        strokes: Line style of each cell.
    """
    shown = [cell for cell in _in_order(study, cells) if cell.curve.blocks]
    ends = [block.interval.low for cell in shown for block in (*cell.curve.blocks, *cell.curve.practice)]
    lowest = min([40.0, *(10.0 * math.floor(end / 10) for end in ends)])
    return [_learning(cell, f"learning-{i:02}", _stroke(strokes, cell.cell), lowest) for i, cell in enumerate(shown)]


def scatter(
    comparison: RatesAndScores,
    correlations: Sequence[Correlation],
    strokes: Mapping[str, Stroke],
    scorer: ScorerInfo | None = None,
) -> Drawing:
    """Plot fooling rates against one automatic score, by item.

    Args:
        comparison: Rates and scores of a study.
        correlations: Results of `correlation.correlate` for it, among others.
        strokes: Line style of each cell.
        scorer: Description of the score's scorer; None for that by its name.
    """
    label, scorer = describe(comparison.metric).label, scorer or describe_scorer(comparison.scorer)
    count = sum(len(points.items) for points in comparison.points)
    by_cell = {
        each.cell: each for each in correlations if (each.scorer, each.metric) == (comparison.scorer, comparison.metric)
    }
    within, pooled = _rho(by_cell[WITHIN_CELLS]), _rho(by_cell[ALL_CELLS])
    several = len(comparison.points) > 1

    def paint(axes: Axes) -> None:
        _paint_scatter(axes, comparison.points, strokes)
        plots.dress(axes, label, "fooling rate, %")
        axes.margins(x=0.04)
        lines = [f"within cells: rho {within}", f"all cells: rho {pooled}"] if several else [f"rho {within}"]
        axes.set_title("\n".join(lines), loc="left", color=GREY, fontsize=8.5)

    alt = f"Fooling rate against {label} of {counted(count, 'output')} in {counted(len(comparison.points), 'cell')}: "
    if several:
        alt += f"Spearman's rho within cells is {within}; over all cells together, where differences between cells "
        alt += f"count too, it is {pooled}."
    else:
        alt += f"Spearman's rho is {within}."
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{comparison.scorer}-{comparison.metric}")
    return _drawing(
        name, f"{label} ({scorer.brief or scorer.title}) against fooling rate, by item", alt, paint, (3.9, 3.1)
    )


def _drawing(name: str, title: str, alt: str, paint: Callable[[Axes], None], size: tuple[float, float]) -> Drawing:
    with mpl.rc_context({"text.parse_math": False, "savefig.dpi": 150}), warnings.catch_warnings():
        # Names are measured with a font that may lack their script; the reader's own fonts have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        return Drawing(name, printable(title), printable(alt), plots.svg(paint, printable(title), size))


def _paint_rates(axes: Axes, shown: Sequence[StudyCell], strokes: Mapping[str, Stroke], over: str) -> None:
    axes.axvline(CHANCE, color=GREY, linewidth=1, dashes=(4, 3))
    for row, cell in enumerate(shown):
        stroke = _stroke(strokes, cell.cell)
        colour = stroke.colour
        axes.plot(cell.over_items, (row, row), color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot(cell.over_trials, (row, row), color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
        axes.plot([cell.rate], [row], marker=_marker(stroke), color=colour, markersize=6.5)
    plots.dress(axes, f"fooling rate, %: thin lines over {over}, thick over raters and trials", "")
    axes.set_yticks(range(len(shown)), [_label(cell.label) for cell in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)  # the first cell on top
    ends = [end for cell in shown for end in (cell.rate, cell.over_items.high, cell.over_trials.high)]
    highest = max(CHANCE, *(end for end in ends if not math.isnan(end)))
    axes.set_xlim(-0.015 * highest, min(101.5, 1.05 * highest))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=False, axis="y")


def _paint_scatter(axes: Axes, cells: Sequence[Points], strokes: Mapping[str, Stroke]) -> None:
    most = max(int(points.trials.max()) for points in cells)
    unit = min(_DOT, _LARGEST_DOT / math.sqrt(most))
    for points in cells:
        _dots(axes, points, _stroke(strokes, points.cell), unit)
    if sum(len(points.items) for points in cells) > _MOST_DOTS:
        axes.set_rasterization_zorder(_BELOW + 0.1)
    for points in cells:
        stroke = _stroke(strokes, points.cell)
        axes.plot(
            [points.values.mean()],
            [np.average(points.rates, weights=points.trials)],
            marker=_marker(stroke),
            color=stroke.colour,
            markersize=9,
            markerfacecolor="none",
            markeredgewidth=2,
        )
    axes.set_ylim(-4, 104)  # whole dots at 0 and 100 %
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _dots(axes: Axes, points: Points, stroke: Stroke, unit: float) -> None:
    """Plot one dot per item, its area by trials.

    All dots of one size are one call, which keeps the drawing small.
    """
    for trials in np.unique(points.trials)[::-1]:  # largest dots first, so that small ones stay visible
        of = points.trials == trials
        axes.plot(
            points.values[of],
            points.rates[of],
            linestyle="none",
            marker=_marker(stroke),
            markersize=unit * math.sqrt(trials),
            color=stroke.colour,
            alpha=0.4,
            markeredgewidth=0,
            zorder=_BELOW,
        )


def _learning(cell: StudyCell, name: str, stroke: Stroke, lowest: float) -> Drawing:
    first, last = cell.curve.blocks[0], cell.curve.blocks[-1]
    alt = f"{cell.label}: {counted(cell.raters, 'rater')} were right in {_block(first)}"
    alt += f" and in {_block(last)}." if last != first else "."
    title = f"{cell.label}: how often raters were right in the course of a session"
    return _drawing(name, title, alt, lambda axes: _paint_learning(axes, cell, stroke, lowest), (3.9, 2.5))


def _paint_learning(axes: Axes, cell: StudyCell, stroke: Stroke, lowest: float) -> None:
    colour, marker = stroke.colour, _marker(stroke)
    axes.axhline(CHANCE, color=GREY, linewidth=1, dashes=(4, 3))
    single = cell.curve.positions
    places, shares = [each.first for each in single], [each.correct for each in single]
    axes.plot(places, shares, ".", color=colour, alpha=0.35, markersize=3)
    _with_intervals(axes, cell.curve.blocks, colour, marker, shift=0)
    practised = max((block.last for block in cell.curve.practice), default=0)
    if practised:
        axes.axvline(0, color=GREY, linewidth=0.8)
        _with_intervals(axes, cell.curve.practice, colour, marker, shift=-practised - 0.5)
        below = axes.get_xaxis_transform()
        axes.text(-practised / 2, -0.03, "practice", color=GREY, ha="center", va="top", transform=below)
    plots.dress(axes, "scored trial", "right answers, %")
    axes.margins(x=0.05)
    axes.set_ylim(lowest, 101.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0f}" if x > 0 else "")


def _with_intervals(axes: Axes, blocks: Sequence[TrialBlock], colour: str, marker: str, shift: float) -> None:
    """Plot blocks with intervals, connected; practice (to the left) is hollow."""
    middles = [(block.first + block.last) / 2 + shift for block in blocks]
    axes.vlines(middles, [b.interval.low for b in blocks], [b.interval.high for b in blocks], colour, linewidth=1.2)
    axes.plot(
        middles,
        [block.correct for block in blocks],
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=0.9,
        alpha=0.6 if shift else 1,
        markerfacecolor="none" if shift else colour,
    )


def _in_order(study: StudyRecord, cells: Sequence[str]) -> list[StudyCell]:
    """The study's cells in the grid's order, unknown ones last."""
    order = {cell: i for i, cell in enumerate(cells)}
    return sorted(study.cells, key=lambda cell: (order.get(cell.cell, len(order)), cell.cell, cell.seed or 0))


def _stroke(strokes: Mapping[str, Stroke], cell: str) -> Stroke:
    """Line style of a cell; grey if unknown to the grid."""
    return strokes.get(cell, Stroke(GREY, ""))


def _label(name: str) -> str:
    """A cell's name, shortened to fit beside a plot."""
    plain = printable(name)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _marker(stroke: Stroke) -> str:
    return _MARKERS[stroke.dashes]


def _percents(value: float, interval: Interval) -> str:
    if not interval.known:
        return f"{value:.1f} % (no interval)"
    return f"{value:.1f} % ({interval.low:.1f} to {interval.high:.1f})"


def _rho(correlation: Correlation) -> str:
    if correlation.rho is None:
        return f"undefined, n = {correlation.n}"
    ends = correlation.interval
    between = f" ({_signed(ends.low)} to {_signed(ends.high)})" if ends else " (no interval)"
    return f"{_signed(correlation.rho)}{between}, n = {correlation.n}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _block(block: TrialBlock) -> str:
    return f"{_percents(block.correct, block.interval)} of trials {block.first} to {block.last}"
