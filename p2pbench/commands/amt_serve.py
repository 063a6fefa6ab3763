"""`p2pbench amt serve`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from amt.recruitment import checked_url
from amt.server.app import listening_socket, serve, serving_lock
from p2pbench.commands.amt_options import database_option, opened_studies, results_argument
from p2pbench.study.studies import announcement

_MOST_WORKERS = 4


@click.command(epilog="Example: p2pbench amt serve results --public-url https://lab.example.org/study")
@results_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--public-url", help="As raters reach it, where a reverse proxy stands before it; may have a path.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(_MOST_WORKERS, os.cpu_count() or 1),
    show_default=True,
    help="Processes.",
)
@click.option("--new-password", is_flag=True, help="Print a new one-time password for the researcher's pages.")
@database_option
def command(
    results: Path,
    host: str,
    port: int,
    public_url: str | None,
    workers: int,
    new_password: bool,
    database: str | None,
) -> None:
    """Serve all studies of RESULTS until Ctrl-C: the page for raters, and the researcher's pages.

    Killed, it goes on where it was when it is started again: every answer that a rater's browser was told is kept.
    """
    public_url = None if public_url is None else checked_url(public_url)
    opened = opened_studies(results, database)
    with serving_lock(opened.folder, opened.database.kind):
        sock = listening_socket(host, port)
        listening = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
        url = public_url or listening
        for line in announcement(opened, listening, url, new_password=new_password):
            click.echo(line)
        opened.database.close()
        serve(opened.folder, opened.where, sock, url, workers)
