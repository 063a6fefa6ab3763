"""State of runs: logged losses; missing, unfinished and unscored runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.store.errors import DAMAGED, ReportError
from reports.store.grids import GridDescription
from reports.store.layout import Grid, Run
from reports.store.ledger import Damage, LedgerEntry

if TYPE_CHECKING:
    import pandas as pd

LOSSES = {
    "G_GAN": "Generator: fooling the discriminator",
    "G_L1": "Generator: L1 to the target",
    "G_L2": "Generator: L2 to the target",
    "D_real": "Discriminator: on real pairs",
    "D_fake": "Discriminator: on outputs",
}


@dataclass(frozen=True)
class Gap:
    """Runs of one cell that are missing or incomplete.

    Attributes:
        cell: The cell's name.
        seeds: Its seeds in this state.
        state: The missing part in words.
    """

    cell: str
    seeds: tuple[int, ...]
    state: str


@dataclass(frozen=True)
class Unscored:
    """Cells that a scorer could not score, and the reason."""

    scorer: str
    cells: tuple[str, ...]
    why: str


def read_losses(run: Run) -> pd.DataFrame | None:
    """Read the logged losses by step; None where nothing is logged.

    The columns are those of `LOSSES` that the run has.

    Raises:
        ReportError: The file is no CSV, has no step, or holds text where numbers belong.
    """
    if not run.losses.is_file():
        return None
    import pandas as pd  # here: scoring commands import this module too, and pandas takes half a second

    try:
        table = pd.read_csv(run.losses)
    except pd.errors.EmptyDataError:
        return None
    except DAMAGED as error:  # pandas' own errors for bad CSV are ValueErrors
        raise _damaged(run, f"found no table ({' '.join(str(error).split())})") from error
    if "step" not in table:
        raise _damaged(run, f"found columns {', '.join(map(str, table.columns))}")
    if table.empty:  # a training that has just begun
        return None
    table = table[["step", *(column for column in LOSSES if column in table)]]
    for column in table:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise _damaged(run, f"found text in column {column}")
    return table.dropna(subset="step")


def training_seconds(run: Run, batch_size: int) -> float | None:
    """Duration of a training by its logged speeds; None if unknown."""
    import pandas as pd

    try:
        table = pd.read_csv(run.losses, usecols=["step", "images_per_second"]).dropna()
        images = table["step"].diff().fillna(table["step"]) * batch_size
        spent = float((images / table["images_per_second"]).sum())
    except DAMAGED:
        return None
    return spent if math.isfinite(spent) and spent > 0 else None


def _damaged(run: Run, what: str) -> ReportError:
    return ReportError(
        f"{run.losses}: {what}, expected numbers in columns step and {', '.join(LOSSES)}; train the run again, "
        "or delete the file to do without its curves"
    )


def gaps(
    grid: Grid, description: GridDescription, entries: Sequence[LedgerEntry], damages: Sequence[Damage]
) -> list[Gap]:
    """Missing and incomplete runs of a grid, by cell in its order.

    Scores that exist but are damaged are not missing.
    """
    seen = {(entry.run, entry.scores.scorer) for entry in entries}
    seen |= {(damage.run, damage.scorer) for damage in damages}
    scorers = sorted({scorer for _, scorer in seen})
    seeds_by_state: dict[tuple[str, str], list[int]] = {}
    for cell in description.cells:
        for seed in description.seeds:
            run = grid.run(cell, seed)
            missing = [scorer for scorer in scorers if (run, scorer) not in seen]
            state = _state(run, "not scored by " + ", ".join(missing) if missing else "" if scorers else "not scored")
            if state:
                seeds_by_state.setdefault((cell, state), []).append(seed)
    return [Gap(cell, tuple(seeds), state) for (cell, state), seeds in seeds_by_state.items()]


def _state(run: Run, unscored: str) -> str:
    if not run.folder.is_dir():
        return "not started"
    if run.config.is_file() and not run.generator.is_file():  # outputs of other tools have neither
        return "training not finished"
    if unscored and not run.pictures():
        return "no images"
    return unscored


def strays(grid: Grid, description: GridDescription) -> list[Run]:
    """Runs on disk that grid.json does not name."""
    return [run for run in grid.runs() if run.cell not in description.cells or run.seed not in description.seeds]


def unscored(runs: Sequence[Run]) -> list[Unscored]:
    """Runs that scorers could not score, by scorer and reason."""
    cells_by_reason: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for scorer in run.unscored():
            if run.score(scorer).is_file():  # scored since
                continue
            why = " ".join(run.missing(scorer).read_text("utf-8", errors="replace").split())
            cells_by_reason.setdefault((scorer, why), []).append(run.cell)
    return [Unscored(scorer, tuple(dict.fromkeys(cells)), why) for (scorer, why), cells in cells_by_reason.items()]
