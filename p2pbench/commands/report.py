"""`p2pbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from reports import html


@click.command(epilog="Example: p2pbench report results")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write it; RESULTS/report if not given.")
def command(results: Path, out: Path | None) -> None:
    """Write the report of RESULTS: index.html, its pictures, and its tables as CSV."""
    click.echo(f"report: {html.write(results, out or results / 'report')}")
