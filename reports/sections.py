"""A grid's section of the report, with its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from reports import browse, correlation, csv_tables, gallery, latex, paper, plots, reproduce, study_plots, trainings
from reports.browse import ItemMetric
from reports.correlation import WITHIN_CELLS, Correlation, RatesAndScores
from reports.gallery import Gallery, GalleryLabelMaps
from reports.page import Section
from reports.paper import PaperTable
from reports.plots import Drawing, PlotFile, Stroke, write_drawings
from reports.run_states import Unscored
from reports.store import made
from reports.store.analyses import StudyRecord
from reports.store.layout import Report
from reports.store.metrics import describe_scorer
from reports.tables import ScoreTable
from reports.trainings import DetectableDifferences, SingleTrainings


@dataclass(frozen=True, eq=False)
class WrittenTable:
    """A table with its files and references as the page shows it.

    Attributes:
        table: The table.
        anchor: Its anchor in the page.
        csv: Its CSV file.
        latex: Its LaTeX file.
        latex_text: Content of that file.
        links: Cells and metrics whose numbers link to pictures.
        missing: Cells that its scorer could not score.
        reference: The paper's similar table, of other images.
        detectable: Detectable differences by number of seeds.
    """

    table: ScoreTable
    anchor: str
    csv: str
    latex: str
    latex_text: str
    links: frozenset[tuple[str, str]]
    missing: tuple[Unscored, ...]
    reference: PaperTable | None
    detectable: tuple[DetectableDifferences, ...]


@dataclass(frozen=True)
class SectionPart:
    """Entry of a section's table of contents."""

    anchor: str
    title: str


@dataclass(frozen=True)
class ClassFiles:
    """Paths of the class tables, relative to the page."""

    csv: str
    confusion: str


@dataclass(frozen=True, eq=False)
class WrittenStudy:
    """A study with its files; paths are relative to the page.

    Attributes:
        study: Its analysis.
        anchor: Its anchor in the page.
        rates: Fooling rates with both intervals.
        learning: The learning curve of each cell's raters.
        scatters: Fooling rates against each automatic score.
        within: Rank correlations within cells with those scores, the strongest first.
        clustered: Clusters of the scored items, such as "3 clusters of items (cities)"; else empty.
        csv: Rates and learning curves.
        correlations_csv: All correlations; empty without any.
    """

    study: StudyRecord
    anchor: str
    rates: tuple[PlotFile, ...]
    learning: tuple[PlotFile, ...]
    scatters: tuple[PlotFile, ...]
    within: tuple[Correlation, ...]
    clustered: str
    csv: str
    correlations_csv: str


@dataclass(frozen=True, eq=False)
class WrittenSection:
    """A section with its files; paths are relative to the page.

    Attributes:
        section: Content of the section.
        anchor: Its anchor in the page, and its folder in the assets.
        tables: One per scorer.
        studies: Those with raters.
        gallery: Its pictures.
        label_maps: Its label maps.
        lost: Items with scores and without a picture.
        strokes: Line style of each cell.
        losses: Curves of the training.
        colours: Lab histograms.
        colours_csv: Their CSV file.
        classes: Tables by scorer of label maps.
        grid_file: Grid file that trains it.
        commands: Commands that reproduce it.
        once: Advice at the top if all of its cells were trained once.
        hashes: SHA-256 of each table, by file.
    """

    section: Section
    anchor: str
    tables: tuple[WrittenTable, ...]
    studies: tuple[WrittenStudy, ...]
    gallery: Gallery | None
    label_maps: GalleryLabelMaps | None
    lost: tuple[str, ...]
    strokes: dict[str, Stroke]
    losses: tuple[PlotFile, ...]
    colours: tuple[PlotFile, ...]
    colours_csv: str
    classes: dict[str, ClassFiles]
    grid_file: str
    commands: tuple[str, ...]
    once: SingleTrainings | None
    hashes: dict[str, str]

    @property
    def damages(self) -> tuple[str, ...]:
        """Files that could not be used, one line each."""
        of_gallery = self.gallery.damages if self.gallery else ()
        return (*self.section.damages, *of_gallery, *(self.label_maps.damages if self.label_maps else ()))

    @property
    def parts(self) -> list[SectionPart]:
        """Parts of the section in the page's order."""
        tables = ((shown.anchor, shown.table) for shown in self.tables)
        parts = [SectionPart(anchor, describe_scorer(table.scorer, table.protocol).title) for anchor, table in tables]
        parts += [SectionPart(each.anchor, f"Raters of {each.study.name}") for each in self.studies]
        if self.gallery:
            parts.append(SectionPart(f"{self.anchor}-pictures", "Pictures"))
        parts += [
            SectionPart(f"{self.anchor}-classes-{each.scorer}", "Classes")
            for each in self.section.classes
            if each.names
        ]
        if self.colours:
            parts.append(SectionPart(f"{self.anchor}-colours", "Colours"))
        if self.losses:
            parts.append(SectionPart(f"{self.anchor}-losses", "Losses"))
        return [*parts, SectionPart(f"{self.anchor}-protocol", "Protocol")]

    @property
    def missing(self) -> list[Unscored]:
        """Unscored cells of scorers without a table."""
        with_table = {shown.table.scorer for shown in self.tables}
        return [unscored for unscored in self.section.missing if unscored.scorer not in with_table]


def write_section(section: Section, index: int, report: Report, most: int | None) -> WrittenSection:
    """Write the files of one grid.

    Args:
        section: Content of the section.
        index: Index of the grid in the page.
        report: The report.
        most: Maximum number of items with pictures.
    """
    anchor = f"grid{index}"
    folder = report.assets / anchor
    folder.mkdir()
    description, grid = section.description, section.grid
    cells = list(description.cells)
    strokes = plots.strokes(cells)
    columns = gallery.columns(grid, cells, description.seeds, description.ranges)
    by_item = browse.of_columns(columns, section.entries)
    pictures = gallery.write(columns, folder, most, browse.notable(by_item))
    label_maps = None
    lost: list[str] = []
    if pictures:
        ids = [row.item for row in pictures.rows]
        lost = browse.without_pictures(by_item, pictures.all_items)
        label_maps = gallery.write_label_maps(grid, columns, ids, folder)
        # A script, since a page opened from a file may not fetch JSON beside it.
        (report.assets / f"{anchor}.js").write_text(
            browse.gallery_script(anchor, pictures, by_item, label_maps), "utf-8"
        )
    tables = tuple(_table(section, table, anchor, by_item, report) for table in section.tables)
    curves = write_drawings(plots.draw_losses(section.losses, strokes), folder)
    colours = write_drawings(plots.draw_colours(section.colours, strokes) if section.colours else (), folder)
    grid_file = _grid_file(section, report)
    return WrittenSection(
        section=section,
        anchor=anchor,
        tables=tables,
        studies=tuple(write_studies(section, anchor, strokes, report, folder)),
        gallery=pictures,
        label_maps=label_maps,
        lost=tuple(lost),
        strokes=strokes,
        losses=curves,
        colours=colours,
        colours_csv=_colours(section, report),
        classes=_classes(section, report),
        grid_file=grid_file,
        once=trainings.single_trainings(grid, description, section.tables, PurePath(grid_file).name),
        commands=tuple(reproduce.commands(description, section.tables, PurePath(grid_file).name)),
        hashes={shown.csv: made.digest(report.folder / shown.csv) for shown in tables},
    )


def _table(
    section: Section, table: ScoreTable, anchor: str, by_item: Sequence[ItemMetric], report: Report
) -> WrittenTable:
    grid, description = section.grid.name, section.description
    path, tex = report.table(grid, table.scorer), report.latex(grid, table.scorer)
    csv_tables.write(csv_tables.of_table(table, description), path)
    text = latex.of_table(table, grid, description)
    tex.write_text(text, "utf-8")
    links = {(cell, metric.metric) for metric in by_item if metric.scorer == table.scorer for cell in metric.values}
    return WrittenTable(
        table=table,
        anchor=f"{anchor}-{table.scorer}",
        csv=report.relative(path),
        latex=report.relative(tex),
        latex_text=text,
        links=frozenset(links & {(row.cell, name) for row in table.rows for name in row.numbers}),
        missing=tuple(unscored for unscored in section.missing if unscored.scorer == table.scorer),
        reference=paper.reference(description, table.scorer),
        detectable=tuple(trainings.detectable(table)),
    )


def _colours(section: Section, report: Report) -> str:
    if section.colours is None:
        return ""
    path = report.numbers(section.grid.name, "image", "lab")
    csv_tables.write(section.colours.shares, path)
    return report.relative(path)


def _classes(section: Section, report: Report) -> dict[str, ClassFiles]:
    files = {}
    for classes in (each for each in section.classes if each.names):
        path = report.numbers(section.grid.name, classes.scorer, "classes")
        titles = section.scorer_titles(classes.scorer)
        csv_tables.write(classes.rows(titles), path)
        confusion = report.numbers(section.grid.name, classes.scorer, "confusion")
        if classes.confusion:
            csv_tables.write(classes.counts(titles), confusion)
        files[classes.scorer] = ClassFiles(report.relative(path), report.relative(confusion))
    return files


def _grid_file(section: Section, report: Report) -> str:
    path = report.grid_file(section.grid.name)
    path.write_text(reproduce.grid_toml(section.description), "utf-8")
    return report.relative(path)


def write_studies(
    section: Section, anchor: str, strokes: Mapping[str, Stroke], report: Report, folder: Path
) -> list[WrittenStudy]:
    """Write the drawings and tables of a grid's studies."""
    written = []
    for index, study in enumerate(section.studies):
        cells = list(section.description.cells)
        grid = section.grid.name
        comparisons = _distinct(correlation.compare(study, section.entries))
        correlations = correlation.correlate(grid, study.name, comparisons)
        numbers = report.numbers(grid, study.scorer, "raters")
        csv_tables.write(study_rows(study), numbers)
        table = report.numbers(grid, study.scorer, "correlation")
        if correlations:
            csv_tables.write(correlation.tidy(correlations), table)
        within = [each for each in correlations if each.cell == WITHIN_CELLS]

        def put(drawings: Sequence[Drawing], prefix: str = f"study{index}") -> tuple[PlotFile, ...]:
            return write_drawings(drawings, folder, prefix)

        written.append(
            WrittenStudy(
                study=study,
                anchor=f"{anchor}-study{index}",
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
    return written


def study_rows(study: StudyRecord) -> pd.DataFrame:
    """Table of a study, one row per cell and session part.

    A cell with several seeds has these per seed. The part "all" has the fooling rate; the others are practice and
    blocks of scored trials, by their first and last position, with the share of correct answers. Shares are in percent.
    """
    rows: list[dict[str, object]] = []
    for cell in study.cells:
        rows.append(
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
            rows += [
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
    table = pd.DataFrame(rows)
    # Rows lack some of these; pandas would make such columns floats, and write 12.0 for a count.
    whole = [name for name in ("raters", "trials", "first_trial", "last_trial") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _distinct(comparisons: Sequence[RatesAndScores]) -> list[RatesAndScores]:
    """Pairings without those that repeat another's values.

    Pixel accuracy is equal by both FCN protocols, for example.
    """
    distinct: list[RatesAndScores] = []
    for pairing in comparisons:
        if not any(_same(pairing, other) for other in distinct):
            distinct.append(pairing)
    return distinct


def _same(one: RatesAndScores, other: RatesAndScores) -> bool:
    if one.metric != other.metric or [p.label for p in one.points] != [p.label for p in other.points]:
        return False
    pairs = zip(one.points, other.points, strict=True)
    return all(a.items == b.items and np.array_equal(a.values, b.values) for a, b in pairs)
