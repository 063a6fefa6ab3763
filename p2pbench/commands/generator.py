"""Commands for trained generators: `generate` and `generator-import`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from p2pbench.commands import options
from p2pbench.errors import UserError
from reports.store.names import counted


@click.command(
    epilog="Example: p2pbench generate results/losses/L1+cGAN/seed-0 my-label-maps --out my-photos --dropout off"
)
@click.argument("generator", type=options.PATH)
@click.argument("inputs", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="Folder for the generated images.")
@click.option("--dropout", type=click.Choice(["on", "off"]), help="Default: as the run was tested; the paper: on.")
@click.option(
    "--batch-norm",
    type=click.Choice(["batch", "running"]),
    help="Statistics of batch norm. Default: as the run was tested; the paper: batch.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the dropout noise. Default: the run's.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the images that an earlier call wrote to --out; refused if any of them was changed since.",
)
@options.device
def generate(
    generator: Path,
    inputs: Path,
    out: Path,
    dropout: Literal["on", "off"] | None,
    batch_norm: Literal["batch", "running"] | None,
    seed: int | None,
    overwrite: bool,
    device: str | None,
) -> None:
    """Apply GENERATOR to all images in the folder INPUTS.

    GENERATOR is a finished run's folder or a generator.safetensors.

    Images may have any size and keep it; their bit depth must be the one that the generator was trained on. Grey
    images are converted to colour and colour images to grey as the generator needs. Label maps may hold colours or
    label values. generation.json beside the outputs records how they were made: rerun the same command to resume; other
    settings need another folder, or --overwrite.
    """
    from p2pbench.datasets.dataset import summary
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.training.generated_folder import generate as translate
    from p2pbench.training.inference import load_generator

    switch = None if dropout is None else dropout == "on"
    with Terminal().watching() as terminal, stop_request() as stop:
        loaded = load_generator(generator, dropout=switch, batch_norm=batch_norm, seed=seed, device=device or "auto")
        result = translate(loaded, inputs, out, overwrite=overwrite, reporter=terminal, stop=stop)
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


@click.command(
    epilog="Example: p2pbench generator-import checkpoints/facades/latest_net_G.pth facades.safetensors --dropout"
)
@click.argument("weights", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--dropout/--no-dropout", default=None, help="Whether it was trained with dropout, which WEIGHTS does not record."
)
@click.option(
    "--dataset",
    type=click.Choice(["paired", "colorization"]),
    help="Default: paired. Required where channels are 1 to 2: colorization if those are L to ab.",
)
@click.option("--direction", type=click.Choice(["AtoB", "BtoA"]), help="Of paired images. Default: BtoA.")
def generator_import(
    weights: Path,
    out: Path,
    dropout: bool | None,
    dataset: Literal["paired", "colorization"] | None,
    direction: Literal["AtoB", "BtoA"] | None,
) -> None:
    """Import the generator in WEIGHTS, a latest_net_G.pth of pytorch-CycleGAN-and-pix2pix, as OUT.

    unet_256 and unet_128 of its pix2pix and colorization models are supported; apply OUT with `p2pbench generate`. The
    train_opt.txt beside WEIGHTS lists the training options: no_dropout, direction, dataset_mode. An existing OUT is
    never overwritten.
    """
    from p2pbench.runtime.files import write_once
    from p2pbench.training.cyclegan_import import import_generator
    from p2pbench.training.generator_file import save_generator
    from reports.store import apart

    apart.check(out, [weights])
    generator, card = import_generator(weights, dropout=dropout, dataset=dataset, direction=direction)
    written = write_once(out, lambda path: save_generator(path, generator, card))
    shape = card.architecture
    click.echo(
        f"{out}: {'' if written else 'is there already, the same '}U-Net for {card.image_size}x{card.image_size}, "
        f"ngf {shape.ngf}, {shape.input_channels} to {shape.output_channels} channels"
    )
