"""`p2pbench datasets`."""

from __future__ import annotations

import click

from p2pbench.datasets.catalogue import DATASETS


@click.command(epilog="Example: p2pbench datasets")
def command() -> None:
    """List the datasets: what each is, the files that its root must hold, its directions."""
    for name, kind in DATASETS.items():
        click.echo(f"{name}: {kind.about}")
        click.echo(f"    root: {kind.layout}")
        click.echo(f"    direction: {' | '.join(kind.directions)}")
        if kind.note:
            click.echo(f"    protocol: {kind.note}")
