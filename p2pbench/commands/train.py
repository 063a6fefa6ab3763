"""Commands that train: `quickstart`, `train-ablation` and `train`."""

from __future__ import annotations

import os
from importlib import resources
from itertools import chain
from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.errors import UserError
from reports.store.layout import Grid
from reports.store.names import printable

_TASKS = sorted(
    file.name.removesuffix(".toml")
    for file in resources.files("p2pbench").joinpath("tasks").iterdir()
    if file.name.endswith(".toml")
)


@click.command(epilog="Example: p2pbench quickstart --out demo")
@click.option("--out", type=options.PATH, default=Path("demo"), show_default=True, help="Results folder.")
def quickstart(out: Path) -> None:
    """Run the full pipeline on built-in synthetic street scenes.

    Trains the paper's losses ablation, scores it and writes the report.

    The report includes a small real-vs-fake study as an illustration: its raters are programs, not people.
    """
    from p2pbench.ablation.grid import QUICKSTART_GRID, QUICKSTART_SETTINGS, find_grid, plan_grid
    from p2pbench.ablation.runner import run_grid
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring.after_training import score_trained
    from p2pbench.study.rehearsal import hold_study
    from reports import html

    name, grid = find_grid(QUICKSTART_GRID)
    plan = plan_grid(Grid(out / name), grid, "quickstart", QUICKSTART_SETTINGS)
    html.check(out, out / "report")
    with Terminal().watching() as terminal:
        trained = run_grid(plan, terminal, os.cpu_count() or 1, stopping=stop_request)
        score_trained(trained, None, terminal, stopping=stop_request)
        hold_study(out, name, terminal)
    click.echo(f"report: {html.write_report(out, say=options.remark)}")


@click.command(
    epilog="Example: p2pbench train-ablation losses --dataset camvid --root data/camvid --set image_size=128 "
    "--set ngf=16 --set epochs=2"
)
@click.argument("grid", metavar="GRID")
@options.dataset
@options.root
@options.out
@options.settings
@click.option("--seeds", metavar="0,1,2", help="Train every cell once per seed.")
@options.device
@click.option(
    "--parallel",
    "--jobs",
    "parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="With --engine local: up to K concurrent runs, each in its own process, only if that increases total "
    "throughput.",
)
@options.engine
@options.address
@click.option("--fcn-weights", type=options.PATH, metavar="FILE", help="Weights for the FCN-score; streets needs none.")
@click.option("--dry-run", is_flag=True, help="Only print cells, steps, parameters and the estimated time.")
def train_ablation(
    grid: str,
    dataset: str | None,
    root: str | None,
    out: Path,
    settings: tuple[str, ...],
    seeds: str | None,
    device: str | None,
    parallel: int,
    engine: str,
    address: str | None,
    fcn_weights: Path | None,
    dry_run: bool,
) -> None:
    """Train every cell of GRID, score it, and write the report.

    GRID is a preset (losses, generators, patches, segmentation, colour) or a TOML file of the same form. Finished runs
    are skipped and interrupted ones resume: rerun the same command.
    """
    if engine == "ray" and parallel > 1:
        raise click.UsageError("--parallel is for --engine local; with Ray the cluster's size sets the number of runs")
    from p2pbench.ablation.grid import read_plan

    overrides = options.overrides(settings, dataset=dataset, root=root, device=device)
    plan = read_plan(grid, out, overrides, options.seed_list(seeds))
    # These import torch, for which a refused setting need not wait.
    from p2pbench.ablation.dry_run import difference_lines, estimate_lines
    from p2pbench.ablation.runner import run_grid
    from p2pbench.datasets.dataset import LABELS_TO_PHOTO
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring.after_training import score_trained
    from p2pbench.scoring.runs import unfit
    from reports import html

    reason = unfit(plan.runs[0].config, LABELS_TO_PHOTO)
    if fcn_weights is not None and reason:
        raise UserError(f"--fcn-weights {fcn_weights}: there will be no FCN-score, {reason}; leave it out")
    html.check(out, out / "report")
    if dry_run:
        options.without_effect(
            "with --dry-run, which measures on this machine, one run at a time", "parallel", "engine", "address"
        )
        for line in chain(estimate_lines(plan), difference_lines(plan)):
            click.echo(printable(line))
        click.echo(f"results would be in {plan.grid.folder}")
        return
    with options.cluster(engine, address) as cluster, Terminal().watching() as terminal:
        trained = run_grid(plan, terminal, parallel, cluster, stop_request)
        score_trained(trained, fcn_weights, terminal, cluster, stop_request)
    click.echo(f"report: {html.write_report(out, say=options.remark)}")


@click.command(epilog="Example: p2pbench train --task facades-labels-to-photo --root data/facades")
@click.option("--task", metavar="NAME", help=f"Use the settings of one of the paper's tasks: {', '.join(_TASKS)}.")
@options.dataset
@options.root
@options.out
@options.settings
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@options.device
def train(
    task: str | None,
    dataset: str | None,
    root: str | None,
    out: Path,
    settings: tuple[str, ...],
    seed: int,
    device: str | None,
) -> None:
    """Train one model, score it, and write the report.

    The run is a grid of one cell in the results folder; rerun the same command to resume it. A finished run is skipped.
    """
    from p2pbench.ablation.grid import check_effect, find_task, plan_grid
    from p2pbench.config import GridConfig, RunConfig

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
    # These import torch, for which a refused setting need not wait.
    from p2pbench.ablation.runner import run_grid
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring.after_training import score_trained
    from reports import html

    html.check(out, out / "report")
    with Terminal().watching() as terminal:
        trained = run_grid(plan, terminal, stopping=stop_request)
        score_trained(trained, None, terminal, stopping=stop_request)
    click.echo(f"report: {html.write_report(out, say=options.remark)}")
