"""`p2pbench amt status`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from amt.errors import AmtError
from amt.store import counts, studies
from p2pbench.commands.amt_options import database_option, opened_studies, results_argument
from reports.store.names import printable


@click.command(epilog="Example: p2pbench amt status results")
@results_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a study.")
@database_option
def command(results: Path, as_json: bool, database: str | None) -> None:
    """How far the studies of RESULTS are: places done, running and free of each algorithm, and raters who left."""
    opened = opened_studies(results, database)
    with opened.database.reading() as connection:
        found = [studies.find(connection, name) for name in studies.names(connection)]
        tallies = [counts.tallies(connection, study.id, time.time()) for study in found if study]
    if not found:
        raise AmtError(f"{opened.where}: found no study, expected one; make one with `p2pbench amt create`")
    for study, tallied in zip(found, tallies, strict=True):
        assert study is not None
        if as_json:
            algorithms = {name: tally.document() for name, tally in tallied.items()}
            click.echo(json.dumps({"study": study.name, "state": study.state, "algorithms": algorithms}))
            continue
        kind = ", simulated" if study.simulated else ""
        click.echo(f"{study.name} ({study.state}{kind}), protocol {study.protocol.fingerprint}")
        names = [*map(printable, tallied), "total"]
        width = max(map(len, names))
        click.echo(f"  {'':<{width}}  {'done':>6}{'running':>9}{'free':>6}{'of':>6}{'left':>7}{'answers':>9}")
        for name, tally in zip(names, [*tallied.values(), counts.total(tallied)], strict=True):
            left = tally.abandoned + tally.ended + tally.declined + tally.ineligible + tally.withdrawn
            numbers = f"{tally.done:>6}{tally.running:>9}{tally.free:>6}{tally.slots:>6}{left:>7}{tally.answers:>9}"
            click.echo(f"  {name:<{width}}  {numbers}")
