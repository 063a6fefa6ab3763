"""What grid.json says: the cells of a grid with what they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.errors import ReportError
from reports.layout import INPUT, REAL, SEEDS, Grid


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


def _check_cell(cell: str) -> None:
    """A cell's name is a folder's: one that leads elsewhere must not be followed."""
    if not cell or "/" in cell or "\\" in cell or "\0" in cell or cell in {".", "..", INPUT, REAL}:
        raise ValueError(f"found cell {cell!r}, expected a folder's name other than {INPUT!r} and {REAL!r}")


def _damaged(grid: Grid, what: str) -> ReportError:
    return ReportError(f"{grid.json}: {what}; train the grid again, or put its grid.json back")
