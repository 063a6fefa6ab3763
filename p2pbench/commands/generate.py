"""`p2pbench generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from p2pbench.commands import options
from p2pbench.datasets.dataset import summary
from p2pbench.errors import UserError
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.terminal import Terminal
from p2pbench.training.inference import Translation, translate_folder
from reports.store.names import counted


@click.command(
    epilog="Example: p2pbench generate results/losses/L1+cGAN/seed-0 my-label-maps --out my-photos --dropout off"
)
@click.argument("generator", type=options.PATH)
@click.argument("inputs", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="The folder for the pictures.")
@click.option(
    "--dropout", type=click.Choice(["on", "off"]), help="The paper's is on; not given: as the run was tested."
)
@click.option(
    "--batch-norm",
    type=click.Choice(["batch", "running"]),
    help="The paper's is batch; not given: as the run was tested.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the dropout noise; not given: the run's.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace all pictures that an earlier call made in --out; where one was changed since, nothing is replaced.",
)
@options.device
def command(
    generator: Path,
    inputs: Path,
    out: Path,
    dropout: Literal["on", "off"] | None,
    batch_norm: Literal["batch", "running"] | None,
    seed: int | None,
    overwrite: bool,
    device: str | None,
) -> None:
    """Apply GENERATOR, a finished run's folder or a generator.safetensors, to all pictures in the folder INPUTS.

    Pictures may have any size and keep it, and must have the depth that the generator was trained on; grey is repeated
    for a generator of colours, and colours become grey for one of grey. Label maps may be given as colours or as label
    values. What made the pictures is recorded in generation.json beside them: the same call goes on where it was
    stopped, another one needs a folder of its own, or --overwrite.
    """
    with Terminal().watching() as terminal, stop_request() as stop:
        result = translate_folder(
            Translation(
                generator,
                inputs,
                out,
                dropout=None if dropout is None else dropout == "on",
                batch_norm=batch_norm,
                seed=seed,
                overwrite=overwrite,
            ),
            pick_device(device or "auto"),
            terminal,
            stop,
        )
    for line in result.remarks():
        options.remark(line)
    count = result.made + result.kept
    click.echo(f"{counted(count, 'picture')}{f', {result.kept} of them made before' * (result.kept > 0)}: {out}")
    if result.failed:
        failures = summary(
            f"of {counted(count + len(result.failed), 'picture')} not made",
            list(result.failed.values()),
            mend="mend what is named and give the same command again",
        )
        raise UserError(failures)
