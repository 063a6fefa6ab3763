"""`p2pbench fcn-score`."""

from __future__ import annotations

from pathlib import Path

import click

from fcn.protocol import Protocol
from p2pbench.commands import options
from p2pbench.errors import UserError
from p2pbench.segmentation.fcn_score import Work, score_folder, score_results
from p2pbench.segmentation.score_table import json_lines, print_scores
from p2pbench.segmentation.truth import open_truth
from p2pbench.terminal import Terminal
from p2pbench.training.device import pick_device
from p2pbench.training.interrupt import stop_request


@click.command(
    epilog="Examples: p2pbench fcn-score results; "
    "p2pbench fcn-score my-outputs --labels cityscapes:/data/cityscapes:val --weights fcn8s.safetensors"
)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="The scorer; streets need none.")
@click.option(
    "--protocol",
    type=click.Choice(["official", "strict"]),
    help="Print one protocol alone; both are computed and written.",
)
@click.option(
    "--labels",
    metavar="DATASET:ROOT[:SPLIT]",
    help="Take RESULTS as a plain folder of any model's outputs, and score them against these labels.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="With --labels: where scores/ goes; default RESULTS."
)
@click.option("--allow-partial", is_flag=True, help="Score what is there where outputs are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run and protocol, all choices included.")
@options.device
def command(
    results: Path,
    weights: Path | None,
    protocol: Protocol | None,
    labels: str | None,
    out: Path | None,
    allow_partial: bool,
    as_json: bool,
    device: str | None,
) -> None:
    """Score labels-to-photo outputs by the FCN-score: segmented by an FCN, compared with the labels.

    RESULTS is a results folder, of which every run of that direction is scored, the ground truth too; or with --labels
    a folder of pictures. Matrices of images that did not change are kept, and a killed call goes on where it was.
    """
    if out is not None and labels is None:
        raise UserError("--out is for a plain folder: give --labels DATASET:ROOT[:SPLIT] too, or leave it out")
    with Terminal().watching() as terminal, stop_request() as stop:
        work = Work(weights, pick_device(device or "auto"), allow_partial, terminal, stop)
        if labels is not None:
            outcome = score_folder(results, open_truth(labels), out or results, work)
        else:
            outcome = score_results(results, work)
    rows = [one.row.only(protocol) for one in outcome.scored]
    if as_json:
        for row, one in zip(rows, outcome.scored, strict=True):
            for line in json_lines(row, one.place):
                click.echo(line)
    else:
        print_scores(rows)
    for line in outcome.remarks():
        click.echo(line, err=True)
