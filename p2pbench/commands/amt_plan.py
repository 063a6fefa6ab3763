"""`p2pbench amt plan`."""

from __future__ import annotations

import click

from amt.statistics.planning import ITEMS, ITEMS_ICC, Assumptions, raters_needed, smallest_difference
from p2pbench.errors import UserError
from reports.store.names import counted


@click.command(epilog="Example: p2pbench amt plan --difference 6 --rate 20 --items 200")
@click.option("--difference", type=float, help="Between two fooling rates, in percentage points.")
@click.option("--raters", type=int, help="Instead: smallest difference that this many raters per algorithm detect.")
@click.option("--rate", type=float, default=20.0, show_default=True, help="Percent near which both rates lie.")
@click.option("--trials", type=int, default=40, show_default=True, help="Scored trials per rater.")
@click.option(
    "--items",
    type=int,
    show_default=f"{ITEMS}, or as many as trials",
    help="Items that are shown, over all raters; no rater sees one twice.",
)
@click.option("--icc", type=float, default=0.05, show_default=True, help="Intra-class correlation within raters.")
@click.option(
    "--items-icc",
    type=float,
    default=ITEMS_ICC,
    show_default=True,
    help="The same within items, of what two algorithms do not share; 0: what is hard for one is for the other.",
)
@click.option("--power", type=float, default=0.8, show_default=True, help="Probability of finding the difference.")
@click.option("--algorithms", type=int, default=2, show_default=True, help="All pairs of them are compared.")
def command(
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
    """How many raters per algorithm detect a difference, or what difference that many raters detect.

    The level is 5 %, two-sided, divided by the number of pairs of algorithms. `amt analyse` prints both intra-class
    correlations of a study: that of raters is usually 0.02 to 0.1. The default for items is what simulated studies have
    where half of what makes an item hard is the same for two algorithms. More raters cannot make up for few items.
    """
    if (difference is None) == (raters is None):
        raise click.UsageError("Give --difference or --raters, one of them.")
    if algorithms < 2:
        raise click.UsageError("--algorithms: expected at least 2, a difference is between two.")
    for option, percent in (("rate", rate), ("difference", difference)):
        if percent is not None and not 0 < percent < 100:
            raise UserError(f"--{option} {percent:g}: expected percent, above 0 and below 100; change that option")
    if items is None:
        items = max(ITEMS, trials)
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
        f"{counted(raters, 'rater')} per algorithm x {counted(trials, 'trial')} on {counted(items, 'item')}: "
        f"a difference of {difference:.1f} percentage points near {rate:g} % is found with {100 * power:g} % power "
        f"(ICC {icc:g}, of items {items_icc:g}, {counted(pairs, 'pair')})"
    )
