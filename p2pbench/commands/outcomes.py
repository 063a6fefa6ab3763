"""What the commands that score label maps print."""

from __future__ import annotations

import click

from fcn.protocol import Protocol
from p2pbench.commands.options import remark
from p2pbench.segmentation.outcome import Outcome
from p2pbench.segmentation.score_table import json_lines, print_scores


def print_outcome(outcome: Outcome, protocol: Protocol | None, *, as_json: bool) -> None:
    """Scores on standard output, as a table or as JSON lines; remarks on standard error. None prints both protocols."""
    rows = [one.row.only(protocol) for one in outcome.scored]
    if as_json:
        for row, one in zip(rows, outcome.scored, strict=True):
            for line in json_lines(row, one.place):
                click.echo(line)
    else:
        print_scores(rows)
    for line in outcome.remarks():
        remark(line)
