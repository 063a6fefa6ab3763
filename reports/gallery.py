"""Pictures and label maps of items, side by side."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from reports.store import picture
from reports.store.errors import DAMAGED, ReportError
from reports.store.grids import WHOLE, Ranges
from reports.store.layout import INPUT, REAL, Grid, Run
from reports.store.picture import PictureFiles
from reports.store.ranges import Range

FIRST = 12  # items that the page shows initially
PICTURES = 4400  # by default: at most some hundred MB, and ten seconds on two cores
GAP = 6  # CSS pixels between two pictures
_ROOM = 1386  # CSS pixels of a row on a screen of 1440, including the gap after the last picture
_SMALLEST, _LARGEST = picture.THUMB, 256  # CSS pixels, width of a picture
IGNORED = 255
RIGHT, WRONG, UNLABELLED = range(3)
_PALETTE = bytes.fromhex("363b42ff6a4dc4c4be")  # dark where right, red where wrong, pale where unlabelled
TRUTH, SEGMENTATION, ERRORS = "t-{item:04}.png", "s{column:02}-{item:04}.png", "e{column:02}-{item:04}.png"


@dataclass(frozen=True)
class Column:
    """A column of the gallery with its picture files.

    Attributes:
        run: The run, whose `seed` is None for input, real, and a cell that has no picture.
        pictures: Its picture files by item id.
        ends: The values that are black and white in them; None for their full bit depth.
    """

    run: Run
    pictures: dict[str, Path]
    ends: Range | None = None

    @property
    def name(self) -> str:
        """The cell's name, "input" or "real"."""
        return self.run.cell

    @property
    def seed(self) -> int | None:
        """The seed whose pictures are shown."""
        return self.run.seed

    @property
    def given(self) -> bool:
        """Whether this is the input or the target, not a cell."""
        return self.name in {INPUT, REAL}


@dataclass(frozen=True)
class Tile:
    """A picture of the gallery, or the note in its place.

    Attributes:
        shown: Its files; None without a picture.
        note: Reason for a missing picture.
        alt: Text alternative.
        damage: Line on a file that cannot be read, else empty.
    """

    shown: PictureFiles | None
    note: str
    alt: str
    damage: str = ""


@dataclass(frozen=True)
class GalleryRow:
    """Pictures of one item, one per column, with its row index."""

    number: int
    item: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """A gallery whose pictures are in the report's assets.

    Attributes:
        columns: Input if any, the cells, real if any.
        rows: The items with pictures in the report, by id.
        all_items: Ids of all items of the grid.
        width: CSS width of each picture where a whole row fits.
        narrow: CSS width on smaller screens.
    """

    columns: tuple[Column, ...]
    rows: tuple[GalleryRow, ...]
    all_items: tuple[str, ...]
    width: int
    narrow: int

    @property
    def total(self) -> int:
        """Number of items in the grid."""
        return len(self.all_items)

    @property
    def first(self) -> list[GalleryRow]:
        """Rows that the page shows initially, evenly spaced."""
        chosen = set(choose([row.item for row in self.rows], FIRST))
        return [row for row in self.rows if row.item in chosen]

    @property
    def damages(self) -> list[str]:
        """Unreadable pictures, one line each."""
        return [tile.damage for row in self.rows for tile in row.tiles if tile.damage]

    @property
    def aspect(self) -> str:
        """CSS aspect ratio of the first picture, for empty tiles."""
        shown = (tile.shown for row in self.rows for tile in row.tiles if tile.shown)
        return next((f"{files.width} / {files.height}" for files in shown), "1 / 1")


@dataclass(frozen=True)
class GalleryLabelMaps:
    """Items with label maps in the report's assets, by row index.

    The files are named by `TRUTH`, `SEGMENTATION` and `ERRORS` with the indices of column and item.

    Attributes:
        truth: The items with true labels.
        segmented: The items with a segmentation, for each column of the gallery; with true labels, they have an error
            map too.
        damages: Files that cannot be used, one line each.
    """

    truth: frozenset[int]
    segmented: tuple[frozenset[int], ...]
    damages: tuple[str, ...]


def columns(grid: Grid, cells: Sequence[str], seeds: Sequence[int], ranges: Ranges = WHOLE) -> list[Column]:
    """Columns of a grid: input if any, the cells, real if any.

    Args:
        grid: Where the pictures are.
        cells: The cells, in the order of the columns.
        seeds: The grid's seeds; a cell shows the lowest that has pictures.
        ranges: The values of its pictures.
    """
    before, after = ([column] if column.pictures else [] for column in given(grid, ranges))
    return [*before, *(cell_column(grid, cell, seeds, ranges) for cell in cells), *after]


def given(grid: Grid, ranges: Ranges) -> tuple[Column, Column]:
    """Input and target columns of a grid, even if empty."""
    inputs, real = grid.input, grid.real
    return Column(inputs, inputs.pictures(), ranges.input), Column(real, real.pictures(), ranges.output)


def write(
    columns: Sequence[Column], folder: Path, most: int | None = None, notable: Sequence[str] = ()
) -> Gallery | None:
    """Write the pictures of a gallery into a folder; None without pictures.

    A picture that cannot be read is named in the gallery's damages and replaced by a note.

    Args:
        columns: The columns; the items are those of the target if any.
        folder: An existing folder. File names consist of the indices of column and item.
        most: Maximum number of items, at least 1; None for as many as give `PICTURES` pictures.
        notable: Items that are preferred if there are more: they fill up to half of the rows, evenly spaced items the
            rest.
    """
    ids = _item_ids(columns)
    if not ids:
        return None
    known = set(ids)
    items = _fill([item for item in notable if item in known], ids, most or max(FIRST, PICTURES // len(columns)))

    def row(index: int) -> GalleryRow:
        item = items[index]
        tiles = [
            _tile(column, item, folder / f"{column_index:02}-{index:04}") for column_index, column in enumerate(columns)
        ]
        return GalleryRow(index, item, tuple(tiles))

    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes and encodes
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
    """At most `count` evenly spaced ids, the first and last included."""
    ordered = sorted(ids)
    if len(ordered) <= count:
        return ordered
    if count == 1:
        return ordered[:1]
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def shown_width(widths: Sequence[int], room: int) -> int:
    """CSS width of every picture, given their native widths and the room.

    Small pictures are enlarged by an integer factor, so that their pixels stay squares of equal size.
    """
    native = Counter(widths).most_common(1)[0][0] if widths else room  # pictures of a grid seldom differ in width
    return native * (room // native) if native <= room else room


def _fill(notable: Sequence[str], ids: Sequence[str], most: int) -> list[str]:
    """At most `most` ids in order, at most half of them notable."""
    if len(ids) <= most:
        return sorted(ids)
    first = list(dict.fromkeys(notable))[: most // 2]
    rest = [item for item in ids if item not in set(first)]
    return sorted([*first, *choose(rest, most - len(first))])


def cell_column(grid: Grid, cell: str, seeds: Sequence[int], ranges: Ranges = WHOLE) -> Column:
    """Pictures of a cell: those of its lowest seed with any."""
    for seed in sorted(seeds):
        run = grid.run(cell, seed)
        pictures = run.pictures()
        if pictures:
            return Column(run, pictures, ranges.output)
    return Column(Run(grid.folder / cell, cell, None), {})


def _item_ids(columns: Sequence[Column]) -> list[str]:
    """Items of the target or input if any, else of cells."""
    # The target is the last column, and decides where there is one.
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


def write_label_maps(
    grid: Grid, columns: Sequence[Column], items: Sequence[str], folder: Path
) -> GalleryLabelMaps | None:
    """Copy the grid's label maps and draw error maps; None without any.

    Args:
        grid: Where they are.
        columns: Those of the gallery.
        items: The ids of the gallery's rows.
        folder: An existing folder.
    """
    if not grid.labels.is_dir() and not any(column.run.segmentations.is_dir() for column in columns):
        return None
    damages: list[str] = []

    def item(row_index: int) -> tuple[bool, list[bool]]:
        truth = _label_map(grid.labels / f"{items[row_index]}.png", damages)
        if truth:
            (folder / TRUTH.format(item=row_index)).write_bytes(truth.content)
        segmented = []
        for column_index, column in enumerate(columns):
            source = column.run.segmentations / f"{items[row_index]}.png"
            segmentation = _label_map(source, damages)
            # Maps of two sizes cannot be compared pixel by pixel: one is of an earlier scoring.
            if segmentation and truth and segmentation.values.shape != truth.values.shape:
                damages.append(
                    f"{source}: found {segmentation.size}, expected {truth.size} as the true labels; move it away and "
                    "score the run again"
                )
                segmentation = None
            if segmentation:
                (folder / SEGMENTATION.format(column=column_index, item=row_index)).write_bytes(segmentation.content)
            if segmentation and truth:
                _write_errors(
                    label_errors(truth.values, segmentation.values),
                    folder / ERRORS.format(column=column_index, item=row_index),
                )
            segmented.append(segmentation is not None)
        return truth is not None, segmented

    with ThreadPoolExecutor() as pool:
        labelled_rows = list(pool.map(item, range(len(items))))
    return GalleryLabelMaps(
        truth=frozenset(row_index for row_index, (labelled, _) in enumerate(labelled_rows) if labelled),
        segmented=tuple(
            frozenset(row_index for row_index, (_, there) in enumerate(labelled_rows) if there[column_index])
            for column_index in range(len(columns))
        ),
        damages=tuple(sorted(damages)),
    )


def label_errors(truth: NDArray[np.uint8], segmentation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map (H, W) of RIGHT, WRONG or UNLABELLED for two label maps."""
    wrong = np.where(truth == segmentation, np.uint8(RIGHT), np.uint8(WRONG))
    wrong[truth == IGNORED] = UNLABELLED
    return wrong


class StoredLabelMap(NamedTuple):
    """A label map as its file's bytes and class indices (H, W)."""

    content: bytes
    values: NDArray[np.uint8]

    @property
    def size(self) -> str:
        """Size as WIDTHxHEIGHT."""
        return f"{self.values.shape[1]}x{self.values.shape[0]}"


def _label_map(path: Path, damages: list[str]) -> StoredLabelMap | None:
    """Read a label map; None if missing or unreadable, which is noted."""
    try:
        return read_label_map(path) if path.is_file() else None
    except ReportError as error:
        damages.append(str(error))
        return None


def read_label_map(path: Path) -> StoredLabelMap:
    """Read a palette PNG of class indices (H, W), IGNORED for void.

    Raises:
        ReportError: The file is damaged, or no palette PNG.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.mode != "P":
                raise ValueError(f"a picture of mode {picture.mode}")
            return StoredLabelMap(content, np.asarray(picture))
    except UnidentifiedImageError as error:  # its message has a memory address
        raise _no_label_map(path, "no PNG") from error
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise _no_label_map(path, str(error)) from error


def _no_label_map(path: Path, why: str) -> ReportError:
    what = f"found no label map ({why}), expected a palette PNG"
    return ReportError(f"{path}: {what}; move it away and score the run again")


def _write_errors(values: NDArray[np.uint8], path: Path) -> None:
    picture = Image.frombytes("P", values.shape[::-1], values.tobytes())
    picture.putpalette(_PALETTE)
    picture.save(path, bits=2, compress_level=1)  # three colours fit in two bits
