"""`p2pbench amt close`."""

from __future__ import annotations

from pathlib import Path

import click

from amt.store import reveals
from p2pbench.commands.amt_options import database_option, name_option, opened_studies, results_argument
from p2pbench.study.studies import choose


@click.command(epilog="Example: p2pbench amt close results")
@results_argument
@name_option
@click.option("--reopen", is_flag=True, help="Let raters in again instead.")
@database_option
def command(results: Path, name: str | None, reopen: bool, database: str | None) -> None:
    """Let no new raters into a study; those who are in it may finish."""
    chosen = choose(opened_studies(results, database), name)
    with chosen.database.writing() as connection:
        (reveals.reopen if reopen else reveals.close)(connection, chosen.study)
    click.echo(f"{chosen.study.name}: {'open' if reopen else 'closed'}")
