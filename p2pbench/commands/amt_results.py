"""Commands `amt analyse`, `amt export` and `amt plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from p2pbench.commands import options
from p2pbench.commands.amt import chosen_study, database_option, name_option, results_argument
from p2pbench.errors import UserError
from reports.store.names import counted, printable

_ITEMS = 100
_peek = click.option("--peek", is_flag=True, help="Look at an open study anyway; this is recorded and reported.")


@click.command(epilog="Example: p2pbench amt analyse results")
@click.argument("source", metavar="RESULTS|CSV", type=options.PATH, default=Path("results"))
@name_option
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap behind +-.")
@_peek
@click.option("--practice", type=int, default=10, show_default=True, help="Of an old AMT batch: unscored first trials.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@database_option
def amt_analyse(
    source: Path, name: str | None, seed: int, peek: bool, practice: int, as_json: bool, database: str | None
) -> None:
    """Print fooling rates with intervals, comparisons and exclusions.

    The rates of a study in RESULTS are also written to the scores of the runs that its fakes came from, for
    `p2pbench report`. A CSV may be an answers.csv, or the results of an old batch of AMT_Real_vs_Fake.
    """
    from amt.statistics import study_report
    from p2pbench.study.results import analyse_file, analyse_study, is_old_batch

    if not source.is_file():
        options.without_effect("for a study", "practice")
        analysis, notes = analyse_study(source, chosen_study(source, database, name), seed, peek=peek)
    else:
        options.without_effect("for a CSV", "name", "peek", "database")
        if not is_old_batch(source):
            options.without_effect("for an answers.csv, whose practice trials are marked", "practice")
        analysis, notes = analyse_file(source, seed, practice), []
    text = json.dumps(study_report.document(analysis), indent=1) if as_json else study_report.text(analysis)
    click.echo("\n".join(map(printable, text.split("\n"))))
    for note in notes:
        options.remark(note)


@click.command(epilog="Example: p2pbench amt export results")
@results_argument
@name_option
@_peek
@database_option
def amt_export(results: Path, name: str | None, peek: bool, database: str | None) -> None:
    """Export the answers of a study as CSV.

    Writes answers.csv, one row per trial, and sessions.csv, one row per rater, to RESULTS/study/NAME.
    """
    from p2pbench.study.results import export_study
    from p2pbench.study.study_access import look

    chosen = chosen_study(results, database, name)
    export_study(chosen, look(chosen, peek=peek))
    click.echo(f"answers:  {chosen.folder.answers}\nsessions: {chosen.folder.sessions}")


@click.command(epilog="Example: p2pbench amt plan --difference 6 --rate 20 --items 200")
@click.option("--difference", type=float, help="Difference of two fooling rates, in percentage points.")
@click.option("--raters", type=int, help="Instead: smallest difference detectable with this many raters per algorithm.")
@click.option("--rate", type=float, default=20.0, show_default=True, help="Percent near which both rates lie.")
@click.option("--trials", type=int, default=40, show_default=True, help="Scored trials per rater.")
@click.option(
    "--items",
    type=int,
    show_default=f"{_ITEMS}, or as many as trials",
    help="Items that are shown, over all raters; no rater sees an item twice.",
)
@click.option("--icc", type=float, default=0.05, show_default=True, help="Intra-class correlation within raters.")
@click.option(
    "--items-icc",
    type=float,
    default=0.05,
    show_default=True,
    help="Intra-class correlation within items, of the part that two algorithms do not share; 0: items are equally "
    "hard for both.",
)
@click.option("--power", type=float, default=0.8, show_default=True, help="Probability of detecting the difference.")
@click.option(
    "--algorithms", type=int, default=2, show_default=True, help="Number of algorithms; all pairs are compared."
)
def amt_plan(
    difference: float | None,
    raters: int | None,
    rate: float,
    trials: int,
    items: int | None,
    icc: float,
    items_icc: float,
    power: float,
    algorithms: int,
) -> None:
    """Estimate the raters needed, or the difference that they detect.

    Gives the number of raters per algorithm that detect a difference, or the difference that a number of raters
    detects.

    The level is 5 %, two-sided, divided by the number of pairs of algorithms. `amt analyse` prints both intra-class
    correlations of a study: that of raters is usually 0.02 to 0.1. The default for items is that of simulated studies
    in which half of an item's difficulty is common to two algorithms. More raters cannot make up for few items.
    """
    if (difference is None) == (raters is None):
        raise click.UsageError("Give --difference or --raters, one of them.")
    if algorithms < 2:
        raise click.UsageError("--algorithms: expected at least 2, a difference is between two.")
    for option, percent in (("rate", rate), ("difference", difference)):
        if percent is not None and not 0 < percent < 100:
            raise UserError(f"--{option} {percent:g}: expected percent, above 0 and below 100; change that option")
    from amt.statistics.planning import Assumptions, raters_needed, smallest_difference

    if items is None:
        items = max(_ITEMS, trials)
    pairs = algorithms * (algorithms - 1) // 2
    try:
        assumptions = Assumptions(rate / 100, trials, icc, power, 0.05 / pairs, items, items_icc)
        if difference is not None:
            raters = raters_needed(difference / 100, assumptions)
        else:
            assert raters is not None
            difference = 100 * smallest_difference(raters, assumptions)
    except ValueError as error:
        raise UserError(f"{error}; change that option") from None
    click.echo(
        f"{counted(raters, 'rater')} per algorithm with {counted(trials, 'trial')} each on {counted(items, 'item')} "
        f"detect a difference of {difference:.1f} percentage points near {rate:g} % with {100 * power:g} % power "
        f"(ICC {icc:g}, of items {items_icc:g}, {counted(pairs, 'pair')})"
    )
