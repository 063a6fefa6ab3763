"""Tables as CSV without executable formulas."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from reports import paper
from reports.reproduce import plain
from reports.store.bootstrap import clusters_of
from reports.store.grids import GridDescription
from reports.store.layout import REAL
from reports.store.metrics import describe_scorer
from reports.store.names import printable
from reports.tables import CellRow, ProtocolDifference, ScoreTable

# At the start, or behind the semicolon that separates cells where the decimal mark is a comma; also full-width.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@＝＋－＠])")
GROUND_TRUTH = "ground truth"
TRAINED_ONCE = "trained once"
_ENDINGS = ("_low", "_high", "_mark", "_ranks", "_paper", "_paper_plus_minus", "_minus_paper")


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8, numbers at full precision, missing values empty.

    Text is made safe by `inert`. A byte-order mark is written if, and only if, some text is not ASCII: without it,
    Excel assumes another encoding.
    """
    harmless = table.rename(columns=inert)
    for index in range(harmless.shape[1]):
        column = harmless.iloc[:, index]
        if not pd.api.types.is_numeric_dtype(column):
            known = {text: inert(text) for text in column.unique()}
            harmless.isetitem(index, column.map(known).array)
    text = harmless.to_csv(index=False, lineterminator="\n")
    path.write_bytes(text.encode("utf-8" if text.isascii() else "utf-8-sig"))


def inert(value: object) -> object:
    r"""Text that no spreadsheet takes for a formula; other values unchanged.

    An apostrophe is put before formulas; control and direction characters are written out, as `\n` or `\u202e`.
    """
    return _FORMULA.sub(r"\1'", printable(value)) if isinstance(value, str) else value


def of_table(table: ScoreTable, description: GridDescription) -> pd.DataFrame:
    """Table of one scorer, one row per cell.

    The columns are described in docs/report-tables.md.

    Args:
        table: The table.
        description: The grid, which determines the paper's numbers.
    """
    rows = table.all_rows()
    columns: dict[str, list[object]] = {
        "cell": [row.cell for row in rows],
        "seeds": [" ".join(map(str, row.seeds)) for row in rows],
        "n": [row.n for row in rows],
        "n_expected": [row.n_expected for row in rows],
        "fingerprint": [row.fingerprint for row in rows],
        "scorer": [describe_scorer(table.scorer, row.protocol).title for row in rows],
        "ranked": [_why(row, table) is None for row in rows],
        "not_ranked_because": [_why(row, table) for row in rows],
        "intervals_over": [_over(table.scorer, row) for row in rows],
    }
    if any(row.note for row in rows):
        columns["note"] = [row.note or None for row in rows]
    clusters = [clusters_of(row.protocol) for row in rows]
    if any(clusters):
        columns["clusters"] = [each and each.n for each in clusters]
    if table.protocol.get("simulated"):
        columns["simulated_raters"] = [True] * len(rows)
    for metric in table.metrics:
        name = metric
        while any(f"{name}{ending}" in columns for ending in ("", *_ENDINGS)):
            name = f"metric_{name}"  # its name is that of another column
        columns |= _of_metric(name, metric, table, description)
    return pd.DataFrame(columns)


def _over(scorer: str, row: CellRow) -> str:
    things = describe_scorer(scorer, row.protocol).over
    return f"trainings and {things}" if len(row.seeds) > 1 else things


def _of_metric(name: str, metric: str, table: ScoreTable, description: GridDescription) -> dict[str, list[object]]:
    rows = table.all_rows()
    numbers = [row.numbers.get(metric) for row in rows]
    columns: dict[str, list[object]] = {
        name: [number and number.value for number in numbers],
        f"{name}_low": [number and number.interval.low for number in numbers],
        f"{name}_high": [number and number.interval.high for number in numbers],
        f"{name}_mark": [number and number.mark.value for number in numbers],
        f"{name}_ranks": [number and number.ranks and "{} to {}".format(*number.ranks) for number in numbers],
    }
    # A row with another protocol than the table's is not the paper's experiment.
    published = [
        paper.value(description, table.scorer, metric, row.cell, table.protocol) if not row.differences else None
        for row in rows
    ]
    if any(published):
        columns[f"{name}_paper"] = [known and known.value for known in published]
        spreads: list[object] = [known and known.plus_minus for known in published]
        if any(spread is not None for spread in spreads):
            columns[f"{name}_paper_plus_minus"] = spreads
        columns[f"{name}_minus_paper"] = [
            number.value - known.value if number and known else None
            for number, known in zip(numbers, published, strict=True)
        ]
    return columns


def of_paper() -> pd.DataFrame:
    """The paper's tables, one row per number.

    The columns are described in docs/report-tables.md.
    """
    return pd.DataFrame(
        [
            (table.title, table.task, table.data, cell, metric, number.value, number.plus_minus)
            for table in paper.TABLES
            for cell, numbers in table.rows.items()
            for metric, number in numbers.items()
        ],
        columns=["table", "task", "data", "cell", "metric", "value", "plus_minus"],
    )


def _why(row: CellRow, table: ScoreTable) -> str | None:
    """Reason for not ranking a row; None if it is ranked."""
    if row.differences:
        return "; ".join(map(reason, row.differences))
    if row.cell == REAL:
        return GROUND_TRUTH
    return TRAINED_ONCE if row.cell in table.left_out else None


def reason(difference: ProtocolDifference) -> str:
    """Reason for setting a row apart.

    Such as `image_size: 64 here, 256 in the table`.
    """
    return f"{difference.field}: {plain(difference.here)} here, {plain(difference.table)} in the table"
