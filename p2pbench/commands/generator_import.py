"""`p2pbench generator-import`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.training.card import save_generator
from p2pbench.training.cyclegan_import import import_generator


@click.command(epilog="Example: p2pbench generator-import checkpoints/facades/latest_net_G.pth facades.safetensors")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--direction", type=click.Choice(["AtoB", "BtoA"]), default="BtoA", show_default=True)
def command(weights: Path, out: Path, direction: str) -> None:
    """Write the generator in WEIGHTS, a latest_net_G.pth of pytorch-CycleGAN-and-pix2pix, as OUT.

    unet_256 and unet_128 of its pix2pix model can be taken over; `p2pbench generate OUT ...` then uses them.
    """
    generator, card = import_generator(weights, direction)
    save_generator(out, generator, card)
    shape = card.architecture
    click.echo(
        f"{out}: U-Net for {card.image_size}x{card.image_size}, ngf {shape.ngf}, "
        f"{shape.input_channels} to {shape.output_channels} channels"
    )
