"""What the commands that score label maps print."""

from __future__ import annotations

from pathlib import Path

import click

from fcn.protocol import Protocol
from p2pbench.commands.options import remark
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.score_table import json_lines, print_scores
from reports import trainings


def print_outcome(outcome: Outcome, protocol: Protocol | None, results: Path | None, *, as_json: bool) -> None:
    """Scores on standard output, as a table or as JSON lines; remarks on standard error.

    Args:
        outcome: What was scored.
        protocol: The only one to print; None prints both.
        results: The results folder that was scored; None for a plain folder.
        as_json: Whether to print JSON.
    """
    rows = [scored.row.only(protocol) for scored in outcome.scored]
    if as_json:
        for row, scored in zip(rows, outcome.scored, strict=True):
            for line in json_lines(row, scored.outputs.place):
                click.echo(line)
    else:
        print_scores(rows)
    for line in [*outcome.remarks(), *(trainings.lines(results) if results else [])]:
        remark(line)
