"""`p2pbench amt analyse`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from amt.statistics import report
from p2pbench.commands import options
from p2pbench.commands.amt_options import database_option, name_option, opened_studies
from p2pbench.study.results import analyse_file, analyse_study, is_old_batch
from p2pbench.study.studies import PEEK, choose
from reports.store.names import printable


@click.command(epilog="Example: p2pbench amt analyse results")
@click.argument("source", metavar="RESULTS|CSV", type=options.PATH, default=Path("results"))
@name_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap behind +-.")
@click.option("--peek", is_flag=True, help=PEEK)
@click.option("--practice", type=int, default=10, show_default=True, help="Of an old AMT batch: trials not scored.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@database_option
def command(
    source: Path, name: str | None, seed: int, peek: bool, practice: int, as_json: bool, database: str | None
) -> None:
    """Fooling rates with intervals, comparisons and exclusions.

    Of a study in RESULTS the rates are also written into the scores of the runs that its fakes came from, so that
    `p2pbench report` shows them. A CSV may be an answers.csv, or the results of an old batch of AMT_Real_vs_Fake.
    """
    if not source.is_file():
        options.without_effect("for a study", "practice")
    else:
        options.without_effect("for a CSV", "name", "peek", "database")
        if not is_old_batch(source):
            options.without_effect("for an answers.csv, whose practice trials are marked", "practice")
    if source.is_file():
        analysis, notes = analyse_file(source, seed, practice), list[str]()
    else:
        analysis, notes = analyse_study(source, choose(opened_studies(source, database), name), seed, peek=peek)
    text = json.dumps(report.document(analysis), indent=1) if as_json else report.text(analysis)
    click.echo("\n".join(map(printable, text.split("\n"))))
    for note in notes:
        options.remark(note)
