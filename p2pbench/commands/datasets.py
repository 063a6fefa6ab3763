"""Commands `datasets`, `download` and `settings`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import click

from p2pbench.commands import options
from p2pbench.datasets.download import ARCHIVES, BASE_URL, fetch, is_there
from reports.store.names import typed

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from p2pbench.datasets.download import DownloadProgress, ReportProgress

_SIZES = ", ".join(f"{name} {archive.megabytes} MB" for name, archive in ARCHIVES.items())


@click.command(epilog="Example: p2pbench datasets")
def datasets() -> None:
    """List the datasets: contents, files that the root must hold, directions."""
    from p2pbench.datasets.catalogue import DATASETS

    for name, kind in DATASETS.items():
        click.echo(f"{name}: {kind.about}")
        click.echo(f"    root: {kind.layout}")
        click.echo(f"    direction: {' | '.join(kind.directions)}")
        if kind.note:
            click.echo(f"    protocol: {kind.note}")


@click.command(epilog="Example: p2pbench settings")
def settings() -> None:
    """List all settings of a run.

    They are keys of a grid's TOML file and of --set KEY=VALUE.
    """
    from p2pbench.config import BOOKKEEPING

    lines = _setting_lines()
    width = max(len(f"{name} = {default}") for name, default, _ in lines)
    for name, default, meaning in lines:
        note = " (changes no number)" if name in BOOKKEEPING else ""
        click.echo(f"{f'{name} = {default}':{width}}  {meaning}{note}".rstrip())


def _setting_lines() -> list[tuple[str, str, str]]:
    """Every setting's name, default and meaning."""
    from p2pbench.config import RunConfig

    lines = []
    for name, field in RunConfig.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        text = " | ".join(str(choice) for choice in choices)
        lines.append((name, repr(field.default), "; ".join(part for part in (field.description or "", text) if part)))
    return lines


@click.command(
    help=f"""Download and unpack one of the datasets published with pix2pix.

    An interrupted download is resumed by the same command. Sizes: about {_SIZES}; unpacking needs twice that on disk.

    The cityscapes archive is for research under Cityscapes' own terms (https://www.cityscapes-dataset.com). Its
    publishers' script no longer fetches it for licence reasons, so it may be gone; the official folders, which need
    an account there, serve all Cityscapes tasks.
    """,
    epilog="Example: p2pbench download facades --out data",
)
@click.argument("name", metavar="NAME", type=click.Choice(list(ARCHIVES)))
@click.option(
    "--out",
    type=options.PATH,
    default=Path("data"),
    show_default=True,
    help="Folder for all datasets; this one is written to OUT/NAME.",
)
@click.option("--url", metavar="URL", default=BASE_URL, show_default=True, help="Server or mirror with NAME.tar.gz.")
def download(name: str, out: Path, url: str) -> None:
    """Download a dataset, and print the command that trains on it."""
    archive = ARCHIVES[name]
    if is_there(archive, out):
        click.echo(f"{out / name} is already there")
    else:
        with _progress(name) as report:
            fetch(archive, out, report, base_url=url)
        click.echo(f"{out / name} is ready")
    click.echo(f"next: p2pbench train {archive.train} --root {typed(out / name)}")


@contextmanager
def _progress(name: str) -> Iterator[ReportProgress]:
    """Show progress as bars on a terminal, else as a line per tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

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
        self._printed: dict[str, int] = {}  # tenths by stage

    def __call__(self, progress: DownloadProgress) -> None:
        """Print a line per tenth, or per 100 MB."""
        stage, done, total = progress
        tenth = 10 * done // total if total else done // 10**8
        if self._printed.get(stage) != tenth:
            self._printed[stage] = tenth
            share = f"{10 * tenth} % of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
            click.echo(f"{stage} {self._name}: {share}", err=True)


class _Bars:
    """Progress as one bar per stage."""

    def __init__(self, name: str, bar: Bar) -> None:
        self._name = name
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: DownloadProgress) -> None:
        """Advance a stage's bar.

        Bytes of an earlier call are its start, so that they do not count as speed.
        """
        stage, done, total = progress
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(f"{stage} {self._name}", completed=done, total=total or None)
        self._bar.update(self._tasks[stage], completed=done, total=total or None)
