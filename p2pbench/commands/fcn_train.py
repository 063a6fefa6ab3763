"""`p2pbench fcn-train`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.config import run_config
from p2pbench.datasets.catalogue import check_settings
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.own_scorer import SCRATCH, VGG16, Plan, train_scorer
from reports.store import apart

positive = click.IntRange(min=1)


@click.command(epilog="Example: p2pbench fcn-train --dataset camvid --root data/camvid --out camvid.safetensors")
@click.option("--dataset", metavar="NAME", required=True, help="A dataset with labels; see `p2pbench datasets`.")
@options.root
@click.option("--out", type=options.PATH, metavar="FILE", required=True, help="The scorer's file.")
@click.option(
    "--init",
    default=VGG16,
    show_default=True,
    metavar=f"{VGG16}|{SCRATCH}|FILE",
    help="First weights: torchvision's VGG-16, which it downloads; none; or a file with the former's state dict.",
)
@click.option(
    "--width", type=click.FloatRange(0, 4, min_open=True), default=1.0, show_default=True, help="1 for VGG-16."
)
@click.option(
    "--photo-size",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="The paper's size rule: photos are brought to so many pixels square, then up to their labels' size; 0: as is.",
)
@click.option("--epochs", type=positive, default=40, show_default=True)
@click.option("--batch-size", type=positive, default=1, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="1e-3 from scratch, else 1e-4.")
@click.option("--train-items", type=positive, help="Take the first so many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True)
@options.device
def command(
    dataset: str,
    root: str | None,
    out: Path,
    init: str,
    width: float,
    photo_size: int,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    train_items: int | None,
    seed: int,
    checkpoint_seconds: float,
    device: str | None,
) -> None:
    """Train an FCN-8s of your own to score a dataset's photos.

    It learns from the training items, of which one in ten is held out to choose the best checkpoint; the test items
    have no part in it. A stopped training goes on by the same command.
    """
    if init not in (VGG16, SCRATCH):
        apart.check(out, [Path(init)])
    data = run_config({"dataset": dataset, "root": root, "train_items": train_items}, "fcn-train")
    check_settings(data, "fcn-train")
    plan = Plan(data, init, width, photo_size or None, epochs, batch_size, learning_rate, seed)
    with Terminal().watching() as terminal, stop_request() as stop:
        line = train_scorer(plan, out, pick_device(device or "auto"), checkpoint_seconds, terminal, stop)
    click.echo(line)
