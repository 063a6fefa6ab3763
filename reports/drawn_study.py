"""A study with raters as a part of a grid's section: its drawings and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reports import correlation, csv, study_plots
from reports.correlation import WITHIN_CELLS, Comparison, Correlation
from reports.page import Section
from reports.plots import Drawing, ReportFigure, Stroke, figures
from reports.store.layout import Report
from reports.store.studies import Study


@dataclass(frozen=True, eq=False)
class DrawnStudy:
    """A study with the files that were written for it; all paths are as the page writes them.

    Attributes:
        study: What came out of it.
        anchor: Its place in the page.
        rates: Fooling rates with both intervals.
        learning: The learning curve of each cell's raters.
        scatters: Raters against each automatic score.
        within: The rank correlation within cells with each of those scores, the strongest first.
        clustered: Which clusters the scored items are of, such as "3 clusters of items (cities)"; empty of items alone.
        csv: The rates and learning curves.
        correlations_csv: All correlations; empty where there are none.
    """

    study: Study
    anchor: str
    rates: tuple[ReportFigure, ...]
    learning: tuple[ReportFigure, ...]
    scatters: tuple[ReportFigure, ...]
    within: tuple[Correlation, ...]
    clustered: str
    csv: str
    correlations_csv: str


def draw(
    section: Section, anchor: str, strokes: Mapping[str, Stroke], report: Report, folder: Path
) -> list[DrawnStudy]:
    """Write the drawings and numbers of a grid's studies."""
    drawn = []
    for place, study in enumerate(section.studies):
        cells = list(section.description.cells)
        grid = section.grid.name
        comparisons = _distinct(correlation.compare(study, section.entries))
        correlations = correlation.correlate(grid, study.name, comparisons)
        numbers = report.numbers(grid, study.scorer, "raters")
        csv.write(rows(study), numbers)
        table = report.numbers(grid, study.scorer, "correlation")
        if correlations:
            csv.write(correlation.tidy(correlations), table)
        within = [each for each in correlations if each.cell == WITHIN_CELLS]

        def put(drawings: Sequence[Drawing], prefix: str = f"study{place}") -> tuple[ReportFigure, ...]:
            return figures(drawings, folder, prefix)

        drawn.append(
            DrawnStudy(
                study=study,
                anchor=f"{anchor}-study{place}",
                rates=put([study_plots.rates(study, cells, strokes)]),
                learning=put(study_plots.learning(study, cells, strokes)),
                scatters=put(
                    [
                        study_plots.scatter(each, correlations, strokes, section.scorer(each.scorer))
                        for each in comparisons
                    ]
                ),
                within=tuple(sorted(within, key=lambda each: -abs(each.rho or 0))),
                clustered=next((each.scores.clusters.things for each in section.entries if each.scores.clusters), ""),
                csv=report.relative(numbers),
                correlations_csv=report.relative(table) if correlations else "",
            )
        )
    return drawn


def rows(study: Study) -> pd.DataFrame:
    """A study as a table: one row a cell, or seed of it, and part of its sessions; the part "all" has the fooling rate.

    The other parts are practice and blocks of scored trials, by the positions of their first and last trial; theirs is
    the share of trials in which raters were right. All shares are in percent.
    """
    found: list[dict[str, object]] = []
    for cell in study.cells:
        found.append(
            {
                "cell": cell.label,
                "part": "all",
                "raters": cell.raters,
                "trials": cell.trials,
                "fooling_rate": cell.rate,
                "error": cell.error,
                "low": cell.over_items.low,
                "high": cell.over_items.high,
                "low_same_items": cell.over_trials.low,
                "high_same_items": cell.over_trials.high,
            }
        )
        for part, blocks in (("practice", cell.curve.practice), ("scored", cell.curve.blocks)):
            found += [
                {
                    "cell": cell.label,
                    "part": part,
                    "first_trial": block.first,
                    "last_trial": block.last,
                    "trials": block.trials,
                    "correct": block.correct,
                    "low": block.interval.low,
                    "high": block.interval.high,
                }
                for block in blocks
            ]
    table = pd.DataFrame(found)
    whole = [name for name in ("raters", "trials", "first_trial", "last_trial") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _distinct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Without those that repeat another's values, as pixel accuracy does by two protocols."""
    found: list[Comparison] = []
    for each in comparisons:
        if not any(_same(each, other) for other in found):
            found.append(each)
    return found


def _same(one: Comparison, other: Comparison) -> bool:
    if one.metric != other.metric or [p.label for p in one.points] != [p.label for p in other.points]:
        return False
    pairs = zip(one.points, other.points, strict=True)
    return all(a.items == b.items and np.array_equal(a.values, b.values) for a, b in pairs)
