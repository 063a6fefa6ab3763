"""Commands on scored results: `report` and `plan`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.errors import UserError
from reports.store import layout
from reports.store.names import counted, printable


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
    help="Output folder. Default: RESULTS/report, or OTHER/comparison; with --single-file a file, whose default ends "
    "in .html.",
)
@click.option("--single-file", is_flag=True, help="Write one HTML file that embeds its images and tables, for sharing.")
@click.option(
    "--items",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of items per grid that are shown with images. Default: as many as fit into 4400 images, or 24 with "
    "--single-file.",
)
def report(results: Path, other: Path | None, out: Path | None, single_file: bool, items: int | None) -> None:
    """Write the report of RESULTS.

    index.html with its images, and all tables as CSV and LaTeX.

    With OTHER, a second results folder, write what changed from RESULTS (A) to OTHER (B) instead: settings, every
    score's paired difference with its interval, and the images side by side.
    """
    from reports import comparison_page, html
    from reports.store import arithmetic

    for line in arithmetic.lines([results] if other is None else [results, other]):
        options.remark(line)
    if other is None:
        page = html.write_report(results, out, single_file=single_file, items=items, say=options.remark)
        click.echo(f"report: {page}")
        return
    folder = layout.comparison(other).folder
    if single_file:
        file, most = out or folder.with_suffix(".html"), items or html.SINGLE_ITEMS
        page = comparison_page.write_single(results, other, file, most, options.remark)
    else:
        page = comparison_page.write(results, other, out or folder, items, options.remark)
    click.echo(f"comparison: {page}")


@click.command(epilog="Example: p2pbench plan results --seeds 3,5,8")
@click.argument("results", type=options.PATH)
@click.option("--seeds", default="2,3,5,10", show_default=True, help="Numbers of seeds per cell.")
def plan(results: Path, seeds: str) -> None:
    """Estimate the smallest difference that more seeds would detect.

    The estimate is from the seeds in RESULTS.

    Printed per metric: the difference detected with 80 % power, as the median over pairs of cells, each with the
    variance between its own seeds and the items there are; a dash means more than the metric's range.
    `amt plan` does the same for raters.
    """
    from reports import page, trainings

    expected = {
        trainings.NO_SEEDS: "some, to estimate the variance between trainings; train two seeds of each cell first: "
        "train-ablation GRID --seeds 0,1",
        trainings.NO_INTERVALS: "some, to estimate the variance between items; score more test items: there is no "
        "interval for a single item, for items that are all alike, or for a few far from all others",
    }
    counts = _seed_counts(seeds)
    content = page.read(results)
    lines = []
    for section in content.sections:
        for table in section.tables:
            if of_table := trainings.detectable_lines(table, counts):
                lines += [f"{section.grid.name}, {counted(table.rows[0].n, 'item')}: {of_table[0]}", *of_table[1:]]
    for line in content.damages:
        options.remark(line)
    if not lines:
        lacking = trainings.why_none_detectable(table for section in content.sections for table in section.tables)
        raise UserError(f"{results}: found {lacking}, expected {expected[lacking]}")
    for line in [f"{trainings.DETECTABLE}:", *lines]:
        click.echo(printable(line))


def _seed_counts(text: str) -> list[int]:
    """Parse `--seeds 3,5,8`; repeated numbers are dropped."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 2 or max(counts) > 1000:
        raise UserError(f"--seeds {text}: expected numbers of seeds from 2 to 1000, such as 3,5,8")
    return list(dict.fromkeys(counts))
