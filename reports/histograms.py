"""Lab histograms of outputs and targets, as in the paper's Figure 7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.store.errors import DAMAGED, ReportError
from reports.store.layout import Run
from reports.store.made import Made

CHANNELS = {"L": "L: dark to light", "a": "a: green to red", "b": "b: blue to yellow"}
_BIN, _SIDES = ["channel", "low", "high"], ["output", "target"]
_AGAIN = "move it away and run p2pbench image-score again"
_SHOWN = ["cell", *_BIN, "share"]


@dataclass(frozen=True, eq=False)
class LabHistograms:
    """Lab histograms of a grid.

    Attributes:
        shares: One row per cell (and `real`), channel and bin: cell, channel, low, high, and the share of all pixels.
        damages: Files that cannot be read, one line each.
    """

    shares: pd.DataFrame
    damages: tuple[str, ...]


def read(runs: Sequence[Run], real: str) -> LabHistograms | None:
    """Read the histograms of runs and targets; None without any.

    Several seeds of a cell are summed.
    """
    damages: list[str] = []
    tables: dict[Run, pd.DataFrame] = {}
    for run in runs:
        try:
            table = _read(run)
        except ReportError as error:
            damages.append(str(error))
            continue
        if table is not None:
            tables[run] = table
    binned = {run: tuple(table[_BIN].itertuples(index=False, name=None)) for run, table in tables.items()}
    bins = next((each for each, _ in Counter(binned.values()).most_common(1)), ())
    pooled: dict[str, pd.DataFrame] = {}
    for run, table in tables.items():
        if binned[run] != bins:
            damages.append(f"{run.lab_histograms}: found other bins than those of most runs; {_AGAIN}")
            continue
        counts = table[_SIDES] + (pooled[run.cell][_SIDES] if run.cell in pooled else 0)
        pooled[run.cell] = table.assign(**counts)
    if not pooled:
        return LabHistograms(pd.DataFrame(columns=_SHOWN), tuple(damages)) if damages else None
    parts = [_share(table, "output", cell) for cell, table in pooled.items()]
    targets = _share(next(iter(pooled.values())), "target", real)
    return LabHistograms(pd.concat([*parts, targets], ignore_index=True), tuple(damages))


def curves(colours: LabHistograms, channel: str) -> Mapping[str, pd.DataFrame]:
    """Bins of one channel by cell: low, high and share."""
    of_channel = colours.shares[colours.shares["channel"] == channel]
    return {str(cell): table for cell, table in of_channel.groupby("cell", sort=False)}


def _share(table: pd.DataFrame, side: str, cell: str) -> pd.DataFrame:
    totals = table.groupby("channel", sort=False)[side].transform("sum")
    return table.assign(cell=cell, share=table[side] / totals)[_SHOWN]


def _read(run: Run) -> pd.DataFrame | None:
    path = run.lab_histograms
    if not path.is_file():
        return None
    Made(path.parent).check_as_made(path, _AGAIN)
    try:
        table = pd.read_csv(path, dtype={"channel": str})[_BIN + _SIDES].astype(
            dict.fromkeys(["low", "high", *_SIDES], float)
        )
    except DAMAGED as error:
        raise ReportError(f"{path}: found no histograms ({' '.join(str(error).split())}); {_AGAIN}") from error
    counts = table[_SIDES]
    totals = counts.groupby(table["channel"]).sum()
    whole = np.isfinite(table[["low", "high", *_SIDES]]).all(axis=None)
    if (
        set(table["channel"]) != set(CHANNELS)
        or not whole
        or (counts < 0).any(axis=None)
        or (totals <= 0).any(axis=None)
    ):
        raise ReportError(f"{path}: found no counts of L, a and b, expected some of each; {_AGAIN}")
    return table
