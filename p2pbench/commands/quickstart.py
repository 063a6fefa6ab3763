"""`p2pbench quickstart`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from p2pbench.ablation.grid import GRID, SETTINGS, find_grid, plan_grid
from p2pbench.ablation.runner import run_grid
from p2pbench.commands import options
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.after_training import score_trained
from p2pbench.study.rehearsal import hold_study
from reports import html
from reports.store.layout import Grid


@click.command(epilog="Example: p2pbench quickstart --out demo")
@click.option("--out", type=options.PATH, default=Path("demo"), show_default=True, help="The results folder.")
def command(out: Path) -> None:
    """Train the paper's losses ablation on street scenes drawn by the program, score it, and write the report.

    The report also has a small real-vs-fake study, to show what one looks like: its raters are programs.
    """
    name, grid = find_grid(GRID)
    html.check(out, out / "report")
    plan = plan_grid(Grid(out / name), grid, "quickstart", SETTINGS)
    with Terminal().watching() as terminal:
        trained = run_grid(plan, terminal, parallel=os.cpu_count() or 1)
        score_trained(trained, None, terminal)
        hold_study(out, trained.grid.name, terminal)
    click.echo(f"report: {html.write(out, out / 'report', say=options.remark)}")
