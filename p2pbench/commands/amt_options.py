"""Options that several of the study's commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.study.studies import Opened, open_studies

results_argument = click.argument("results", type=options.PATH, default=Path("results"))
database_option = click.option(
    "--database",
    metavar="URL",
    envvar="P2PBENCH_DATABASE",
    help="PostgreSQL instead of RESULTS/study: postgresql+psycopg://USER@HOST/NAME (or $P2PBENCH_DATABASE).",
)
name_option = click.option("--name", help="The study; needed only where there are several.")


def opened_studies(results: Path, url: str | None) -> Opened:
    """As `open_studies`; the database is let go of when the command ends."""
    opened = open_studies(results, url)
    click.get_current_context().call_on_close(opened.database.close)
    return opened


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """KEY=VALUE arguments of an option that may come several times."""
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not (key and equals and value) or key in found:
            raise click.UsageError(f"{option} {one!r}: expected NAME=VALUE, and each name once.")
        found[key] = value
    return found
