"""Progress on the terminal: bars, or lines if not interactive."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from p2pbench.errors import shown
from reports.store.names import printable

if TYPE_CHECKING:  # the trainer imports torch, which not every command with a bar needs
    from p2pbench.runtime.progress import TrainingProgress


SECONDS_BETWEEN_LINES = 15.0


class Terminal:
    """Progress reporter on standard error, so that standard output holds results alone."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_lines: dict[str, float] = {}

    @contextmanager
    def watching(self) -> Iterator[Terminal]:
        """Draw bars until the block ends."""
        if not self._console.is_terminal:
            yield self
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[detail]}", style="dim"),
        )
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            yield self
        self._bar = None

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(escape(shown(text)))

    def count(self, work: str, done: int, total: int) -> None:
        """Show the number of items done."""
        self._show(work, done, total, "")

    def train(self, work: str, progress: TrainingProgress) -> None:
        """Show a training's speed and losses."""
        losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        left = str(timedelta(seconds=round(progress.seconds_left)))
        detail = f"{progress.images_per_second:.1f} images/s  {left} left  {losses}"
        self._show(f"{work}: epoch {progress.epoch}", progress.step, progress.total, detail)

    def _show(self, work: str, done: int, total: int, detail: str) -> None:
        work = printable(work)
        name = work.split(":")[0]
        if self._bar is None:
            now = time.monotonic()
            if done == total or now - self._last_lines.get(name, 0.0) >= SECONDS_BETWEEN_LINES:
                self._last_lines[name] = now
                print(f"{work}: {done}/{total}  {detail}".rstrip(), file=sys.stderr, flush=True)
            return
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task("", total=total, detail="")
        task = self._tasks[name]
        self._bar.update(task, description=escape(work), completed=done, total=total, detail=detail)
        if done == total:
            self._bar.remove_task(self._tasks.pop(name))
