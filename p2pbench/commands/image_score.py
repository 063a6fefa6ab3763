"""`p2pbench image-score`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from p2pbench.image_scoring import score_results


@click.command(epilog="Example: p2pbench image-score results")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--native", is_flag=True, help="Compare at the targets' own size and aspect; needs the dataset's root.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run.")
def command(results: Path, native: bool, as_json: bool) -> None:
    """Score every run of RESULTS: L1, PSNR and SSIM against the targets, Lab histograms against real."""
    for grid, run, scores in score_results(results, native=native):
        values = {name: metric.value for name, metric in scores.metrics.items()}
        if as_json:
            place = {"grid": grid.name, "cell": run.cell, "seed": run.seed}
            click.echo(json.dumps(place | {"n": scores.n, "fingerprint": scores.fingerprint, "metrics": values}))
            continue
        click.echo(f"{grid.name}/{run.cell} seed {run.seed}, {scores.n} of {scores.n_expected} items:")
        for name, metric in scores.metrics.items():
            low, high = metric.interval
            click.echo(f"    {name:<12} {metric.value:.4f}  [{low:.4f}, {high:.4f}]")
