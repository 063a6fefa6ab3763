"""`p2pbench label-score`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.commands.outcomes import print_outcome
from p2pbench.datasets.dataset import PHOTO_TO_LABELS
from p2pbench.metrics.label_maps import At
from p2pbench.runtime.interrupt import Stopped, stop_request
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.label_files import Reading
from p2pbench.scoring.outputs import PlainFolder
from p2pbench.scoring.runs import LabelRequest
from p2pbench.scoring.score import label_score, label_score_folder
from p2pbench.scoring.truth import open_truth


@click.command(epilog="Example: p2pbench label-score results")
@click.argument("results", type=options.PATH)
@click.option(
    "--labels",
    metavar="DATASET:ROOT[:SPLIT]",
    help="Take RESULTS as a plain folder of any model's outputs, and score them against these labels.",
)
@click.option("--out", type=options.PATH, metavar="DIR", help="With --labels: where scores/ goes; default RESULTS.")
@click.option(
    "--read",
    "reading",
    type=click.Choice(["colours", "label-ids", "train-ids", "train-ids-from-1"]),
    help="With --labels: how label maps are kept, where their files leave it open. train-ids: 0 to 18, and 19 or 255 "
    "for void; train-ids-from-1: 1 to 19, and 0 for void.",
)
@click.option(
    "--at",
    type=click.Choice(["output", "label"]),
    default="output",
    show_default=True,
    help="Compare at the outputs' size, as generated, or at the size of the dataset's own labels.",
)
@options.root_now
@options.clusters
@click.option("--allow-partial", is_flag=True, help="Score what is there where outputs are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run and protocol, all choices included.")
def command(
    results: Path,
    labels: str | None,
    out: Path | None,
    reading: Reading | None,
    at: At,
    root: str | None,
    clusters: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Score photo-to-labels outputs: every pixel as the class of the nearest label colour (paper, Table 6).

    RESULTS is a results folder, of which every run of that direction is scored, or with --labels a folder of pictures.
    Those may be colours or ids: label ids, train ids, palettes.
    """
    if labels is not None:
        options.without_effect("with --labels, which name the root", "root")
    elif (out, reading) != (None, None):
        raise click.UsageError("--out and --read are for a plain folder: give --labels DATASET:ROOT[:SPLIT] too")
    with Terminal().watching() as terminal, stop_request() as stop:

        def advance(name: str, done: int, total: int) -> None:
            terminal.count(f"{name}: label maps", done, total)
            if stop and done < total:
                raise Stopped(
                    f"{name}: stopped after {done} of {total} label maps; scores of runs before it are written, and "
                    "the same command begins again"
                )

        if labels is not None:
            plain = PlainFolder(results, open_truth(labels, clusters), out or results, allow_partial)
            outcome = label_score_folder(plain, at, reading, advance)
        else:
            outcome = label_score(results, LabelRequest(PHOTO_TO_LABELS, root, clusters, allow_partial), at, advance)
    print_outcome(outcome, None, results if labels is None else None, as_json=as_json)
