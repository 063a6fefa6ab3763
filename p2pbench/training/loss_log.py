"""losses.csv: one row per logged step, stitched across resumes.

TensorBoard event files on request.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Protocol

from p2pbench.errors import UserError
from p2pbench.runtime.progress import Losses
from reports.store import atomic

COLUMNS = ("step", "epoch", "images_per_second", "G_GAN", "G_L1", "G_L2", "D_real", "D_fake")


class Writer(Protocol):
    """Interface of TensorBoard's SummaryWriter, as far as it is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to a curve."""

    def close(self) -> None:
        """Write what is pending."""


class LossLog:
    """Log of losses.

    Opened at step N, it first drops all rows after N, left by a killed process.

    Steps count from 1: the row of step N is of the Nth update. Losses have all digits, so that rows can be compared.
    """

    def __init__(self, path: Path, step: int, tensorboard: Path | None = None) -> None:
        atomic.write(path, atomic.csv_text(_rows_until(path, step)).encode())
        self._file = path.open("a", encoding="utf-8", newline="")
        self._board = open_tensorboard(tensorboard, step) if tensorboard is not None else None

    def add(self, step: int, epoch: int, images_per_second: float, losses: Losses) -> None:
        """Write one row and flush it."""
        values = {"step": step, "epoch": epoch, "images_per_second": f"{images_per_second:.2f}"}
        self._file.write(atomic.csv_text([[str((values | losses).get(column, "")) for column in COLUMNS]]))
        # Otherwise a killed process would lose rows that the checkpoint says were taken.
        self._file.flush()
        if self._board is not None:
            for name, value in losses.items():
                self._board.add_scalar(f"losses/{name}", value, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def open_tensorboard(folder: Path, step: int) -> Writer:
    """Open a writer of event files.

    Events of an earlier process after `step` are hidden.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("tensorboard = true needs TensorBoard: pip install 'p2pbench[tensorboard]'") from None
    writer: Writer = SummaryWriter(str(folder), purge_step=step + 1)
    return writer


def _rows_until(path: Path, step: int) -> list[list[str]]:
    """Read the header and the rows up to a step; an incomplete last row is dropped."""
    rows = [list(COLUMNS)]
    if step > 0 and path.exists():
        for row in csv.reader(path.read_text(encoding="utf-8").splitlines()[1:]):
            # A process killed while writing leaves an incomplete last row. Rows after the checkpoint are of steps that
            # are taken again.
            if len(row) == len(COLUMNS) and int(row[0]) <= step:
                rows.append(row)
    return rows
