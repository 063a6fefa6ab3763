"""The report: one page that opens from disk, its pictures beside it, and its tables as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports import csv, gallery, ledger, page, plots, swap
from reports.errors import ReportError
from reports.gallery import Gallery
from reports.layout import INPUT, REAL, Report
from reports.metrics import STUDY, describe, describe_scorer
from reports.page import Section
from reports.paper import FOOLING
from reports.plots import Stroke

_MARK = '<meta name="generator" content="p2pbench">'


@dataclass(frozen=True)
class Figure:
    """A drawing in the report's assets."""

    title: str
    name: str


@dataclass(frozen=True, eq=False)
class Drawn:
    """A section with the files that were written for it."""

    section: Section
    anchor: str
    table: str | None
    gallery: Gallery | None
    figures: tuple[Figure, ...]
    strokes: dict[str, Stroke]

    @property
    def damages(self) -> tuple[str, ...]:
        """What could not be read, one line each."""
        return (*self.section.damages, *(self.gallery.damages if self.gallery else ()))


def write(results: Path, out: Path) -> Path:
    """Write the report of a results folder: `out/index.html`, `out/assets/` and `out/tables/*.csv`.

    The report is built beside `out` and takes its place at the end: a report that fails leaves the last one there.
    What cannot be read of the results is named in the page, and the rest is shown.

    Returns:
        The page's path.

    Raises:
        ReportError: There is nothing to report, `out` holds something else, or it cannot be written.
    """
    sections, unreadable = page.read(results)
    target = Report(out.resolve())
    try:
        _check_free(target)
        with swap.replaced(target.folder) as folder:
            _build(sections, unreadable, results.resolve().name, Report(folder))
    except OSError as error:
        raise ReportError(
            f"{error.filename or target.folder}: {error.strerror or error}; let this account read the results and "
            f"write in {target.folder.parent}, or put the report elsewhere"
        ) from error
    return target.index


def _check_free(target: Report) -> None:
    """Refuse a folder that is not an earlier report: writing one replaces all that is in its folder."""
    if not target.folder.exists():
        return
    found = {path.name for path in target.folder.iterdir()} if target.folder.is_dir() else {target.folder.name}
    ours = target.index.is_file() and _MARK in target.index.read_text("utf-8", "replace")[:2000]
    if found and not (ours and found <= target.entries()):
        other = min(found - target.entries() or found)
        raise ReportError(
            f"{target.folder}: found {other!r}, expected an earlier report or nothing; give the report its own folder"
        )


def _build(sections: list[Section], unreadable: list[str], name: str, report: Report) -> None:
    report.assets.mkdir()
    report.tables.mkdir()
    drawn = [_draw(section, index, report) for index, section in enumerate(sections)]
    csv.write(ledger.tidy([entry for section in sections for entry in section.entries]), report.scores)
    text = (
        _environment()
        .get_template("index.html")
        .render(
            name=name,
            grids=drawn,
            unreadable=unreadable,
            scores=_relative(report.scores, report),
            assets=report.assets.name,
            generator=_MARK,
        )
    )
    report.index.write_text(text, "utf-8", errors="backslashreplace")


def _draw(section: Section, index: int, report: Report) -> Drawn:
    prefix = f"grid{index}"
    cells = list(section.description.cells)
    strokes = plots.strokes(cells)
    figures = []
    for drawing in plots.draw(section.losses, strokes):
        path = report.assets / f"{prefix}-{drawing.loss}.svg"
        path.write_text(drawing.svg, "utf-8")
        figures.append(Figure(drawing.title, path.name))
    table = report.table(section.grid.name) if section.tables else None
    if table:
        csv.write(csv.of_grid(section.tables), table)
    return Drawn(
        section=section,
        anchor=prefix,
        table=_relative(table, report) if table else None,
        gallery=gallery.write(section.grid, cells, section.description.seeds, report.assets, prefix),
        figures=tuple(figures),
        strokes={cell: stroke for cell, stroke in strokes.items() if cell in section.losses},
    )


def _relative(path: Path, report: Report) -> str:
    return path.relative_to(report.folder).as_posix()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"INPUT": INPUT, "REAL": REAL, "GAP": gallery.GAP}
    environment.globals |= {"STUDY": STUDY, "FOOLING": FOOLING}
    environment.globals |= {"describe": describe, "describe_scorer": describe_scorer}
    environment.globals |= {"plain": page.plain, "plain_fields": page.plain_fields, "dataset_line": page.dataset_line}
    environment.filters["number"] = _number
    return environment


def _number(value: float, digits: int) -> str:
    """A number with a fixed count of digits and a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
