"""`p2pbench amt plan`."""

from __future__ import annotations

import click

from amt.statistics.planning import raters_needed, smallest_difference
from p2pbench.errors import UserError
from reports.names import counted


@click.command(epilog="Example: p2pbench amt plan --difference 5 --rate 20")
@click.option("--difference", type=float, help="Between two fooling rates, in percentage points.")
@click.option("--raters", type=int, help="Instead: how small a difference so many raters an algorithm find.")
@click.option("--rate", type=float, default=20.0, show_default=True, help="Percent near which both rates lie.")
@click.option("--trials", type=int, default=40, show_default=True, help="Scored trials a rater.")
@click.option("--icc", type=float, default=0.05, show_default=True, help="Intra-class correlation within raters.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Probability of finding the difference.")
@click.option("--algorithms", type=int, default=2, show_default=True, help="All pairs of them are compared.")
def command(
    difference: float | None, raters: int | None, rate: float, trials: int, icc: float, power: float, algorithms: int
) -> None:
    """How many raters an algorithm needs so that a difference is found, or what so many raters can find.

    The level is 5 %, two-sided, divided by the number of pairs of algorithms. `amt analyse` prints the intra-class
    correlation of a study; 0.02 to 0.1 are usual.
    """
    if (difference is None) == (raters is None):
        raise click.UsageError("Give --difference or --raters, one of them.")
    if algorithms < 2:
        raise click.UsageError("--algorithms: expected at least 2, a difference is between two.")
    pairs = algorithms * (algorithms - 1) // 2
    alpha = 0.05 / pairs
    try:
        if difference is not None:
            raters = raters_needed(difference / 100, rate / 100, trials, icc, power, alpha)
        else:
            assert raters is not None
            difference = 100 * smallest_difference(raters, rate / 100, trials, icc, power, alpha)
    except ValueError as error:
        raise UserError(f"{error}; change that option") from None
    click.echo(
        f"{counted(raters, 'rater')} an algorithm x {counted(trials, 'trial')}: "
        f"a difference of {difference:.1f} percentage points near "
        f"{rate:g} % is found with {100 * power:g} % power (ICC {icc:g}, {counted(pairs, 'pair')})"
    )
