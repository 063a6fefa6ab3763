"""`p2pbench download`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from p2pbench.commands import options
from p2pbench.datasets import download
from p2pbench.datasets.download import ARCHIVES
from reports.store.names import typed

SIZES = ", ".join(f"{name} {archive.megabytes} MB" for name, archive in ARCHIVES.items())


@click.command(
    help=f"""Fetch one of the datasets that pix2pix's authors publish, and unpack it.

    A broken download goes on where it stopped when the command runs again. Download: about {SIZES}; twice that is
    needed on the disk while it unpacks.

    The cityscapes archive is for research under Cityscapes' own terms (https://www.cityscapes-dataset.com). Its
    publishers' script has stopped fetching it for licence reasons, so it may be gone; the official folders, which need
    an account there, serve all Cityscapes tasks.
    """,
    epilog="Example: p2pbench download facades --out data",
)
@click.argument("name", type=click.Choice(list(ARCHIVES)))
@click.option(
    "--out",
    type=options.PATH,
    default=Path("data"),
    show_default=True,
    help="The folder for all datasets; this one goes into OUT/NAME.",
)
@click.option(
    "--url", metavar="URL", default=download.BASE_URL, show_default=True, help="Where NAME.tar.gz lies, or a mirror."
)
def command(name: str, out: Path, url: str) -> None:
    """Fetch a dataset, show how it goes, and say what to do next."""
    archive = ARCHIVES[name]
    if download.is_there(archive, out):
        click.echo(f"{out / name} is already there")
    else:
        with _shown(name) as report:
            download.fetch(archive, out, report, base_url=url)
        click.echo(f"{out / name} is ready")
    click.echo(f"next: p2pbench train {archive.train} --root {typed(out / name)}")


@contextmanager
def _shown(name: str) -> Iterator[download.ReportProgress]:
    """Show progress as bars where somebody watches, and as a line for every tenth where nobody does."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console) as bar:
        yield _Bars(name, bar)


class _Lines:
    """Progress as lines on standard error."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown: dict[str, int] = {}  # tenths by stage

    def __call__(self, progress: download.DownloadProgress) -> None:
        """Print a line when another tenth is done, or another 100 MB where the total is unknown."""
        stage, done, total = progress
        tenth = 10 * done // total if total else done // 10**8
        if self._shown.get(stage) != tenth:
            self._shown[stage] = tenth
            share = f"{10 * tenth} % of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
            click.echo(f"{stage} {self._name}: {share}", err=True)


class _Bars:
    """Progress as a bar for each stage."""

    def __init__(self, name: str, bar: Bar) -> None:
        self._name = name
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: download.DownloadProgress) -> None:
        """Move a stage's bar; bytes of an earlier call are where it begins, so that they do not count as speed."""
        stage, done, total = progress
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(f"{stage} {self._name}", completed=done, total=total or None)
        self._bar.update(self._tasks[stage], completed=done, total=total or None)
