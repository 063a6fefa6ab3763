"""`p2pbench amt export`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands.amt_options import database_option, name_option, opened_studies, results_argument
from p2pbench.study.results import export_study
from p2pbench.study.studies import PEEK, choose, look


@click.command(epilog="Example: p2pbench amt export results")
@results_argument
@name_option
@click.option("--peek", is_flag=True, help=PEEK)
@database_option
def command(results: Path, name: str | None, peek: bool, database: str | None) -> None:
    """Write answers.csv, a row a trial, and sessions.csv, a row a rater, into RESULTS/study/NAME."""
    chosen = choose(opened_studies(results, database), name)
    study = look(chosen, peek=peek)
    export_study(chosen, study)
    click.echo(f"answers:  {chosen.folder.answers}\nsessions: {chosen.folder.sessions}")
