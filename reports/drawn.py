"""A grid's section of the page with the files that are written for it: pictures, drawings, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from reports import browse, csv, drawn_study, gallery, latex, paper, plots, reproduce, segmentations, trainings
from reports.browse import ItemMetric
from reports.drawn_study import DrawnStudy
from reports.gallery import Gallery
from reports.page import Section
from reports.paper import PaperTable
from reports.plots import ReportFigure, Stroke, figures
from reports.runs import Missing
from reports.segmentations import Seen
from reports.store.layout import Report
from reports.store.metrics import describe_scorer
from reports.tables import Table
from reports.trainings import Once, Sensitivity


@dataclass(frozen=True, eq=False)
class ShownTable:
    """A table as the page shows it.

    Attributes:
        table: What it holds.
        anchor: Its place in the page.
        csv: Its file, from the page.
        latex: Its LaTeX file, from the page.
        latex_text: What is in that.
        links: Cells and metrics whose numbers lead to pictures.
        missing: Cells that were not scored by it, and why.
        reference: The paper's table that is like it, of other images.
        sensitivity: What differences its metrics could tell with other numbers of seeds.
    """

    table: Table
    anchor: str
    csv: str
    latex: str
    latex_text: str
    links: frozenset[tuple[str, str]]
    missing: tuple[Missing, ...]
    reference: PaperTable | None
    sensitivity: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Part:
    """A part of a section, for its contents."""

    anchor: str
    title: str


@dataclass(frozen=True)
class ClassFiles:
    """The tables of classes, from the page."""

    csv: str
    confusion: str


@dataclass(frozen=True, eq=False)
class Drawn:
    """A section with the files that were written for it; all paths are as the page writes them.

    Attributes:
        section: What is known of the grid.
        anchor: Its place in the page, which is also its folder in the assets.
        tables: One a scorer.
        studies: Those with raters.
        gallery: Its pictures.
        seen: Its label maps.
        lost: Items with scores and without a picture.
        strokes: How each cell is drawn.
        losses: Curves of the training.
        colours: Distributions of colours.
        colours_csv: Their numbers.
        classes: Tables by scorer of label maps.
        grid_file: The grid as a file that trains it.
        commands: What to type to make it again.
        once: What is said on top where all of its cells were trained once.
        hashes: SHA-256 of each table, by file.
    """

    section: Section
    anchor: str
    tables: tuple[ShownTable, ...]
    studies: tuple[DrawnStudy, ...]
    gallery: Gallery | None
    seen: Seen | None
    lost: tuple[str, ...]
    strokes: dict[str, Stroke]
    losses: tuple[ReportFigure, ...]
    colours: tuple[ReportFigure, ...]
    colours_csv: str
    classes: dict[str, ClassFiles]
    grid_file: str
    commands: tuple[str, ...]
    once: Once | None
    hashes: dict[str, str]

    @property
    def damages(self) -> tuple[str, ...]:
        """What could not be used, one line each."""
        of_gallery = self.gallery.damages if self.gallery else ()
        return (*self.section.damages, *of_gallery, *(self.seen.damages if self.seen else ()))

    @property
    def parts(self) -> list[Part]:
        """What the section holds, in the order of the page."""
        tables = ((shown.anchor, shown.table) for shown in self.tables)
        found = [Part(anchor, describe_scorer(table.scorer, table.protocol).title) for anchor, table in tables]
        found += [Part(each.anchor, f"Raters of {each.study.name}") for each in self.studies]
        if self.gallery:
            found.append(Part(f"{self.anchor}-pictures", "Pictures"))
        found += [
            Part(f"{self.anchor}-classes-{each.scorer}", "Classes") for each in self.section.classes if each.names
        ]
        if self.colours:
            found.append(Part(f"{self.anchor}-colours", "Colours"))
        if self.losses:
            found.append(Part(f"{self.anchor}-losses", "Losses"))
        return [*found, Part(f"{self.anchor}-protocol", "Protocol")]

    @property
    def missing(self) -> list[Missing]:
        """What scorers without a table could not score."""
        with_table = {shown.table.scorer for shown in self.tables}
        return [each for each in self.section.missing if each.scorer not in with_table]


def draw(section: Section, index: int, report: Report, most: int | None) -> Drawn:
    """Write the files of one grid.

    Args:
        section: What is known of the grid.
        index: Its place among the grids.
        report: Where to.
        most: How many items have pictures, at most.
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
    seen = None
    lost: list[str] = []
    if pictures:
        ids = [row.item for row in pictures.rows]
        lost = browse.without_pictures(by_item, pictures.all_items)
        seen = segmentations.write(grid, columns, ids, folder)
        (report.assets / f"{anchor}.js").write_text(browse.picture_script(anchor, pictures, by_item, seen), "utf-8")
    tables = tuple(_table(section, table, anchor, by_item, report) for table in section.tables)
    curves = figures(plots.draw_losses(section.losses, strokes), folder)
    colours = figures(plots.draw_colours(section.colours, strokes) if section.colours else (), folder)
    grid_file = _grid_file(section, report)
    return Drawn(
        section=section,
        anchor=anchor,
        tables=tables,
        studies=tuple(drawn_study.draw(section, anchor, strokes, report, folder)),
        gallery=pictures,
        seen=seen,
        lost=tuple(lost),
        strokes=strokes,
        losses=curves,
        colours=colours,
        colours_csv=_colours(section, report),
        classes=_classes(section, report),
        grid_file=grid_file,
        once=trainings.once(grid, description, section.tables, PurePath(grid_file).name),
        commands=tuple(reproduce.commands(description, section.tables, PurePath(grid_file).name)),
        hashes={shown.csv: reproduce.sha256(report.folder / shown.csv) for shown in tables},
    )


def _table(section: Section, table: Table, anchor: str, by_item: Sequence[ItemMetric], report: Report) -> ShownTable:
    grid, description = section.grid.name, section.description
    path, tex = report.table(grid, table.scorer), report.latex(grid, table.scorer)
    csv.write(csv.of_table(table, description), path)
    text = latex.of_table(table, grid, description)
    tex.write_text(text, "utf-8")
    links = {(cell, each.metric) for each in by_item if each.scorer == table.scorer for cell in each.values}
    return ShownTable(
        table=table,
        anchor=f"{anchor}-{table.scorer}",
        csv=report.relative(path),
        latex=report.relative(tex),
        latex_text=text,
        links=frozenset(links & {(row.cell, name) for row in table.rows for name in row.numbers}),
        missing=tuple(each for each in section.missing if each.scorer == table.scorer),
        reference=paper.reference(description, table.scorer),
        sensitivity=tuple(trainings.of_table(table)),
    )


def _colours(section: Section, report: Report) -> str:
    if section.colours is None:
        return ""
    path = report.numbers(section.grid.name, "image", "lab")
    csv.write(section.colours.shares, path)
    return report.relative(path)


def _classes(section: Section, report: Report) -> dict[str, ClassFiles]:
    found = {}
    for classes in (each for each in section.classes if each.names):
        path = report.numbers(section.grid.name, classes.scorer, "classes")
        titles = section.scorer_titles(classes.scorer)
        csv.write(classes.rows(titles), path)
        confusion = report.numbers(section.grid.name, classes.scorer, "confusion")
        if classes.confusion:
            csv.write(classes.counts(titles), confusion)
        found[classes.scorer] = ClassFiles(report.relative(path), report.relative(confusion))
    return found


def _grid_file(section: Section, report: Report) -> str:
    path = report.grid_file(section.grid.name)
    path.write_text(reproduce.grid_toml(section.description), "utf-8")
    return report.relative(path)
