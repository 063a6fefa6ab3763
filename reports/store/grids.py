"""grid.json: cells, shared settings and value ranges of a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel

from reports.store import apart, json_files, layout
from reports.store.errors import ReportError
from reports.store.layout import INPUT, REAL, SEEDS, Grid
from reports.store.names import counted
from reports.store.picture import stored
from reports.store.ranges import Range, as_range, clipped, measure, spread

_AGAIN = "put the grid's own back, or move it away and train the grid again"


class Ranges(NamedTuple):
    """Value ranges of a grid's pictures; None for the full bit depth.

    Attributes:
        input: Range of the pictures in `input/`.
        output: Range of those in `real/` and of all runs' outputs.
    """

    input: Range | None
    output: Range | None


WHOLE = Ranges(None, None)


@dataclass(frozen=True)
class GridDescription:
    """A grid as specified, whether or not its runs exist.

    Attributes:
        title: One-line title.
        source: Origin of the grid, such as a paper's section.
        cells: The settings of each cell by name, in the order in which tables show them.
        seeds: The seeds of every cell.
        dataset: Name, root, split and item list of the dataset.
        settings: Settings that all cells share.
        versions: Versions of the libraries that trained it.
        git_revision: Revision of the code that trained it, if known.
    """

    title: str
    source: str
    cells: Mapping[str, Mapping[str, object]]
    seeds: tuple[int, ...]
    dataset: Mapping[str, object]
    settings: Mapping[str, object]
    versions: Mapping[str, object]
    git_revision: str | None

    @property
    def ranges(self) -> Ranges:
        """Value ranges by the settings `input_range` and `output_range`.

        Raises:
            ValueError: One is neither null nor a range; see `as_range`.
        """
        return Ranges(*(_range(name, self.settings.get(name)) for name in ("input_range", "output_range")))


def ranges(grid: Grid) -> Ranges:
    """Value ranges of a grid's pictures, ground truth and runs alike.

    Raises:
        ReportError: As `read`.
    """
    return read(grid).ranges


def _rooted(dataset: dict[str, Any] | None) -> dict[str, Any] | None:
    root = (dataset or {}).get("root")
    if root is not None and not isinstance(root, str):
        raise ValueError(f"expected a folder as root, found {root!r}")
    return dataset


class _Document(BaseModel):
    """Part of grid.json that reports need."""

    title: str | None = None
    source: str | None = None
    cells: dict[str, dict[str, Any]]
    seeds: list[int]
    dataset: Annotated[dict[str, Any] | None, AfterValidator(_rooted)] = None
    settings: dict[str, Any] | None = None
    versions: dict[str, Any] | None = None
    git_revision: str | None = None


def read(grid: Grid) -> GridDescription:
    """Read the description of a grid.

    Raises:
        ReportError: grid.json is damaged, or names a cell that cannot be a folder of this grid.
    """
    document = json_files.read(grid.json, _Document, _AGAIN)
    description = GridDescription(
        title=document.title or grid.name,
        source=document.source or "",
        cells=document.cells,
        seeds=tuple(document.seeds),
        dataset=document.dataset or {},
        settings=document.settings or {},
        versions=document.versions or {},
        git_revision=document.git_revision,
    )
    try:
        for cell in description.cells:
            _check_cell(cell)
        for seed in description.seeds:
            if not 0 <= seed < SEEDS:
                raise ValueError(f"found seed {seed}, expected 0 to {SEEDS - 1}")
        _ = description.ranges  # refuses what is no range
    except ValueError as error:
        raise json_files.damaged(grid.json, str(error), _AGAIN) from error
    return description


def check_apart(out: Path, *results: Path) -> None:
    """Refuse a report's path that overlaps its inputs or their datasets.

    Args:
        out: A folder or a file.
        results: The results folders; other paths in them are allowed, even if they lie in a dataset's folder.

    Raises:
        ReportError: It does; the message names the other folder.
    """
    for folder in results:
        apart.check(out, layout.inputs(folder))
    # A report may lie in its results folder, even if that lies in a dataset's.
    if not any(out.resolve().is_relative_to(folder.resolve()) for folder in results):
        apart.check(out, [root for folder in results for root in _roots(folder)])


def _roots(results: Path) -> Iterator[Path]:
    """Dataset folders of a results folder's grids, as far as they exist."""
    for grid in layout.grids(results):
        try:
            root = read(grid).dataset.get("root")
        except ReportError:  # reported elsewhere
            continue
        if root is not None and Path(str(root)).exists():
            yield Path(str(root))


def _range(name: str, value: object) -> Range | None:
    try:
        return None if value is None else as_range(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_cell(cell: str) -> None:
    """Refuse a cell's name that is no plain folder name."""
    if not cell or "/" in cell or "\\" in cell or "\0" in cell or cell in {".", "..", INPUT, REAL}:
        raise ValueError(f"found cell {cell!r}, expected a folder's name other than {INPUT!r} and {REAL!r}")


def check_ranges(grid: Grid, say: Callable[[str], None] = lambda line: None) -> Ranges:
    """Check the declared value ranges against 16 pictures of each folder.

    Args:
        grid: The grid.
        say: Called with one line per range that clips values.

    Raises:
        ReportError: As `clipped` and `read`; or a picture cannot be read.
    """
    declared = ranges(grid)
    for name, ends, run in (("input_range", declared.input, grid.input), ("output_range", declared.output, grid.real)):
        files = spread(list(run.pictures().values())) if ends is not None else []
        if ends is None or not files:
            continue
        values = measure(map(stored, files), ends)
        whose = f"the values of {counted(len(files), 'picture')} of {run.images}"
        mend = "train the grid again, elsewhere, with the range of the data"
        for line in clipped(f"{grid.json}: {name}", ends, values, whose, mend):
            say(line)
    return declared
