"""Table of answers in memory and as CSV, one row per trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amt import safe_csv
from amt.errors import AmtError

DTYPES = {
    "study": "string",
    "algorithm": "string",
    "rater": "string",
    "session": "string",
    "state": "string",
    "phase": "string",
    "trial": "Int64",
    "item": "string",
    "real_item": "string",
    "fake_side": "string",
    "choice": "string",
    "fooled": "Int64",
    "response_ms": "float64",
    "void": "string",
    "frame_ms": "float64",
    "left_ms": "float64",
    "right_ms": "float64",
    "left_gap_ms": "float64",
    "right_gap_ms": "float64",
    "answered_at": "string",
    "simulated": "Int64",
    "cluster": "string",
}
COLUMNS = tuple(DTYPES)
VALUES = {
    "state": ("completed", "running", "abandoned", "withdrawn", "ended"),
    "phase": ("practice", "scored", "attention"),
    "fake_side": ("left", "right"),
    "choice": ("left", "right"),
    "void": ("hidden", "blur", "resize", "reload"),
}
# Rates can be computed without these; exclusions note the rules that they could not apply.
OPTIONAL = COLUMNS[COLUMNS.index("response_ms") :]
# 1 in every row of a study with simulated raters; files have the column only then.
_SIMULATED = "simulated"
# Cluster of the item, such as the drive of a frame; files have the column only where it is known.
_CLUSTER = "cluster"
_NEVER_MISSING = COLUMNS[: COLUMNS.index("choice")]
_MILLISECONDS = tuple(column for column in COLUMNS if column.endswith("_ms"))


def build(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Build the table from rows; absent columns are missing values.

    Raises:
        AmtError: A row is not a valid answer (see `check`).
    """
    table = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(DTYPES)
    check(table)
    return table


def read(path: Path) -> pd.DataFrame:
    """Read the columns of COLUMNS from a CSV export.

    Columns from `response_ms` on may be absent; their values are then missing.

    Raises:
        AmtError: The file cannot be read, or a cell is invalid; rows are numbered as in a spreadsheet.
    """
    header, rows = safe_csv.read(path)
    absent = [column for column in COLUMNS if column not in header and column not in OPTIONAL]
    if absent:
        raise AmtError(
            f"{path}: no column {', '.join(absent)}; expected the answers of a study with the columns "
            f"{', '.join(COLUMNS)}; export them again"
        )
    table = pd.DataFrame(index=range(len(rows)))
    for column, dtype in DTYPES.items():
        i = header.index(column) if column in header else None
        cells = pd.Series(["" if i is None else row[i] for row in rows], dtype="string")
        if dtype == "string":
            table[column] = cells.map(safe_csv.unescape).astype("string").mask(cells == "")
        else:
            table[column] = _numbers(cells, column, whole=dtype == "Int64", where=str(path))
    check(table, str(path))
    return table


def text(table: pd.DataFrame) -> str:
    """Format a table as CSV, with formulas escaped (see `amt.safe_csv`).

    The column `simulated` is written only for simulated raters, `cluster` only where clusters are known.

    Raises:
        AmtError: The table is not a valid table of answers.
    """
    check(table)
    known = {_SIMULATED: simulated(table), _CLUSTER: clustered(table)}
    return safe_csv.text(table, [column for column in COLUMNS if known.get(column, True)])


def simulated(table: pd.DataFrame) -> bool:
    """Whether a table's raters were simulated."""
    return bool((table[_SIMULATED] == 1).any())


def clustered(table: pd.DataFrame) -> bool:
    """Whether a table has clusters of items."""
    return _CLUSTER in table and bool(table[_CLUSTER].notna().any())


def check(table: pd.DataFrame, where: str = "the table of answers") -> None:
    """Validate a table of answers.

    Raises:
        AmtError: A column is absent, or a row contradicts itself or another; rows count from 2, as in the CSV.
    """
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise AmtError(f"{where}: no column {', '.join(absent)}; expected {', '.join(COLUMNS)}; add it")
    for column in _NEVER_MISSING:
        _refuse(table[column], where, ~_known(table[column]), "a value in every row")
    for column, values in VALUES.items():
        wrong = _known(table[column]) & ~table[column].isin(values)
        expected = ", ".join(values) + ("" if column in _NEVER_MISSING else " or nothing")
        _refuse(table[column], where, wrong, expected)
    _refuse(table["trial"], where, table["trial"] < 1, "a number from 1")
    for column in _MILLISECONDS:
        number = table[column].to_numpy(float)
        least = 1e-9 if column == "frame_ms" else 0
        wrong_number = ~np.isnan(number) & ~((number >= least) & np.isfinite(number))
        _refuse(table[column], where, wrong_number, "milliseconds above 0, or nothing")
    _refuse(table["fooled"], where, ~_consistent(table), "1 if choice is not fake_side, 0 if it is, nothing without it")
    wrong_kind = _known(table[_SIMULATED]) & ~table[_SIMULATED].isin((0, 1))
    _refuse(table[_SIMULATED], where, wrong_kind, "1 where raters were programs, 0 or nothing where they were people")
    if clustered(table):
        _refuse(table[_CLUSTER], where, ~_known(table[_CLUSTER]), "a value in every row, or in none")
        of_item = table.groupby("item")[_CLUSTER].transform("first")
        _refuse(table[_CLUSTER], where, table[_CLUSTER] != of_item, "one for all rows of an item")
    _refuse(table["answered_at"], where, ~table["answered_at"].map(_is_time).astype(bool), "ISO 8601 with its zone")
    doubled = table.duplicated(["session", "phase", "trial"])
    _refuse(table["trial"], where, doubled, "every trial of a phase once per session")
    for column in ("study", "rater", "state"):
        first = table.groupby("session")[column].transform("first")
        _refuse(table[column], where, table[column] != first, "one for the whole session")


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """Select the answers that count: scored trials, not void, with a choice."""
    return _answered(table, "scored")


def practice(table: pd.DataFrame) -> pd.DataFrame:
    """Select answered practice trials, which count in no rate."""
    return _answered(table, "practice")


def attention(table: pd.DataFrame) -> pd.DataFrame:
    """Select answered attention checks; `fooled` is 0 where the check was passed."""
    return _answered(table, "attention")


def _answered(table: pd.DataFrame, phase: str) -> pd.DataFrame:
    return table[(table["phase"] == phase) & ~_known(table["void"]) & _known(table["choice"])]


def _consistent(table: pd.DataFrame) -> pd.Series[bool]:
    # Comparisons with missing values are missing, not False.
    fooled = (table["choice"] != table["fake_side"]).astype("Int64")
    both_missing = ~_known(table["choice"]) & ~_known(table["fooled"])
    return (table["fooled"] == fooled).fillna(False).astype(bool) | both_missing


def _known(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.notna().astype(bool)


def _numbers(cells: pd.Series[str], column: str, *, whole: bool, where: str) -> pd.Series[Any]:
    numbers = pd.to_numeric(cells.mask(cells == "").astype(object), errors="coerce").astype("float64")
    wrong = numbers.isna() & (cells != "").astype(bool)
    if whole:
        wrong |= numbers.notna() & (numbers % 1 != 0)
    _refuse(cells.rename(column), where, wrong, "a whole number" if whole else "a number")
    return numbers.astype("Int64") if whole else numbers


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _refuse(column: pd.Series[Any], where: str, wrong: object, expected: str) -> None:
    rows = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if rows.size:
        value: Any = column.iloc[int(rows[0])]
        found = "nothing" if pd.isna(value) else repr(value if isinstance(value, str) else float(value))
        raise AmtError(
            f"{where}, row {rows[0] + 2}, column {column.name}: found {found}; expected {expected}; "
            "correct it or export the answers again"
        )
