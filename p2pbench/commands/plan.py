"""`p2pbench plan`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.errors import UserError
from reports import page, trainings
from reports.store.names import counted, printable

_EXPECTED = {
    trainings.NO_SEEDS: "some, whose seeds tell how much is chance; train two seeds of each cell first: "
    "train-ablation GRID --seeds 0,1",
    trainings.NO_INTERVALS: "some, which tell how much is chance of items; score more test items: a single one has "
    "no interval, nor have items that are all alike, or a few far from all others",
}


@click.command(epilog="Example: p2pbench plan results --seeds 3,5,8")
@click.argument("results", type=options.PATH)
@click.option("--seeds", default="2,3,5,10", show_default=True, help="Numbers of seeds per cell.")
def command(results: Path, seeds: str) -> None:
    """Say how small a difference between two cells more seeds would tell, from the seeds that RESULTS has.

    The smallest difference that is found with 80 % power, by metric: the median over pairs of cells, each with as much
    chance of training as its own seeds show, on as many items as there are; - is more than the metric's whole scale.
    `amt plan` says the same of raters.
    """
    counts = _counts(seeds)
    read = page.read(results)
    found = []
    for section in read.sections:
        for table in section.tables:
            if lines := trainings.detectable_lines(table, counts):
                found += [f"{section.grid.name}, {counted(table.rows[0].n, 'item')}: {lines[0]}", *lines[1:]]
    for line in read.damages:
        options.remark(line)
    if not found:
        lacking = trainings.why_none_detectable(table for section in read.sections for table in section.tables)
        raise UserError(f"{results}: found {lacking}, expected {_EXPECTED[lacking]}")
    for line in [f"{trainings.DETECTABLE}:", *found]:
        click.echo(printable(line))


def _counts(text: str) -> list[int]:
    """Each number once, in the order given."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 2 or max(counts) > 1000:
        raise UserError(f"--seeds {text}: expected numbers of seeds from 2 to 1000, such as 3,5,8")
    return list(dict.fromkeys(counts))
