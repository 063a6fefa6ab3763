"""`p2pbench fcn-import`."""

from __future__ import annotations

from pathlib import Path

import click

from fcn import weights
from p2pbench.commands import options
from p2pbench.runtime.files import write_once
from reports.store import apart


@click.command(epilog="Example: p2pbench fcn-import fcn-8s-cityscapes.caffemodel fcn8s.safetensors")
@click.argument("caffemodel", type=options.PATH)
@click.argument("out", type=options.PATH)
def command(caffemodel: Path, out: Path) -> None:
    """Write the scorer in CAFFEMODEL, the FCN-8s published with pix2pix, as OUT.

    Every layer's name and shape is checked. `p2pbench fcn-score --weights OUT` then uses it. OUT is never
    written over.
    """
    apart.check(out, [caffemodel])
    network, card = weights.from_caffe(caffemodel)
    written = write_once(out, lambda path: weights.save(path, network, card))
    values = list(network.parameters())
    click.echo(f"{caffemodel}: {len(list(network.children()))} layers, {sum(v.numel() for v in values):,} parameters")
    click.echo(
        f"{out}: {'written' if written else 'is there already, the same'}; the source's SHA-256 is {card.source_sha256}"
    )
