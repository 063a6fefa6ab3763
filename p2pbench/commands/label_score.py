"""`p2pbench label-score`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.commands.outcomes import print_outcome
from p2pbench.metrics.label_maps import At
from p2pbench.segmentation.label_score import score_folder, score_results
from p2pbench.segmentation.truth import open_truth
from p2pbench.terminal import Terminal


@click.command(epilog="Example: p2pbench label-score results")
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    metavar="DATASET:ROOT[:SPLIT]",
    help="Take RESULTS as a plain folder of any model's outputs, and score them against these labels; writes nothing.",
)
@click.option(
    "--at",
    type=click.Choice(["output", "label"]),
    default="output",
    show_default=True,
    help="Compare at the outputs' size, as generated, or at the size of the dataset's own labels.",
)
@click.option("--root", metavar="DIR", help="The dataset's folder, if it is no longer where the runs found it.")
@click.option("--allow-partial", is_flag=True, help="Score what is there where outputs are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run and protocol, all choices included.")
def command(results: Path, labels: str | None, at: At, root: str | None, allow_partial: bool, as_json: bool) -> None:
    """Score photo-to-labels outputs: every pixel as the class of the nearest label colour (paper, Table 6).

    RESULTS is a results folder, of which every run of that direction is scored, or with --labels a folder of pictures.
    """
    if labels is not None:
        options.without_effect("with --labels, which name the root", "root")
    with Terminal().watching() as terminal:

        def advance(name: str, done: int, total: int) -> None:
            terminal.count(f"{name}: label maps", done, total)

        if labels is not None:
            truth = open_truth(labels)
            outcome = score_folder(results, truth, at, allow_partial=allow_partial, advance=advance)
        else:
            outcome = score_results(results, at, advance, root=root, allow_partial=allow_partial)
    print_outcome(outcome, None, as_json=as_json)
