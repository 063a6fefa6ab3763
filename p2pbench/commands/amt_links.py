"""`p2pbench amt links`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from amt.recruitment import checked_url, links_csv
from amt.store import sessions
from p2pbench.commands import options
from p2pbench.commands.amt_options import database_option, name_option, opened_studies, results_argument
from p2pbench.study.studies import choose
from reports.store import atomic
from reports.store.names import counted


@click.command(
    epilog="Example: p2pbench amt links results --count 60 --public-url https://lab.example.org --out links.csv"
)
@results_argument
@name_option
@click.option("--count", type=click.IntRange(1, 100_000), required=True, help="How many.")
@click.option("--label", default="rater", show_default=True, help="Each link's label begins so; a number follows.")
@click.option("--public-url", required=True, help="As raters reach the server.")
@click.option("--out", type=options.PATH, required=True, help="A new CSV file: a row a link. Keep it safe.")
@database_option
def command(
    results: Path, name: str | None, count: int, label: str, public_url: str, out: Path, database: str | None
) -> None:
    """Make single-use links for raters whom you invite yourself: each lets in one rater, who may come back to it.

    The secrets in the links are in OUT alone, which is never overwritten.
    """
    url = checked_url(public_url)
    chosen = choose(opened_studies(results, database), name)
    with ExitStack() as undo, chosen.database.writing() as connection:
        secrets = sessions.make_links(connection, chosen.study, count, label)
        # On disk before they count: links that nobody has could not be told from those that were handed out.
        atomic.write_new(out, links_csv(url, chosen.study.name, secrets).encode())
        undo.push(lambda kind, *_: out.unlink(missing_ok=True) if kind else None)
    click.echo(f"{counted(count, 'link')}: {out}")
