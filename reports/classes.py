"""What a scorer of label maps says about each class of each cell, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.errors import ReportError
from reports.layout import Grid, Run

SCORERS = ("fcn-strict", "labels")
_NUMBERS = ("accuracy", "accuracy_low", "accuracy_high", "iou", "iou_low", "iou_high", "pixels", "images")
_OUTSIDE = {"ignored"}


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a grid by one scorer.

    Attributes:
        scorer: Its name.
        names: The classes that are scored, by index.
        by_run: One row a cell, seed and class, with the columns of the scorer's CSV; the ground truth has no seed.
        cells: The mean IoU over seeds (cells, classes), NaN where undefined, with the cells' names as index.
        confusion: By cell, pixel counts (classes, predictions) summed over seeds; empty where none is stored.
        predictions: The names of the columns of those counts.
        damages: The files that cannot be read, one line each.
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
        """The classes that the truth has a pixel of."""
        pixels = self.by_run.groupby("class")["pixels"].max()
        return [name for name in self.names if pixels[name] > 0]

    @property
    def predicted(self) -> list[str]:
        """The predictions that some cell makes of some class, to half a percent, and the classes of the truth."""
        made = np.max([np.nan_to_num(shares(matrix)).max(axis=0) for matrix in self.confusion.values()], axis=0)
        labelled = set(self.labelled)
        return [name for name, most in zip(self.predictions, made, strict=True) if most >= 0.005 or name in labelled]

    def shown(self, cell: str) -> pd.DataFrame:
        """The shares of a cell: the classes of the truth by what is predicted."""
        table = pd.DataFrame(shares(self.confusion[cell]), index=list(self.names), columns=list(self.predictions))
        return table.loc[self.labelled, self.predicted]

    def rows(self) -> pd.DataFrame:
        """A table of its own: one row a cell, seed and class; of several seeds also their mean IoU, without a seed."""
        mean = self.cells.rename_axis("cell").reset_index().melt(id_vars="cell", var_name="class", value_name="iou")
        seeds = self.by_run.groupby("cell")["seed"].nunique()
        several = mean[mean["cell"].isin(seeds[seeds > 1].index)].assign(seed=None)
        return (
            pd.concat([self.by_run, several.astype({"seed": "Int64"})], ignore_index=True)
            if len(several)
            else self.by_run
        )

    def counts(self) -> pd.DataFrame:
        """The confusion matrices as a table: cell, truth, prediction, pixels, share (of the true class's pixels)."""
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
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of a confusion matrix divided by its sum; NaN for a class without a pixel."""
    totals = matrix.sum(axis=1, keepdims=True)
    found = np.full(matrix.shape, np.nan)
    np.divide(matrix, totals, out=found, where=totals > 0)
    return found


def read(grid: Grid, runs: Sequence[Run]) -> list[Classes]:
    """What there is, by scorer; the runs are those to show, in the order of the rows."""
    found = []
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
            found.append(_together(scorer, tables, damages))
    return found


def _together(scorer: str, tables: dict[Run, pd.DataFrame], damages: list[str]) -> Classes:
    names: tuple[str, ...] = tuple(next(iter(tables.values()))["class"]) if tables else ()
    for run in [run for run, table in tables.items() if tuple(table["class"]) != names]:
        damages.append(f"{run.classes(scorer)}: found other classes than those of other runs; score all runs again")
        del tables[run]
    parts = [table.assign(cell=run.cell, seed=run.seed) for run, table in tables.items()]
    columns = ["cell", "seed", "class", *_NUMBERS]
    by_run = (
        pd.concat(parts, ignore_index=True)[columns].astype({"seed": "Int64"})
        if parts
        else pd.DataFrame(columns=columns)
    )
    confusion: dict[str, NDArray[np.int64]] = {}
    predictions: tuple[str, ...] = ()
    for run in tables:
        try:
            read_ = _confusion(run, scorer, names)
        except ReportError as error:
            damages.append(str(error))
            continue
        if read_ is not None:
            predictions, matrix = read_
            confusion[run.cell] = confusion.get(run.cell, np.zeros_like(matrix)) + matrix
    cells = by_run.pivot_table(index="cell", columns="class", values="iou", aggfunc="mean", sort=False, dropna=False)
    order = list(dict.fromkeys(run.cell for run in tables))
    return Classes(
        scorer, names, by_run, cells.reindex(index=order, columns=list(names)), confusion, predictions, tuple(damages)
    )


def _classes(run: Run, scorer: str) -> pd.DataFrame | None:
    path = run.classes(scorer)
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(
            path, dtype={"class": str}, keep_default_na=False, na_values={name: [""] for name in _NUMBERS}
        )
        return table[["class", *_NUMBERS]].astype(dict.fromkeys(_NUMBERS, float))
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{path}: found no table of classes ({error}); score the run again") from error


def _confusion(run: Run, scorer: str, names: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.int64]] | None:
    path = run.confusion_table(scorer)
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype={"truth": str}, keep_default_na=False).set_index("truth")
        matrix = table.loc[list(names)].to_numpy(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{path}: found no confusion matrix ({error}); score the run again") from error
    if (matrix < 0).any() or len(matrix) != len(names):
        raise ReportError(f"{path}: found counts below 0 or classes twice, expected pixel counts; score the run again")
    return tuple(map(str, table.columns)), matrix
