"""`p2pbench train`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.ablation.grid import check_effect, find_task, plan_grid, preset_names
from p2pbench.ablation.runner import run_grid
from p2pbench.commands import options
from p2pbench.config import GridConfig, RunConfig
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.after_training import score_trained
from reports import html
from reports.store.layout import Grid


@click.command(epilog="Example: p2pbench train --task facades-labels-to-photo --root data/facades")
@click.option(
    "--task", metavar="NAME", help=f"The settings of a task of the paper's: {', '.join(preset_names('tasks'))}."
)
@options.dataset
@options.root
@options.out
@options.settings
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@options.device
def command(
    task: str | None,
    dataset: str | None,
    root: str | None,
    out: Path,
    settings: tuple[str, ...],
    seed: int,
    device: str | None,
) -> None:
    """Train one model, make its test pictures, score them and write the report.

    The run is a grid of one cell in the results folder: it goes on where it was stopped, and is skipped when finished.
    """
    overrides = options.overrides(settings, dataset=dataset, root=root, device=device)
    shared = {}
    source, name = "", str(overrides.get("dataset", RunConfig().dataset))
    title = f"One model on {name}"
    if task is not None:
        content = find_task(task)
        shared, title, source, name = content.settings, content.title, content.source, task
        if content.note:
            click.echo(content.note, err=True)
    cell = str({**shared, **overrides}.get("objective", RunConfig().objective))
    grid = GridConfig(title=title, source=source, settings=shared, cells={cell: {}})
    where = f"task {task}" if task else "settings"
    plan = plan_grid(Grid(out / name), grid, where, overrides, [seed])
    check_effect(plan, overrides)
    html.check(out, out / "report")
    with Terminal().watching() as terminal:
        trained = run_grid(plan, terminal)
        score_trained(trained, None, terminal)
    click.echo(f"report: {html.write(out, out / 'report', say=options.remark)}")
