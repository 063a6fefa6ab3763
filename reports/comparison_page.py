"""Page with the differences between two results folders, for reading from disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from reports import browse, comparison, comparison_verdicts, csv_tables, gallery, html, run_states, trainings
from reports.browse import ItemMetric
from reports.comparison import ComparisonTable, GridComparison, PairedNames, ResultsFolder, ScoredGrid
from reports.gallery import Column, Gallery, GalleryLabelMaps
from reports.reproduce import made_by
from reports.store import grids, layout, ledger, picture
from reports.store.errors import ReportError
from reports.store.layout import REAL, Report, Run
from reports.store.ledger import LedgerEntry
from reports.store.metrics import CHANGE, STUDY, describe
from reports.store.ranges import Range
from reports.trainings import NextStep
from reports.verdicts import Verdict

_NUMBERS = ("a", "b", "b_minus_a", "b_minus_a_low", "b_minus_a_high", "p")
_COLUMNS = [
    *("cell", "metric", *_NUMBERS, "verdict", "n_a", "n_b", "seeds_a", "seeds_b"),
    *("fingerprint_a", "fingerprint_b", "scorer_a", "scorer_b", "not_compared_because"),
]


@dataclass(frozen=True, eq=False)
class WrittenComparisonTable:
    """A table with its CSV file, and numbers that link to pictures."""

    table: ComparisonTable
    anchor: str
    csv: str
    links: frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class WrittenComparison:
    """A grid's comparison with the files written for it.

    Attributes:
        grid: The comparison.
        anchor: Its anchor in the page, and its folder in the assets.
        tables: One per scorer.
        gallery: Pictures of both sides.
        label_maps: Their label maps.
        item_ids: Items with pictures on both sides and on one.
        advice: Advice on more seeds by side, where a cell has one training.
        other_targets: Number of the gallery's items whose input or target differs between A and B.
    """

    grid: GridComparison
    anchor: str
    tables: tuple[WrittenComparisonTable, ...]
    gallery: Gallery | None
    label_maps: GalleryLabelMaps | None
    item_ids: PairedNames
    advice: Mapping[str, NextStep]
    other_targets: int

    @property
    def damages(self) -> list[str]:
        """Files that could not be used, one line each."""
        of_pictures = [
            *(self.gallery.damages if self.gallery else ()),
            *(self.label_maps.damages if self.label_maps else ()),
        ]
        return list(dict.fromkeys([*self.grid.a.damages, *self.grid.b.damages, *of_pictures]))


def write(
    a: Path, b: Path, out: Path, items: int | None = None, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Write the comparison of two results folders: `out/index.html`, `out/assets/`, `out/tables/`.

    Files that cannot be read are named in the page, and the rest is shown. An earlier page stays until the new one is
    complete.

    Args:
        a: A results folder.
        b: Another one, or the same.
        out: The page's own folder.
        items: Maximum number of items of each grid with pictures; None for as many as `gallery.PICTURES` allows.
        say: Called with one line per unreadable file, doubt and verdict.

    Returns:
        The page's path.

    Raises:
        ReportError: A folder has no grid, the two have no cell in common, or `out` is something else, or is or lies in
            a folder that is read.
    """
    folders = _read_both(a, b, out, say)
    compared, grid_names = _judged(folders, say)
    return html.put(out, lambda report: _build(compared, grid_names, folders, report, items))


def write_single(
    a: Path, b: Path, out: Path, items: int | None = html.SINGLE_ITEMS, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Write the comparison as one self-contained file.

    Raises:
        ReportError: As `write`.
    """
    folders = _read_both(a, b, out, say)
    compared, grid_names = _judged(folders, say)
    return html.put_single(out, lambda report: _build(compared, grid_names, folders, report, items))


def _read_both(a: Path, b: Path, out: Path, say: Callable[[str], None]) -> tuple[ResultsFolder, ResultsFolder]:
    grids.check_apart(out, a, b)
    folders = read(a), read(b)
    for line in dict.fromkeys(line for folder in folders for line in folder.damages):
        say(line)
    return folders


def _judged(
    folders: tuple[ResultsFolder, ResultsFolder], say: Callable[[str], None]
) -> tuple[list[GridComparison], PairedNames]:
    """Compare the grids, decide the verdicts and report doubts by `say`."""
    of_both, named = comparison.compare(*folders)
    for grid in of_both:
        for doubt in grid.doubts:
            say(f"{grid.name}: {doubt}")
    judged = comparison_verdicts.judged(of_both)
    for line in comparison_verdicts.lines(judged):
        say(line)
    for grid in judged:
        for letter, scored in _trained_once(grid):
            if step := trainings.advice(scored.grid, scored.description):
                say(f"{grid.name} in {letter}: {step.todo}: {step.command}")
    return judged, named


def _advice(letter: str, scored: ScoredGrid) -> NextStep | None:
    """Command that trains more seeds of a side, without absolute paths."""
    results = scored.grid.folder.parent
    path = layout.report(results).grid_file(scored.grid.name)
    file = f"{letter}/{path.relative_to(results).as_posix()}"
    step = trainings.more_seeds(scored.grid, scored.description, file, letter, "DATASET")
    first = "" if path.is_file() else f"p2pbench report {letter} && "
    return step and step._replace(command=first + step.command)


def _trained_once(grid: GridComparison) -> Iterator[tuple[str, ScoredGrid]]:
    """Sides of a grid on which a compared cell has one training."""
    rows = [row for table in grid.tables if not table.scorer.startswith(STUDY) for row in table.rows]
    if any(len(row.a.seeds) == 1 for row in rows):
        yield "A", grid.a
    if any(len(row.b.seeds) == 1 for row in rows):
        yield "B", grid.b


def read(results: Path) -> ResultsFolder:
    """Read the grids of a results folder with their scores.

    Raises:
        ReportError: There is no such folder, or no grid in it that can be read.
    """
    readable: dict[str, ScoredGrid] = {}
    unreadable: list[str] = []
    for grid in layout.grids(results):
        try:
            grids.check_ranges(grid)
            description = grids.read(grid)
        except ReportError as error:
            unreadable.append(str(error))
            continue
        entries, damages = ledger.collect(grid)
        gaps = run_states.gaps(grid, description, entries, damages)
        lines = tuple(damage.message for damage in damages)
        readable[grid.name] = ScoredGrid(grid, description, tuple(entries), tuple(gaps), lines)
    if unreadable and not readable:
        raise ReportError(unreadable[0])
    if not readable:
        what = "found no grid" if results.is_dir() else layout.found_at(results)
        raise ReportError(f"{results}: {what}, expected GRID/grid.json in it; give a folder that training wrote")
    return ResultsFolder(results, readable, tuple(unreadable))


def names(a: Path, b: Path) -> tuple[str, str]:
    """Names of two folders: the shortest ends of their paths that differ."""
    first, second = a.resolve().parts, b.resolve().parts
    for length in range(1, max(len(first), len(second)) + 1):
        ends = first[-length:], second[-length:]
        if ends[0] != ends[1]:
            return Path(*ends[0]).as_posix(), Path(*ends[1]).as_posix()
    return a.resolve().name, b.resolve().name


def of_table(table: ComparisonTable) -> pd.DataFrame:
    """Table of one scorer, one row per cell and metric.

    The columns are described in docs/report-tables.md.
    """
    rows = []
    for row in table.all_rows():
        for metric, pair in row.pairs.items():
            difference = pair.difference
            rows.append(
                {
                    "cell": row.cell,
                    "metric": metric,
                    "a": pair.a and pair.a.value,
                    "b": pair.b and pair.b.value,
                    "b_minus_a": difference and difference.value,
                    "b_minus_a_low": difference and difference.interval.low,
                    "b_minus_a_high": difference and difference.interval.high,
                    "p": difference and difference.p,
                    "verdict": pair.verdict and pair.verdict.value,
                    "n_a": row.a.n,
                    "n_b": row.b.n,
                    "seeds_a": " ".join(map(str, row.a.seeds)),
                    "seeds_b": " ".join(map(str, row.b.seeds)),
                    "fingerprint_a": row.a.fingerprint,
                    "fingerprint_b": row.b.fingerprint,
                    "scorer_a": row.a.scorer,
                    "scorer_b": row.b.scorer,
                    "note_a": row.a.note or None,
                    "note_b": row.b.note or None,
                    "not_compared_because": "; ".join(f"{each.field}: {each.a} | {each.b}" for each in row.reasons),
                }
            )
    noted = any(row.a.note or row.b.note for row in table.all_rows())
    return pd.DataFrame(rows, columns=[*_COLUMNS, *(("note_a", "note_b") if noted else ())])


def _build(
    compared: Sequence[GridComparison],
    grid_names: PairedNames,
    folders: tuple[ResultsFolder, ResultsFolder],
    report: Report,
    most: int | None,
) -> None:
    a, b = folders
    report.assets.mkdir()
    report.tables.mkdir()
    shown = [_show(grid, index, report, most) for index, grid in enumerate(compared)]
    text = (
        html.environment()
        .get_template("comparison.html")
        .render(
            names=names(a.place, b.place),
            same_folder=a.place.resolve() == b.place.resolve(),
            grids=shown,
            grid_names=grid_names,
            summary=comparison_verdicts.summary(compared),
            VERDICTS=list(Verdict),
            unreadable=list(dict.fromkeys([*a.unreadable, *b.unreadable])),
            assets=report.assets.name,
            generator=html.MARK,
            made_by=made_by(),
        )
    )
    report.index.write_text(text, "utf-8", errors="backslashreplace")


def _show(grid: GridComparison, index: int, report: Report, most: int | None) -> WrittenComparison:
    """Write the files of one grid."""
    anchor = f"grid{index}"
    folder = report.assets / anchor
    folder.mkdir()
    columns, item_ids = _columns(grid)
    by_item = _by_item(grid, columns) if item_ids.both else []
    pictures = gallery.write(columns, folder, most, browse.notable(by_item)) if item_ids.both else None
    label_maps = None
    if pictures:
        label_maps = gallery.write_label_maps(
            grid.b.grid, pictures.columns, [row.item for row in pictures.rows], folder
        )
        text = browse.gallery_script(anchor, pictures, by_item, label_maps) + _against(anchor, pictures.columns)
        (report.assets / f"{anchor}.js").write_text(text, "utf-8")
    return WrittenComparison(
        grid=grid,
        anchor=anchor,
        tables=tuple(_table(grid, table, anchor, by_item, report) for table in grid.tables),
        gallery=pictures,
        label_maps=label_maps,
        item_ids=item_ids,
        advice={letter: step for letter, scored in _trained_once(grid) if (step := _advice(letter, scored))},
        other_targets=_other_targets(grid, [row.item for row in pictures.rows]) if pictures else 0,
    )


def _table(
    grid: GridComparison, table: ComparisonTable, anchor: str, by_item: Sequence[ItemMetric], report: Report
) -> WrittenComparisonTable:
    path = report.table(grid.name, table.scorer)
    csv_tables.write(of_table(table), path)
    links = {
        (cell, metric.metric.removesuffix(CHANGE))
        for metric in by_item
        if metric.scorer == table.scorer and metric.metric.endswith(CHANGE)
        for cell in grid.cells.both
        if _name("B", cell) in metric.values
    }
    return WrittenComparisonTable(table, f"{anchor}-{table.scorer}", report.relative(path), frozenset(links))


def _name(side: str, cell: str) -> str:
    return f"{side}: {cell}"


def _columns(grid: GridComparison) -> tuple[list[Column], PairedNames]:
    """Gallery columns: input, each cell of A then B, real.

    Only of items with pictures of cells on both sides; all names of items are returned too.
    """
    sides: list[dict[str, Column]] = []
    for scored in (grid.a, grid.b):
        about = scored.description
        found = (gallery.cell_column(scored.grid, cell, about.seeds, about.ranges) for cell in grid.cells.both)
        sides.append({column.name: column for column in found})
    ids = comparison.pair(*(sorted({item for each in side.values() for item in each.pictures}) for side in sides))
    both = set(ids.both)

    def column(run: Run, pictures: dict[str, Path], ends: Range | None) -> Column:
        return Column(run, {item: path for item, path in pictures.items() if item in both}, ends)

    columns = [
        column(replace(side[cell].run, cell=_name(letter, cell)), side[cell].pictures, side[cell].ends)
        for cell in grid.cells.both
        for letter, side in zip("AB", sides, strict=True)
    ]
    before, after = grid.a.grid, grid.b.grid
    ranges = grid.b.description.ranges
    shown = [column(after.input, before.input.pictures() | after.input.pictures(), ranges.input)]
    last = [column(after.real, before.real.pictures() | after.real.pictures(), ranges.output)]
    return [each for each in [*shown, *columns, *last] if each.pictures or not each.given], ids


def _by_item(grid: GridComparison, columns: Sequence[Column]) -> list[ItemMetric]:
    """Scores by item on both sides, their changes first."""
    before, after = _named("A", grid.a), _named("B", grid.b)
    shown = {column.name: column.run for column in columns}
    scores = {(entry.run, entry.scores.scorer): entry.scores for entry in [*before, *after]}
    metrics = browse.of_columns(columns, [*before, *after])
    changes = []
    for metric in metrics:
        values = {}
        for cell in grid.cells.both:
            a, b = (scores.get((shown[_name(side, cell)], metric.scorer)) for side in "AB")
            changed = browse.changes_by_item(a, b).get(metric.metric) if a and b else None
            if changed:
                values[_name("B", cell)] = changed
        if values:
            name = f"{metric.metric}{CHANGE}"
            short = describe(name).label
            changes.append(ItemMetric(metric.scorer, name, f"{metric.label}{CHANGE}", short, values, metric.title))
    return [*changes, *metrics]


def _named(side: str, scored: ScoredGrid) -> list[LedgerEntry]:
    """Scores of one side under its columns' names."""
    return [
        entry if entry.run.cell == REAL else replace(entry, run=replace(entry.run, cell=_name(side, entry.run.cell)))
        for entry in scored.entries
    ]


def _against(anchor: str, columns: Sequence[Column]) -> str:
    """JavaScript statement: the column shown beside each one."""
    cells = [i for i, column in enumerate(columns) if not column.given]
    pairs = dict(zip(cells[::2], cells[1::2], strict=True))
    return f"window.grids[{json.dumps(anchor)}].against = {json.dumps(pairs | {b: a for a, b in pairs.items()})};\n"


def _other_targets(grid: GridComparison, ids: Sequence[str]) -> int:
    """Number of items whose input or target looks different in B."""
    pairs = list(zip(*(gallery.given(each.grid, each.description.ranges) for each in (grid.a, grid.b)), strict=True))
    return sum(any(_differ(a, b, item) for a, b in pairs) for item in ids)


def _differ(column_a: Column, column_b: Column, item: str) -> bool:
    a, b = column_a.pictures.get(item), column_b.pictures.get(item)
    if a is None or b is None or a.read_bytes() == b.read_bytes():
        return False
    try:
        before, after = picture.load(a, column_a.ends), picture.load(b, column_b.ends)
        return not np.array_equal(np.asarray(before), np.asarray(after))
    except ReportError:  # the gallery names what it cannot read
        return False
