"""Every score in a results folder as one table."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reports.store.errors import ReportError

if TYPE_CHECKING:
    import pandas as pd


class DamagedScores(UserWarning):
    """Scores that are there, cannot be read, and so are left out; the message names them, a line each."""


def read(results: Path | str) -> pd.DataFrame:
    """Every score in a results folder: one row a run, metric and item.

    Returns:
        A table with the columns grid, cell, seed (none for the ground truth, whose cell is "real"), item, metric,
        value, low, high, n, n_expected, fingerprint, scorer, scorer_title, note. Each metric has a row over all items,
        whose item is "all" and which alone has an interval (95 %), and where items have values of their own, a row for
        each. NaN stands for what there is not: the interval of a single item, the score of an image that does not
        count. Rows of different fingerprints are not comparable. `scorer_title` names the network where a scorer sees
        with one of the user's own; `note` says what is, or may be, wrong with a run's training or with its raters, and
        is None elsewhere.
        `attrs["damaged"]` is a list of what is left out, a line each, also given as the warning `DamagedScores`.

    Raises:
        ReportError: There is no such folder, or no grid in it.
    """
    # Imported here, since the command line passes by `reports` and must not wait for pandas.
    from reports.store import layout, ledger

    folder = Path(results)
    grids = layout.grids(folder)
    if not grids:
        what = "found no grid" if folder.is_dir() else layout.found_at(folder)
        raise ReportError(f"{folder}: {what}, expected GRID/grid.json in it; give the folder that training wrote")
    damaged: list[str] = []

    def readable() -> Iterator[ledger.Entry]:
        for grid in grids:
            for found in ledger.each(grid):
                if isinstance(found, ledger.Entry):
                    yield found
                else:
                    damaged.append(found.message)

    table = ledger.tidy(readable())
    table.attrs["damaged"] = damaged
    if damaged:
        warnings.warn(f"{len(damaged)} left out:\n" + "\n".join(damaged), DamagedScores, stacklevel=2)
    return table
