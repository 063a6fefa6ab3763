"""The colours of outputs and targets: distributions of L, a and b on a log scale, as in the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.errors import ReportError
from reports.layout import Run

CHANNELS = {"L": "L: dark to light", "a": "a: green to red", "b": "b: blue to yellow"}
_COLUMNS = ["channel", "low", "high", "output", "target"]


@dataclass(frozen=True, eq=False)
class Colours:
    """The Lab histograms of a grid.

    Attributes:
        shares: One row a cell (and `real`), channel and bin: cell, channel, low, high, and the share of all pixels.
        damages: The files that cannot be read, one line each.
    """

    shares: pd.DataFrame
    damages: tuple[str, ...]


def read(runs: Sequence[Run], real: str) -> Colours | None:
    """The histograms of some runs, of several seeds together, and of their targets; None where none is stored."""
    damages: list[str] = []
    pooled: dict[str, pd.DataFrame] = {}
    for run in runs:
        try:
            table = _read(run)
        except ReportError as error:
            damages.append(str(error))
            continue
        if table is None:
            continue
        key = ["channel", "low", "high"]
        if run.cell in pooled:
            pooled[run.cell] = pd.concat([pooled[run.cell], table]).groupby(key, sort=False, as_index=False).sum()
        else:
            pooled[run.cell] = table
    if not pooled:
        return (
            Colours(pd.DataFrame(columns=["cell", "channel", "low", "high", "share"]), tuple(damages))
            if damages
            else None
        )
    parts = [_share(table, "output", cell) for cell, table in pooled.items()]
    return Colours(
        pd.concat([*parts, _share(next(iter(pooled.values())), "target", real)], ignore_index=True), tuple(damages)
    )


def curves(colours: Colours, channel: str) -> Mapping[str, pd.DataFrame]:
    """The bins of one channel by cell, with the columns low, high and share."""
    of_channel = colours.shares[colours.shares["channel"] == channel]
    return {str(cell): table for cell, table in of_channel.groupby("cell", sort=False)}


def _share(table: pd.DataFrame, side: str, cell: str) -> pd.DataFrame:
    totals = table.groupby("channel", sort=False)[side].transform("sum")
    return table.assign(cell=cell, share=table[side] / totals)[["cell", "channel", "low", "high", "share"]]


def _read(run: Run) -> pd.DataFrame | None:
    path = run.lab_histograms
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype={"channel": str})[_COLUMNS]
        numbers = table[_COLUMNS[1:]].to_numpy(float)
        totals = table.groupby("channel")[["output", "target"]].sum().to_numpy(float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{path}: found no histograms ({error}); run p2pbench image-score again") from error
    if set(table["channel"]) != set(CHANNELS) or not np.isfinite(numbers).all() or (totals <= 0).any():
        raise ReportError(
            f"{path}: found no counts of L, a and b, expected some of each; run p2pbench image-score again"
        )
    return table
