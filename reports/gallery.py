"""Pictures side by side: the input, every cell's output and the target, for the same items in every row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports import picture
from reports.errors import ReportError
from reports.layout import INPUT, REAL, Grid

ITEMS = 12
GAP = 6  # CSS pixels between two pictures
_ROOM = 1386  # CSS pixels for a row on a screen of 1440, the gap after its last picture included
_SMALLEST, _LARGEST = 128, 256  # CSS pixels, width of a picture


@dataclass(frozen=True)
class Column:
    """One head of the gallery and where its pictures come from; seed None for input and real."""

    name: str
    seed: int | None
    pictures: dict[str, Path]


@dataclass(frozen=True)
class Tile:
    """One picture of the gallery, or the note in its place.

    Attributes:
        name: Its file name in the report's assets; None where there is no picture.
        note: Why there is none.
        alt: What it shows, in words.
        width: Pixels.
        height: Pixels.
    """

    name: str | None
    note: str
    alt: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Row:
    """The pictures of one item, one a column."""

    item: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """A gallery whose pictures are in the report's assets.

    Attributes:
        columns: Input where there is one, the cells, real where there is one.
        rows: The items shown.
        total: How many items there are to choose from.
        width: CSS pixels at which each picture is shown where there is room for a whole row of them.
        narrow: The same on smaller screens.
        damages: The pictures that could not be read, one line each.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: int
    width: int
    narrow: int
    damages: tuple[str, ...]

    @property
    def aspect(self) -> str:
        """Width to height of the first picture, for the places where there is none, as CSS says it."""
        shapes = (f"{tile.width} / {tile.height}" for row in self.rows for tile in row.tiles if tile.name)
        return next(shapes, "1 / 1")


def write(grid: Grid, cells: Sequence[str], seeds: Sequence[int], assets: Path, prefix: str) -> Gallery | None:
    """Write the pictures of a grid's gallery, 8-bit PNG, into `assets`; None where the grid has no picture.

    A picture that cannot be read is named in the gallery's damages and leaves a note in its place.

    Args:
        grid: Where the pictures are.
        cells: The cells, in the order of the columns.
        seeds: The grid's seeds; a cell shows the lowest that has pictures.
        assets: An existing folder.
        prefix: What the file names begin with, so that grids do not overwrite one another's.
    """
    columns = _columns(grid, cells, seeds)
    ids = _item_ids(columns)
    if not ids:
        return None
    damages: list[str] = []
    rows = []
    for number, item in enumerate(choose(ids)):
        stem = f"{prefix}-{number:02}"
        tiles = [
            _tile(column, item, assets / f"{stem}-{place:02}-{_plain(column.name)}.png", damages)
            for place, column in enumerate(columns)
        ]
        rows.append(Row(item, tuple(tiles)))
    widths = [tile.width for row in rows for tile in row.tiles if tile.name]
    room = _ROOM // len(columns) - GAP
    return Gallery(
        columns=tuple(columns),
        rows=tuple(rows),
        total=len(ids),
        width=shown_width(widths, min(_LARGEST, max(_SMALLEST, room))),
        narrow=shown_width(widths, _SMALLEST),
        damages=tuple(damages),
    )


def choose(ids: Sequence[str], count: int = ITEMS) -> list[str]:
    """At most `count` ids, evenly spaced over the sorted ids, the first and the last among them."""
    ordered = sorted(ids)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (count - 1))] for place in range(count)]


def shown_width(widths: Sequence[int], room: int) -> int:
    """The CSS width of every picture, from their widths in pixels and the CSS pixels that there are for each.

    Small pictures are enlarged by a whole number, so that each of their pixels stays a square of the same size.
    """
    native = Counter(widths).most_common(1)[0][0] if widths else room
    return native * (room // native) if native <= room else room


def _columns(grid: Grid, cells: Sequence[str], seeds: Sequence[int]) -> list[Column]:
    around = [Column(run.cell, None, run.pictures()) for run in (grid.input, grid.real)]
    middle = []
    for cell in cells:
        runs = [grid.run(cell, seed) for seed in sorted(seeds)]
        found = [(run, pictures) for run in runs if (pictures := run.pictures())]
        run, pictures = found[0] if found else (None, {})
        middle.append(Column(cell, run.seed if run else None, pictures))
    before, after = ([column] if column.pictures else [] for column in around)
    return [*before, *middle, *after]


def _item_ids(columns: Sequence[Column]) -> list[str]:
    """The items of the split: those of the target or the input where there are such, else all that any cell has."""
    for column in reversed(columns):
        if column.name in {REAL, INPUT} and column.pictures:
            return sorted(column.pictures)
    return sorted({item for column in columns for item in column.pictures})


def _tile(column: Column, item: str, path: Path, damages: list[str]) -> Tile:
    alt = f"{column.name}, {item}"
    source = column.pictures.get(item)
    if source is None:
        return Tile(None, "no picture", alt)
    try:
        shown = picture.load(source)
    except ReportError as error:
        damages.append(str(error))
        return Tile(None, "unreadable", alt)
    shown.save(path, "PNG")
    return Tile(path.name, "", alt, *shown.size)


def _plain(name: str) -> str:
    """A name as part of a file name that needs no quoting anywhere."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)[:40]
