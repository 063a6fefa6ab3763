"""`p2pbench amt`: the study's life."""

from __future__ import annotations

import click

from p2pbench.cli import Entry, LazyGroup

COMMANDS = {
    "create": Entry("amt_create", "Make a study of the cells of a grid, or of any folders of pictures."),
    "links": Entry("amt_links", "Single-use links to mail to raters, as CSV."),
    "serve": Entry("amt_serve", "Host the page for raters, and the researcher's pages."),
    "status": Entry("amt_status", "How far the studies are."),
    "close": Entry("amt_close", "Let no new raters in; then fooling rates can be looked at."),
    "analyse": Entry("amt_analyse", "Fooling rates with intervals, of a study, a CSV export, or an old AMT batch."),
    "export": Entry("amt_export", "Answers and raters' sessions as CSV."),
    "simulate": Entry("amt_simulate", "Rehearse a study with programs as raters."),
    "plan": Entry("amt_plan", "How many raters a study needs."),
}


@click.group(cls=LazyGroup, table=COMMANDS, epilog="Example: p2pbench amt create results --name first")
def command() -> None:
    """Host the real-vs-fake study: raters see a real image and a model's, a second each, and say which is fake.

    The order of a study: create, serve, close, analyse; then `p2pbench report` shows its fooling rates.
    """
