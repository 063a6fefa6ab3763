"""Tables as CSV that a spreadsheet opens without running what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reports.tables import Row, Table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table, numbers at full precision; text that a spreadsheet would run gets an apostrophe before it."""
    harmless = table.rename(columns=inert)
    for column in harmless.select_dtypes(exclude="number"):
        harmless[column] = harmless[column].map(inert)
    harmless.to_csv(path, index=False, encoding="utf-8", errors="backslashreplace", lineterminator="\n")


def inert(value: object) -> object:
    """The value, with an apostrophe before it when it is text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def of_grid(tables: Sequence[Table]) -> pd.DataFrame:
    """The tables of a grid, one row a cell and scorer: cell, seeds, n, scorer, protocol, then the metrics.

    Each metric has the columns METRIC, METRIC_low and METRIC_high; where a cell has no such metric they are empty.
    """
    return pd.DataFrame([_row(table, row) for table in tables for row in table.all_rows()])


def _row(table: Table, row: Row) -> dict[str, object]:
    numbers: dict[str, object] = {}
    for name, number in row.numbers.items():
        numbers |= {name: number.value, f"{name}_low": number.interval.low, f"{name}_high": number.interval.high}
    return {
        "cell": row.cell,
        "seeds": " ".join(map(str, row.seeds)),
        "n": row.n,
        "n_expected": row.n_expected,
        "scorer": table.scorer,
        "fingerprint": row.fingerprint,
        "ranked": not row.differences and row is not table.real,
        **numbers,
    }
