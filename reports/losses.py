"""The losses of a run, as its training logged them."""

from __future__ import annotations

import math

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reports.errors import ReportError
from reports.layout import Run

LOSSES = {
    "G_GAN": "Generator: fooling the discriminator",
    "G_L1": "Generator: L1 to the target",
    "G_L2": "Generator: L2 to the target",
    "D_real": "Discriminator: on real pairs",
    "D_fake": "Discriminator: on outputs",
}


def read(run: Run) -> pd.DataFrame | None:
    """The logged losses by step, with those columns of `LOSSES` that the run has; None where nothing is logged.

    Raises:
        ReportError: The file is no CSV, has no step, or holds text where numbers belong.
    """
    if not run.losses.is_file():
        return None
    try:
        table = pd.read_csv(run.losses)
    except pd.errors.EmptyDataError:
        return None
    except (OSError, ValueError) as error:  # pandas' own errors for bad and empty CSV are ValueErrors
        raise _damaged(run, f"found no table ({' '.join(str(error).split())})") from error
    if "step" not in table:
        raise _damaged(run, f"found columns {', '.join(map(str, table.columns))}")
    if table.empty:  # of a training that has just begun
        return None
    table = table[["step", *(column for column in LOSSES if column in table)]]
    for column in table:
        if not is_numeric_dtype(table[column]):
            raise _damaged(run, f"found text in column {column}")
    return table.dropna(subset="step")


def seconds(run: Run, batch_size: int) -> float | None:
    """How long a run was trained, from the speeds that its log has; None where they are not there."""
    try:
        table = pd.read_csv(run.losses, usecols=["step", "images_per_second"]).dropna()
        images = table["step"].diff().fillna(table["step"]) * batch_size
        spent = float((images / table["images_per_second"]).sum())
    except (OSError, ValueError, TypeError):
        return None
    return spent if math.isfinite(spent) and spent > 0 else None


def _damaged(run: Run, what: str) -> ReportError:
    return ReportError(
        f"{run.losses}: {what}, expected numbers in columns step and {', '.join(LOSSES)}; train the run again, "
        "or delete the file to do without its curves"
    )
