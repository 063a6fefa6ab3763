"""Pictures side by side: the input, every cell's output and the target, for the same items in every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reports.store import picture
from reports.store.errors import ReportError
from reports.store.grids import WHOLE, Ranges
from reports.store.layout import INPUT, REAL, Grid, Run
from reports.store.picture import Shown
from reports.store.ranges import Range

FIRST = 12  # items that the page shows before anybody asks for more
PICTURES = 4400  # where nobody asks for a number of items: some hundred MB at the most, and ten seconds on two cores
GAP = 6  # CSS pixels between two pictures
_ROOM = 1386  # CSS pixels for a row on a screen of 1440, the gap after its last picture included
_SMALLEST, _LARGEST = picture.THUMB, 256  # CSS pixels, width of a picture


@dataclass(frozen=True)
class Column:
    """One head of the gallery and where its pictures come from.

    Attributes:
        run: The run, whose `seed` is None for input, real, and a cell that has no picture.
        pictures: Its picture files by item id.
        ends: The values that are black and white in them; None is all of their depth.
    """

    run: Run
    pictures: dict[str, Path]
    ends: Range | None = None

    @property
    def name(self) -> str:
        """The cell's name, or input, or real."""
        return self.run.cell

    @property
    def seed(self) -> int | None:
        """The seed that is shown."""
        return self.run.seed

    @property
    def given(self) -> bool:
        """Whether this is no cell, but the input or the target."""
        return self.name in {INPUT, REAL}


@dataclass(frozen=True)
class Tile:
    """One picture of the gallery, or the note in its place.

    Attributes:
        shown: Its files; None where there is no picture.
        note: Why there is none.
        alt: What it shows, in words.
        damage: What is wrong with a file that cannot be read, in one line.
    """

    shown: Shown | None
    note: str
    alt: str
    damage: str = ""


@dataclass(frozen=True)
class Row:
    """The pictures of one item, one a column, and its number among those of the report."""

    number: int
    item: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """A gallery whose pictures are in the report's assets.

    Attributes:
        columns: Input where there is one, the cells, real where there is one.
        rows: The items that have pictures in the report, by id.
        all_items: The ids of all items of the grid.
        width: CSS pixels at which each picture is shown where there is room for a whole row of them.
        narrow: The same on smaller screens.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    all_items: tuple[str, ...]
    width: int
    narrow: int

    @property
    def total(self) -> int:
        """How many items the grid has."""
        return len(self.all_items)

    @property
    def first(self) -> list[Row]:
        """The rows that the page shows before anybody asks for others, evenly spaced."""
        chosen = set(choose([row.item for row in self.rows], FIRST))
        return [row for row in self.rows if row.item in chosen]

    @property
    def damages(self) -> list[str]:
        """The pictures that could not be read, one line each."""
        return [tile.damage for row in self.rows for tile in row.tiles if tile.damage]

    @property
    def aspect(self) -> str:
        """Width to height of the first picture, for the places where there is none, as CSS says it."""
        shown = (tile.shown for row in self.rows for tile in row.tiles if tile.shown)
        return next((f"{each.width} / {each.height}" for each in shown), "1 / 1")


def columns(grid: Grid, cells: Sequence[str], seeds: Sequence[int], ranges: Ranges = WHOLE) -> list[Column]:
    """The input where there are such pictures, the cells, and real where there is such.

    Args:
        grid: Where the pictures are.
        cells: The cells, in the order of the columns.
        seeds: The grid's seeds; a cell shows the lowest that has pictures.
        ranges: The values of its pictures.
    """
    before, after = ([column] if column.pictures else [] for column in given(grid, ranges))
    return [*before, *(cell_column(grid, cell, seeds, ranges) for cell in cells), *after]


def given(grid: Grid, ranges: Ranges) -> tuple[Column, Column]:
    """The inputs and the targets of a grid, whether or not there are pictures of them."""
    inputs, real = grid.input, grid.real
    return Column(inputs, inputs.pictures(), ranges.input), Column(real, real.pictures(), ranges.output)


def write(
    columns: Sequence[Column], folder: Path, most: int | None = None, notable: Sequence[str] = ()
) -> Gallery | None:
    """Write the pictures of a gallery into a folder; None where there is no picture.

    A picture that cannot be read is named in the gallery's damages and leaves a note in its place.

    Args:
        columns: The columns; the items are those of the target where there is one.
        folder: An existing folder. File names hold the numbers of column and item alone.
        most: How many items at most, at least 1; None takes as many as make `PICTURES` pictures.
        notable: Items that come first where there are more: they take up to half of the places, and evenly spaced items
            the rest.
    """
    ids = _item_ids(columns)
    if not ids:
        return None
    known = set(ids)
    items = _fill([item for item in notable if item in known], ids, most or max(FIRST, PICTURES // len(columns)))

    def row(number: int) -> Row:
        item = items[number]
        tiles = [_tile(column, item, folder / f"{place:02}-{number:04}") for place, column in enumerate(columns)]
        return Row(number, item, tuple(tiles))

    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter while it decodes and encodes
        rows = tuple(pool.map(row, range(len(items))))
    widths = [tile.shown.width for each in rows for tile in each.tiles if tile.shown]
    room = _ROOM // len(columns) - GAP
    return Gallery(
        columns=tuple(columns),
        rows=rows,
        all_items=tuple(ids),
        width=shown_width(widths, min(_LARGEST, max(_SMALLEST, room))),
        narrow=shown_width(widths, _SMALLEST),
    )


def choose(ids: Sequence[str], count: int) -> list[str]:
    """At most `count` ids, evenly spaced over the sorted ids, the first and the last among them."""
    ordered = sorted(ids)
    if len(ordered) <= count:
        return ordered
    if count == 1:
        return ordered[:1]
    return [ordered[round(place * (len(ordered) - 1) / (count - 1))] for place in range(count)]


def shown_width(widths: Sequence[int], room: int) -> int:
    """The CSS width of every picture, from their widths in pixels and the CSS pixels that there are for each.

    Small pictures are enlarged by a whole number, so that each of their pixels stays a square of the same size.
    """
    native = Counter(widths).most_common(1)[0][0] if widths else room
    return native * (room // native) if native <= room else room


def _fill(notable: Sequence[str], ids: Sequence[str], most: int) -> list[str]:
    """At most `most` ids in their order: half of them notable at most, where not all ids find room."""
    if len(ids) <= most:
        return sorted(ids)
    first = list(dict.fromkeys(notable))[: most // 2]
    rest = [item for item in ids if item not in set(first)]
    return sorted([*first, *choose(rest, most - len(first))])


def cell_column(grid: Grid, cell: str, seeds: Sequence[int], ranges: Ranges = WHOLE) -> Column:
    """The pictures of a cell: those of its lowest seed that has any."""
    for seed in sorted(seeds):
        run = grid.run(cell, seed)
        pictures = run.pictures()
        if pictures:
            return Column(run, pictures, ranges.output)
    return Column(Run(grid.folder / cell, cell, None), {})


def _item_ids(columns: Sequence[Column]) -> list[str]:
    """The items of the split: those of the target or the input where there are such, else all that any cell has."""
    for column in reversed(columns):
        if column.given and column.pictures:
            return sorted(column.pictures)
    return sorted({item for column in columns for item in column.pictures})


def _tile(column: Column, item: str, stem: Path) -> Tile:
    alt = f"{column.name}, {item}"
    source = column.pictures.get(item)
    if source is None:
        return Tile(None, "no picture", alt)
    try:
        return Tile(picture.save(source, stem, column.ends), "", alt)
    except ReportError as error:
        return Tile(None, "unreadable", alt, str(error))
