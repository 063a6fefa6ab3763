"""Scores of each class, and confusion between classes, by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.store.errors import DAMAGED, ReportError
from reports.store.layout import Grid, Run
from reports.store.made import Made
from reports.store.metrics import cost_of_absent
from reports.tables import ScoreTable

SCORERS = ("fcn-strict", "labels")
_BY_OFFICIAL_RULES = {"fcn-official": "fcn-strict", "labels-official": "labels"}
_NUMBERS = ("accuracy", "accuracy_low", "accuracy_high", "iou", "iou_low", "iou_high", "pixels", "images")
_AGAIN = "move it away and score the run again"
_SHARES, _COUNTS = _NUMBERS[:6], _NUMBERS[6:]
Titles = Mapping[str, Mapping[int | None, str]]


@dataclass(frozen=True, eq=False)
class Classes:
    """Class scores of a grid by one scorer.

    Attributes:
        scorer: Its name.
        names: Names of the scored classes by index.
        by_run: One row per cell, seed and class, with the columns of the scorer's CSV; the ground truth has no seed.
        cells: Mean IoU over seeds (cells, classes), NaN if undefined, indexed by the cells' names.
        confusion: Pixel counts (classes, predictions) by cell, summed over seeds; empty if none is stored.
        predictions: Names of the columns of those counts.
        damages: Files that cannot be read, one line each.
    """

    scorer: str
    names: tuple[str, ...]
    by_run: pd.DataFrame
    cells: pd.DataFrame
    confusion: dict[str, NDArray[np.int64]]
    predictions: tuple[str, ...]
    damages: tuple[str, ...]

    @property
    def labelled(self) -> list[str]:
        """Classes with at least one pixel in the ground truth."""
        pixels = self.by_run.groupby("class")["pixels"].max()
        return [name for name in self.names if pixels[name] > 0]

    @property
    def with_iou(self) -> list[str]:
        """Classes with an IoU in some cell: true or predicted."""
        return [name for name in self.names if self.cells[name].notna().any()]

    @property
    def predicted(self) -> list[str]:
        """Classes of the truth, and predictions with 0.5 % of some class."""
        made = np.max([np.nan_to_num(shares(matrix)).max(axis=0) for matrix in self.confusion.values()], axis=0)
        labelled = set(self.labelled)
        return [name for name, most in zip(self.predictions, made, strict=True) if most >= 0.005 or name in labelled]

    def shown(self, cell: str) -> pd.DataFrame:
        """Row-normalised confusion of a cell, limited to the classes shown."""
        table = pd.DataFrame(shares(self.confusion[cell]), index=list(self.names), columns=list(self.predictions))
        return table.loc[self.labelled, self.predicted]

    def rows(self, titles: Titles) -> pd.DataFrame:
        """Table with one row per cell, seed and class.

        Cells with several seeds have their mean IoU too, in rows without a seed.

        Args:
            titles: Titles of the scorer by cell and seed.
        """
        mean = self.cells.rename_axis("cell").reset_index().melt(id_vars="cell", var_name="class", value_name="iou")
        seeds = self.by_run.groupby("cell")["seed"].nunique()
        several = mean[mean["cell"].isin(seeds[seeds > 1].index)].assign(seed=None)
        parts = [self.by_run, several.astype({"seed": "Int64"})] if len(several) else [self.by_run]
        table = pd.concat(parts, ignore_index=True)
        seeds_of = [None if pd.isna(seed) else int(seed) for seed in table["seed"]]
        scorer = [_title(titles, cell, seed) for cell, seed in zip(table["cell"], seeds_of, strict=True)]
        return table.assign(scorer=pd.Series(scorer, index=table.index, dtype=object))

    def counts(self, titles: Titles) -> pd.DataFrame:
        """Confusion matrices as a table, one row per cell, truth and prediction.

        Args:
            titles: Titles of the scorer by cell and seed.
        """
        parts = []
        for cell, matrix in self.confusion.items():
            parts.append(
                pd.DataFrame(
                    {
                        "cell": cell,
                        "truth": np.repeat(self.names, len(self.predictions)),
                        "prediction": np.tile(self.predictions, len(self.names)),
                        "pixels": matrix.ravel(),
                        "share": shares(matrix).ravel(),
                        "scorer": _title(titles, cell, None),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def _title(titles: Titles, cell: str, seed: int | None) -> str | None:
    """Scorer's title for one seed or a whole cell; None without scores."""
    of_cell = titles.get(cell, {})
    named = [of_cell[seed]] if seed in of_cell else list(dict.fromkeys(of_cell.values())) if seed is None else []
    return "; ".join(named) or None


def remark(table: ScoreTable, found: Iterable[Classes]) -> str:
    """Sentence on the cost of absent classes by official rules; empty without."""
    if not any(row.numbers for row in table.all_rows()):
        return ""
    costs = (
        cost_of_absent(len(each.names) - len(each.labelled), len(each.names))
        for each in found
        if each.names and each.scorer == _BY_OFFICIAL_RULES.get(table.scorer)
    )
    return next(costs, "")


def shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Confusion matrix normalised by row; NaN for a class without pixels."""
    totals = matrix.sum(axis=1, keepdims=True)
    normalised = np.full(matrix.shape, np.nan)
    np.divide(matrix, totals, out=normalised, where=totals > 0)  # NaN stays where a class has no pixel
    return normalised


def read(grid: Grid, runs: Sequence[Run]) -> list[Classes]:
    """Read the class scores of these runs, by scorer."""
    by_scorer = []
    for scorer in SCORERS:
        damages: list[str] = []
        tables = {}
        for run in runs:
            try:
                table = _classes(run, scorer)
            except ReportError as error:
                damages.append(str(error))
                continue
            if table is not None:
                tables[run] = table
        if tables or damages:
            by_scorer.append(_together(scorer, tables, damages))
    return by_scorer


def _together(scorer: str, tables: dict[Run, pd.DataFrame], damages: list[str]) -> Classes:
    named = {run: tuple(table["class"]) for run, table in tables.items()}
    # Runs that were scored with another label table are left out, and named.
    names = _most(named.values())
    for run in [run for run, its in named.items() if its != names]:
        damages.append(f"{run.classes(scorer)}: found other classes than those of most runs; score all runs again")
        del tables[run]
    parts = [table.assign(cell=run.cell, seed=run.seed) for run, table in tables.items()]
    columns = ["cell", "seed", "class", *_NUMBERS]
    by_run = (
        pd.concat(parts, ignore_index=True)[columns].astype({"seed": "Int64"})
        if parts
        else pd.DataFrame(columns=columns)
    )
    confusion, predictions = _pooled(scorer, tables, names, damages)
    order = list(dict.fromkeys(run.cell for run in tables))
    means = by_run.groupby(["cell", "class"])["iou"].mean().unstack()
    cells = means.astype(float).reindex(index=order, columns=list(names))
    return Classes(scorer, names, by_run, cells, confusion, predictions, tuple(damages))


def _pooled(
    scorer: str, runs: Iterable[Run], names: tuple[str, ...], damages: list[str]
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Confusion summed over the seeds of each cell, and the predictions' names."""
    counts_by_run = {}
    for run in runs:
        try:
            counts = _confusion(run, scorer, names)
        except ReportError as error:
            damages.append(str(error))
            continue
        if counts is not None:
            counts_by_run[run] = counts
    predictions = _most(tuple(counts.columns) for counts in counts_by_run.values())
    pooled: dict[str, NDArray[np.int64]] = {}
    for run, counts in counts_by_run.items():
        if tuple(counts.columns) != predictions:
            path = run.confusion_table(scorer)
            damages.append(f"{path}: found other predictions than those of most runs; score all runs again")
            continue
        pooled[run.cell] = pooled.get(run.cell, 0) + counts.to_numpy(np.int64)
    return pooled, predictions


def _most(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Most frequent tuple, the first one of equals; empty without any."""
    return next((each for each, _ in Counter(names).most_common(1)), ())


def _classes(run: Run, scorer: str) -> pd.DataFrame | None:
    path = run.classes(scorer)
    if not path.is_file():
        return None
    Made(path.parent).check_as_made(path, _AGAIN)
    try:
        table = pd.read_csv(
            path, dtype={"class": str}, keep_default_na=False, na_values={name: [""] for name in _NUMBERS}
        )
        table = table[["class", *_NUMBERS]].astype(dict.fromkeys(_NUMBERS, float))
        _check_classes(table)
    except DAMAGED as error:
        raise ReportError(f"{path}: found no table of classes ({' '.join(str(error).split())}); {_AGAIN}") from error
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))  # nullable: rows of means over seeds have no counts


def _check_classes(table: pd.DataFrame) -> None:
    """Refuse impossible numbers; a share may be undefined, a count may not."""
    if not len(table) or table["class"].duplicated().any():
        raise ValueError(f"{len(table)} rows for {table['class'].nunique()} classes")
    shares_, counts = table[[*_SHARES]], table[[*_COUNTS]]
    if ((shares_ < 0) | (shares_ > 1)).any(axis=None):
        raise ValueError("a share outside 0 to 1")
    if not ((counts >= 0) & np.isfinite(counts) & (counts % 1 == 0)).all(axis=None):
        raise ValueError("a count that is no whole number")


def _confusion(run: Run, scorer: str, names: tuple[str, ...]) -> pd.DataFrame | None:
    """Read pixel counts (true class by prediction); None without a file."""
    path = run.confusion_table(scorer)
    if not path.is_file():
        return None
    Made(path.parent).check_as_made(path, _AGAIN)
    try:
        table = pd.read_csv(path, dtype={"truth": str}, keep_default_na=False).set_index("truth")
        counts = table.loc[list(names)]
        if (
            len(counts) != len(names)
            or not all(kind.kind == "i" for kind in counts.dtypes)
            or (counts < 0).any(axis=None)
        ):
            raise ValueError("a count that is no whole number, or a class twice")
    except DAMAGED as error:
        raise ReportError(f"{path}: found no confusion matrix ({' '.join(str(error).split())}); {_AGAIN}") from error
    return counts
