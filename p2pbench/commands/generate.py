"""`p2pbench generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from p2pbench.commands import options
from p2pbench.terminal import Terminal
from p2pbench.training.device import pick_device
from p2pbench.training.translate_folder import translate_folder


@click.command(
    epilog="Example: p2pbench generate results/losses/L1+cGAN/seed-0 my-label-maps --out my-photos --dropout off"
)
@click.argument("generator", type=click.Path(path_type=Path))
@click.argument("inputs", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder for the pictures.")
@click.option(
    "--dropout", type=click.Choice(["on", "off"]), help="The paper's is on; not given: as the run was tested."
)
@click.option(
    "--batch-norm",
    type=click.Choice(["batch", "running"]),
    help="The paper's is batch; not given: as the run was tested.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the dropout noise; not given: the run's.")
@options.device
def command(
    generator: Path,
    inputs: Path,
    out: Path,
    dropout: Literal["on", "off"] | None,
    batch_norm: Literal["batch", "running"] | None,
    seed: int | None,
    device: str | None,
) -> None:
    """Apply GENERATOR, a finished run's folder or a generator.safetensors, to all pictures in the folder INPUTS.

    Pictures may have any size and keep it. Label maps may be given as colours or as label values. What made the
    pictures is recorded in generation.json beside them.
    """
    with Terminal().watching() as terminal:
        count = translate_folder(
            generator,
            inputs,
            out,
            pick_device(device or "auto"),
            lambda done, total: terminal.count("pictures", done, total),
            dropout=None if dropout is None else dropout == "on",
            batch_norm=batch_norm,
            seed=seed,
        )
    click.echo(f"{count} pictures: {out}")
