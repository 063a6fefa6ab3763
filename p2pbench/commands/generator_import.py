"""`p2pbench generator-import`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from p2pbench.commands import options
from p2pbench.datasets.pairs import PairedDataset
from p2pbench.datasets.photos import Colorization
from p2pbench.runtime.files import write_once
from p2pbench.training.cyclegan_import import import_generator
from p2pbench.training.generator_file import save_generator
from reports.store import apart


@click.command(
    epilog="Example: p2pbench generator-import checkpoints/facades/latest_net_G.pth facades.safetensors --dropout"
)
@click.argument("weights", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--dropout/--no-dropout", default=None, help="Whether it was trained with dropout, which the weights cannot say."
)
@click.option(
    "--dataset",
    type=click.Choice([PairedDataset.name, Colorization.name]),
    help="colorization for L in and ab out; asked for where the channels are 1 to 2, else paired.",
)
@click.option("--direction", type=click.Choice(["AtoB", "BtoA"]), help="Of paired pictures; BtoA if not given.")
def command(
    weights: Path,
    out: Path,
    dropout: bool | None,
    dataset: Literal["paired", "colorization"] | None,
    direction: Literal["AtoB", "BtoA"] | None,
) -> None:
    """Import the generator in WEIGHTS, a latest_net_G.pth of pytorch-CycleGAN-and-pix2pix, as OUT.

    unet_256 and unet_128 of its pix2pix and colorization models can be imported; `p2pbench generate OUT ...` then uses
    them. The train_opt.txt beside WEIGHTS says what it was trained with: no_dropout, direction, dataset_mode. OUT is
    never written over.
    """
    apart.check(out, [weights])
    generator, card = import_generator(weights, dropout=dropout, dataset=dataset, direction=direction)
    written = write_once(out, lambda path: save_generator(path, generator, card))
    shape = card.architecture
    click.echo(
        f"{out}: {'' if written else 'is there already, the same '}U-Net for {card.image_size}x{card.image_size}, "
        f"ngf {shape.ngf}, {shape.input_channels} to {shape.output_channels} channels"
    )
