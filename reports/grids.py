"""What grid.json says: the cells of a grid with what they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reports.errors import ReportError
from reports.layout import INPUT, REAL, SEEDS, Grid

Range = tuple[float, float]
"""The values of a picture that are black and white; those beyond are clipped."""

LARGEST = 65535  # value of a picture, at 16 bits


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


def read(grid: Grid) -> Description:
    """The description of a grid.

    Raises:
        ReportError: grid.json is damaged, or names a cell that cannot be a folder of this grid.
    """
    try:
        document = json.loads(grid.json.read_bytes())
        description = _description(grid.name, document)
        for cell in description.cells:
            _check_cell(cell)
        for seed in description.seeds:
            if not 0 <= seed < SEEDS:
                raise ValueError(f"found seed {seed}, expected 0 to {SEEDS - 1}")
        _ = description.ranges  # refuses what is no range
    except KeyError as error:
        raise _damaged(grid, f"found no {error}, expected it") from error
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(grid, str(error)) from error
    return description


def _description(name: str, document: dict[str, Any]) -> Description:
    revision = document.get("git_revision")
    return Description(
        title=str(document.get("title") or name),
        source=str(document.get("source") or ""),
        cells={str(cell): dict(settings) for cell, settings in document["cells"].items()},
        seeds=tuple(int(seed) for seed in document["seeds"]),
        dataset=dict(document.get("dataset") or {}),
        settings=dict(document.get("settings") or {}),
        versions=dict(document.get("versions") or {}),
        git_revision=None if revision is None else str(revision),
    )


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


def _damaged(grid: Grid, what: str) -> ReportError:
    return ReportError(f"{grid.json}: {what}; train the grid again, or put its grid.json back")
