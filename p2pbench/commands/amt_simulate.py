"""`p2pbench amt simulate`."""

from __future__ import annotations

from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.commands.amt_options import database_option, name_option, opened_studies, pairs, results_argument
from p2pbench.study import rehearsal
from p2pbench.study.studies import choose
from reports.store.names import counted, typed


@click.command(epilog="Example: p2pbench amt simulate results --name rehearsal --fooling L1+cGAN=19")
@results_argument
@name_option
@click.option(
    "--raters",
    "kinds",
    multiple=True,
    metavar="KIND=COUNT",
    help="careful, random, lazy, one_sided, leaving, double; a careful one for each place if not given.",
)
@click.option(
    "--fooling", multiple=True, metavar="ALGORITHM=PERCENT", help="Wanted of careful raters; 20 if not given."
)
@click.option("--seed", type=int, default=0, show_default=True, help="What each rater does follows from it.")
@database_option
def command(
    results: Path,
    name: str | None,
    kinds: tuple[str, ...],
    fooling: tuple[str, ...],
    seed: int,
    database: str | None,
) -> None:
    """Rehearse a study that was made with --simulated: programs take part in it over HTTP, as browsers do.

    Its server is started for that, on a free port, and stopped in the end.
    """
    if kinds and not {"careful", "leaving", "double"} & pairs(kinds, "--raters").keys():
        options.without_effect("without raters that look: careful, leaving or double ones", "fooling")
    opened = opened_studies(results, database)
    chosen = choose(opened, name)
    rates = rehearsal.rates(chosen.study, pairs(fooling, "--fooling"))
    raters = rehearsal.crowd(chosen.study, pairs(kinds, "--raters"))
    outcome = rehearsal.rehearse_study(opened, chosen, raters, rates, seed)
    for (kind, ending), count in sorted(outcome.endings.items()):
        click.echo(f"{count:>5} {kind}: {ending}")
    click.echo(
        f"{counted(len(outcome.answers), 'answer')} in {outcome.seconds:.1f} s; next: p2pbench amt analyse "
        f"{typed(results)} --name {chosen.study.name} --peek"
    )
