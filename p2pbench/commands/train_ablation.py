"""`p2pbench train-ablation`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.ablation.dry_run import difference_lines, estimate_lines
from p2pbench.ablation.grid import check_effect, check_own_effect, find_grid, plan_grid, preset_names
from p2pbench.ablation.runner import run_grid
from p2pbench.commands import options
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.errors import UserError
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.after_training import score_trained
from p2pbench.scoring.runs import unfit
from reports import html
from reports.store.layout import Grid
from reports.store.names import printable


@click.command(
    epilog="Example: p2pbench train-ablation losses --dataset camvid --root data/camvid --set image_size=128 "
    "--set ngf=16 --set epochs=2"
)
@click.argument("grid", metavar="GRID")
@options.dataset
@options.root
@options.out
@options.settings
@click.option("--seeds", metavar="0,1,2", help="Train every cell with each of these seeds.")
@options.device
@click.option(
    "--parallel",
    "--jobs",
    "parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="With --engine local: K runs at once, a process each, if that is quicker than one after the other.",
)
@options.engine
@options.address
@click.option("--fcn-weights", type=options.PATH, metavar="FILE", help="The FCN-score's scorer; streets need none.")
@click.option("--dry-run", is_flag=True, help="Only print cells, steps, parameters and an estimate of the time.")
def command(
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
    """Train every cell of GRID, make its test pictures, score them and write the report.

    GRID is a preset's name (losses, generators, patches, segmentation, colour) or a TOML file of the same form. Runs
    that are finished are skipped and killed ones go on: give the same command again.
    """
    if engine == "ray" and parallel > 1:
        raise click.UsageError("--parallel is for --engine local; Ray runs as many at once as the cluster has room for")
    name, content = find_grid(grid)
    where = f"grid {name}" if grid in preset_names("grids") else grid
    overrides = options.overrides(settings, dataset=dataset, root=root, device=device)
    plan = plan_grid(Grid(out / name), content, where, overrides, options.seed_list(seeds))
    check_own_effect(content, where)
    check_effect(plan, overrides)
    reason = unfit(plan.runs[0].config, LABELS_TO_PHOTO)
    if fcn_weights is not None and reason:
        raise UserError(f"--fcn-weights {fcn_weights}: there will be no FCN-score, {reason}; leave it out")
    html.check(out, out / "report")
    if dry_run:
        options.without_effect(
            "with --dry-run, which measures here how long runs take one after the other",
            "parallel",
            "engine",
            "address",
        )
        for line in estimate_lines(plan):
            click.echo(printable(line))
        for line in difference_lines(plan):
            click.echo(printable(line))
        click.echo(f"results would be in {out / name}")
        return
    with options.cluster(engine, address) as cluster, Terminal().watching() as terminal:
        trained = run_grid(plan, terminal, parallel, cluster)
        score_trained(trained, fcn_weights, terminal, cluster)
    click.echo(f"report: {html.write(out, out / 'report', say=options.remark)}")
