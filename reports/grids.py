"""What grid.json says: the cells of a grid with what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel

from reports import apart, json_files, layout
from reports.errors import ReportError
from reports.layout import INPUT, REAL, SEEDS, Grid

Range = tuple[float, float]
"""The values of a picture that are black and white; those beyond are clipped."""

LARGEST = 65535  # value of a picture, at 16 bits
_AGAIN = "put the grid's own back, or move it away and train the grid again"


class Ranges(NamedTuple):
    """The value ranges of a grid's pictures; None is all of 8 or 16 bits.

    Attributes:
        input: Of those in `input/`.
        output: Of those in `real/` and of every run's outputs.
    """

    input: Range | None
    output: Range | None


WHOLE = Ranges(None, None)


@dataclass(frozen=True)
class Description:
    """A grid as it was asked for, whether or not its runs exist.

    Attributes:
        title: One line for people.
        source: Where the grid comes from, such as a paper's section.
        cells: The settings of each cell by name, in the order in which tables show them.
        seeds: The seeds of every cell.
        dataset: Name, root, split and item list of the dataset.
        settings: What all cells share.
        versions: The libraries that trained it.
        git_revision: The revision of the code that trained it, where known.
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
        """The value ranges of the grid's pictures: `input_range` and `output_range` of its settings.

        Raises:
            ValueError: One is neither null nor a range; see `as_range`.
        """
        return Ranges(*(_range(name, self.settings.get(name)) for name in ("input_range", "output_range")))


def ranges(grid: Grid) -> Ranges:
    """The value ranges of a grid's pictures, the ground truth's and every run's alike.

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
    """grid.json, as far as reports need it."""

    title: str | None = None
    source: str | None = None
    cells: dict[str, dict[str, Any]]
    seeds: list[int]
    dataset: Annotated[dict[str, Any] | None, AfterValidator(_rooted)] = None
    settings: dict[str, Any] | None = None
    versions: dict[str, Any] | None = None
    git_revision: str | None = None


def read(grid: Grid) -> Description:
    """The description of a grid.

    Raises:
        ReportError: grid.json is damaged, or names a cell that cannot be a folder of this grid.
    """
    document = json_files.read(grid.json, _Document, _AGAIN)
    description = Description(
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
    """Refuse a place for a report that is, holds or lies in what it is made from, or in the data of its runs.

    Args:
        out: A folder or a file.
        results: The results folders; elsewhere in them it may be, even where they lie in a dataset's folder.

    Raises:
        ReportError: It is so; what it is, holds or lies in is named.
    """
    for folder in results:
        apart.check(out, layout.inputs(folder))
    if not any(out.resolve().is_relative_to(folder.resolve()) for folder in results):
        apart.check(out, [root for folder in results for root in _roots(folder)])


def _roots(results: Path) -> Iterator[Path]:
    """Where the data of a results folder's grids are, as far as that is known and they are there."""
    for grid in layout.grids(results):
        try:
            root = read(grid).dataset.get("root")
        except ReportError:  # which the report says
            continue
        if root is not None and Path(str(root)).exists():
            yield Path(str(root))


def as_range(value: object) -> Range:
    """A range as a document has it: two values that a picture may have.

    Raises:
        ValueError: It is not two whole numbers from 0 to 65535, the lower first.
    """
    ends = tuple(value) if isinstance(value, (list, tuple)) else ()
    numbers = len(ends) == 2 and all(type(end) in (int, float) and 0 <= end <= LARGEST and end % 1 == 0 for end in ends)
    if not numbers or not ends[0] < ends[1]:
        raise ValueError(
            f"expected two whole numbers from 0 to {LARGEST} (of pictures of 8 bits, to 255), the lower first, such as "
            f"[1000, 1400], found {list(ends) or value!r}"
        )
    return float(ends[0]), float(ends[1])


def shown(ends: Range) -> str:
    """A range for messages, such as 1000..1400."""
    return "..".join(f"{end:.10g}" for end in ends)


def _range(name: str, value: object) -> Range | None:
    try:
        return None if value is None else as_range(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_cell(cell: str) -> None:
    """A cell's name is a folder's: one that leads elsewhere must not be followed."""
    if not cell or "/" in cell or "\\" in cell or "\0" in cell or cell in {".", "..", INPUT, REAL}:
        raise ValueError(f"found cell {cell!r}, expected a folder's name other than {INPUT!r} and {REAL!r}")
