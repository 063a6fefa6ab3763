"""CSV files of text cells, with formulas escaped for spreadsheets.

A cell that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage return) is prefixed with
an apostrophe. So is a cell of apostrophes followed by such a character, so that unescaping restores what was written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from amt.errors import AmtError

if TYPE_CHECKING:  # commands that only write links start without pandas
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read header and rows of a UTF-8 CSV file, escapes included.

    Raises:
        AmtError: The file cannot be read, is empty, or has rows of unequal length or a duplicate column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except OSError as error:
        raise AmtError(f"{path}: cannot be read ({error.strerror}); give a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AmtError(f"{path}: not a CSV file in UTF-8 ({error}); export it again") from error
    if not rows:
        raise AmtError(f"{path}: empty; expected a header and rows; export it again")
    header, *rest = rows
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise AmtError(f"{path}: two columns are called {twice[0]!r}; expected unique names; remove one")
    for i, row in enumerate(rest, 2):
        if len(row) != len(header):
            raise AmtError(f"{path}, row {i}: {len(row)} cells; expected {len(header)}; export the file again")
    return header, rest


def text(table: pd.DataFrame, columns: Iterable[str]) -> str:
    """Format table columns as CSV, with missing cells empty and full precision."""
    names = list(columns)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names)
    cells = [table[name].astype(object).where(table[name].notna(), "").tolist() for name in names]
    for row in zip(*cells, strict=True):
        writer.writerow(escape(cell) if isinstance(cell, str) else cell for cell in row)
    return out.getvalue()


def escape(cell: str) -> str:
    """Prefix a formula with an apostrophe."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape(cell: str) -> str:
    """Restore a cell from its escaped form."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
