"""Every score in a results folder as one table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.store import layout
from reports.store.errors import ReportError, checked_arguments

if TYPE_CHECKING:  # numpy and pandas take a second to import, and every command imports `reports`
    import pandas as pd

    from reports.store.ledger import LedgerEntry
    from reports.store.scores import Metric

COLUMNS = (
    *("grid", "cell", "seed", "item", "metric", "value", "low", "high", "n", "n_expected"),
    *("fingerprint", "scorer", "scorer_title", "note"),
)
ALL_ITEMS = "all"
_REHEARSED = "the raters were programs: a rehearsal, which says nothing about the images"


class DamagedScores(UserWarning):
    """Scores left out as they cannot be read, one per line."""


@checked_arguments(ReportError)
def read_scores(results: Path | str) -> pd.DataFrame:
    """Read every score in a results folder as one table.

    Returns:
        A table with the columns grid, cell, seed (none for the ground truth, whose cell is "real"), item, metric,
        value, low, high, n, n_expected, fingerprint, scorer, scorer_title, note. Each metric has a row over all items,
        with the item "all" and a 95 % interval; metrics with values by item also have a row per item, without one. NaN
        stands for undefined values: the interval of a single item, the score of an image that does not count. Rows of
        different fingerprints are not comparable. `scorer_title` names the network where a scorer uses one of the
        user's own; `note` names known or possible defects of a run's training or of its raters, and is None elsewhere.
        `attrs["damaged"]` lists the scores that are left out, also given as the warning `DamagedScores`.

    Raises:
        ReportError: There is no such folder, or no grid in it.

    Example:
        >>> from reports.tidy import read_scores
        >>> scores = read_scores("results")
        >>> of_runs = scores[(scores["metric"] == "ssim") & (scores["item"] == "all")]
        >>> print(of_runs[["grid", "cell", "seed", "n", "n_expected"]].to_string(index=False))
          grid cell  seed  n  n_expected
        losses   L1     0  3           3
        losses cGAN     0  3           3
    """
    from reports.store import ledger

    folder = Path(results)
    grids = layout.grids(folder)
    if not grids:
        what = "found no grid" if folder.is_dir() else layout.found_at(folder)
        raise ReportError(f"{folder}: {what}, expected GRID/grid.json in it; give the folder that training wrote")
    damaged: list[str] = []

    def readable() -> Iterator[LedgerEntry]:
        for grid in grids:
            for entry in ledger.entries(grid):
                if isinstance(entry, ledger.LedgerEntry):
                    yield entry
                else:
                    damaged.append(entry.message)

    table = tabulate(readable())
    table.attrs["damaged"] = damaged
    if damaged:
        # At the line of the caller, below the check of arguments.
        warnings.warn(f"{len(damaged)} left out:\n" + "\n".join(damaged), DamagedScores, stacklevel=3)
    return table


def tabulate(entries: Iterable[LedgerEntry]) -> pd.DataFrame:
    """Table of scores with the columns of `COLUMNS`, see `read_scores`."""
    import pandas as pd

    from reports.store.arithmetic import mark

    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    notes: dict[layout.Run, str | None] = {}
    for entry in entries:
        if entry.run not in notes:
            notes[entry.run] = mark(entry.run)
        for name, metric in sorted(entry.scores.metrics.items()):
            for column, values in _columns(entry, name, metric, notes[entry.run]).items():
                columns[column] += values
    seeds = pd.Series(columns["seed"], dtype="Int64")  # beside missing ones they would become floats, and inexact
    return pd.DataFrame(columns).assign(seed=seeds).astype({"value": float, "low": float, "high": float})


def _columns(entry: LedgerEntry, name: str, metric: Metric, note: str | None) -> dict[str, Sequence[object]]:
    """Columns of one metric: the overall row, then the items'."""
    from reports.store.metrics import describe_scorer

    scores = entry.scores
    per_item = () if metric.per_item is None else metric.per_item.tolist()
    none = [math.nan] * len(per_item)
    interval = scores.interval(name)
    same = {
        "grid": entry.grid,
        "cell": entry.run.cell,
        "seed": entry.run.seed,
        "metric": name,
        "n": scores.n,
        "n_expected": scores.n_expected,
        "fingerprint": scores.fingerprint,
        "scorer": scores.scorer,
        "scorer_title": describe_scorer(scores.scorer, scores.protocol).title,
        "note": "; ".join(filter(None, (note, _REHEARSED if scores.protocol.get("simulated") else None))) or None,
    }
    return {
        "item": [ALL_ITEMS, *(scores.item_ids if per_item else ())],
        "value": [float(metric.value), *per_item],
        "low": [interval.low, *none],
        "high": [interval.high, *none],
        **{column: [value] * (1 + len(per_item)) for column, value in same.items()},
    }
