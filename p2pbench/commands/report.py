"""`p2pbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from reports import comparison_page, gallery, html
from reports.store import arithmetic, layout


@click.command(
    epilog="Example: p2pbench report results; or p2pbench report results --single-file; or what changed from one "
    "folder to another: p2pbench report results-before results-after"
)
@click.argument("results", type=options.PATH)
@click.argument("other", type=options.PATH, required=False)
@click.option(
    "--out",
    type=options.PATH,
    metavar="PATH",
    help="Where to write it; RESULTS/report, or OTHER/comparison, if not given, with .html behind it for one file.",
)
@click.option("--single-file", is_flag=True, help="One HTML file with pictures and tables in it, to send to somebody.")
@click.option(
    "--items",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"How many items of each grid have pictures; if not given as many as make {gallery.PICTURES} pictures, or "
    f"{html.SINGLE_ITEMS} with --single-file.",
)
def command(results: Path, other: Path | None, out: Path | None, single_file: bool, items: int | None) -> None:
    """Write the report of RESULTS: index.html, its pictures, and its tables as CSV and LaTeX.

    With OTHER, a second results folder, write what changed from RESULTS (A) to OTHER (B) instead: settings, every
    score's paired difference with its interval, and the pictures side by side.
    """
    folder = out or (layout.report(results) if other is None else layout.comparison(other)).folder
    most = items or (html.SINGLE_ITEMS if single_file else None)
    if single_file and out is None:
        folder = folder.with_suffix(".html")
    read = [results] if other is None else [results, other]
    for line in arithmetic.lines(read):
        options.remark(line)
    if other is None:
        write = html.write_single if single_file else html.write
        click.echo(f"report: {write(results, folder, most, options.remark)}")
    else:
        compare = comparison_page.write_single if single_file else comparison_page.write
        click.echo(f"comparison: {compare(results, other, folder, most, options.remark)}")
