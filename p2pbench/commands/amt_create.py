"""`p2pbench amt create`."""

from __future__ import annotations

from pathlib import Path

import click

from amt.protocol import Protocol
from amt.recruitment import Source
from amt.store.create import StudyPlan, create
from p2pbench.commands import options
from p2pbench.commands.amt_options import database_option, pairs, results_argument
from p2pbench.runtime.terminal import Terminal
from p2pbench.study import create as choices
from p2pbench.study.create import from_folders, from_results
from p2pbench.study.studies import new_studies
from reports.store import apart
from reports.store.layout import STUDIES
from reports.store.names import counted, printable, typed

_DEFAULTS = Protocol()


@click.command(epilog="Example: p2pbench amt create results --name first --raters 50")
@results_argument
@click.option("--name", required=True, help="In the study's links: a-z, 0-9 and -.")
@click.option("--grid", help="Whose cells are the algorithms; needed only where RESULTS has several grids.")
@click.option("--seed", type=int, help="Which run of each cell; the first if not given.")
@click.option("--real", type=options.PATH, help="Instead of a grid: a folder of real pictures,")
@click.option("--fake", "fakes", multiple=True, metavar="NAME=FOLDER", help="and one of fakes for each algorithm.")
@options.clusters
@click.option("--allow-partial", is_flag=True, help="Leave out items that lack a picture somewhere.")
@click.option("--task", type=click.Choice(list(choices.TASKS)), help="map is unpaired, colorization paired.")
@click.option("--pairing", type=click.Choice(["paired", "unpaired"]), help="Real and fake of one item, or of two.")
@click.option("--raters", type=int, default=_DEFAULTS.raters, show_default=True, help="Raters an algorithm.")
@click.option("--practice", type=int, default=_DEFAULTS.practice, show_default=True, help="Trials with feedback.")
@click.option("--trials", type=int, default=_DEFAULTS.scored, show_default=True, help="Scored trials.")
@click.option("--attention", type=int, default=0, show_default=True, help="Trials with an obviously broken fake.")
@click.option("--size", default="256x256", show_default=True, help="Of the images: WIDTHxHEIGHT in CSS pixels.")
@click.option("--draw-seed", type=int, default=0, show_default=True, help="Of the schedules.")
@click.option("--title", default="Which image is fake?", show_default=True, help="What raters read on top.")
@click.option("--consent", type=options.PATH, help="Your own text, an empty line between paragraphs.")
@click.option("--contact", default="", help="Whom raters can ask, shown beside the consent.")
@click.option(
    "--recruit",
    type=click.Choice(["open", "link", "prolific"]),
    default="open",
    show_default=True,
    help="Anybody with the link; single-use links (`amt links`); or Prolific.",
)
@click.option(
    "--prolific-code",
    "codes",
    multiple=True,
    metavar="OUTCOME=CODE",
    help="Prolific's codes for completed, no_consent and ineligible.",
)
@click.option("--simulated", is_flag=True, help="A rehearsal: its raters are programs, and every page says so.")
@database_option
def command(
    results: Path,
    name: str,
    grid: str | None,
    seed: int | None,
    real: Path | None,
    fakes: tuple[str, ...],
    clusters: str | None,
    allow_partial: bool,
    task: str | None,
    pairing: str | None,
    raters: int,
    practice: int,
    trials: int,
    attention: int,
    size: str,
    draw_seed: int,
    title: str,
    consent: Path | None,
    contact: str,
    recruit: Source,
    codes: tuple[str, ...],
    simulated: bool,
    database: str | None,
) -> None:
    """Make a study in RESULTS/study: re-encode its pictures once, and draw what each of its places shows.

    Each cell of a grid of RESULTS is an algorithm. Without a grid, give --real and --fake.
    """
    if pairing is not None:
        options.without_effect("with --pairing, which says the same", "task")
    if real is not None or fakes:
        options.without_effect("with --real and --fake, which are no runs", "grid", "seed")
    width, _, height = size.lower().partition("x")
    protocol = choices.protocol(
        {
            "pairing": pairing or choices.TASKS.get(task or "", "paired"),
            "raters": raters,
            "practice": practice,
            "scored": trials,
            "attention": attention,
            "width": width,
            "height": height or width,
        }
    )
    if real is None and not fakes:
        material = from_results(results, grid, seed, allow_partial=allow_partial, clusters=clusters, say=_say)
    elif real is not None and fakes:
        folders = {algorithm: Path(folder) for algorithm, folder in pairs(fakes, "--fake").items()}
        apart.check(results / STUDIES / name, [real, *folders.values()])
        material = from_folders(results, real, folders, allow_partial=allow_partial, clusters=clusters, say=_say)
    else:
        raise click.UsageError(
            "--real and --fake belong together: a folder of real pictures, and one or more of fakes."
        )
    protocol = protocol.model_copy(update={"values": material.values})
    plan = StudyPlan(
        name,
        title,
        material.sources,
        material.origin,
        protocol,
        draw_seed,
        choices.consent(consent, contact),
        choices.recruitment(recruit, pairs(codes, "--prolific-code")),
        simulated,
        material.clusters,
    )
    with new_studies(results, database) as opened, Terminal().watching() as terminal:
        study = create(
            opened.database, opened.folder, plan, lambda done, total: terminal.count("pictures", done, total)
        )
    algorithms = len(study.algorithms)
    click.echo(
        f"{study.name}: {counted(algorithms, 'algorithm')} ({printable(', '.join(study.algorithms))}), "
        f"{counted(len(study.items), 'item')}, {counted(algorithms * protocol.raters, 'place')}; "
        f"protocol {protocol.fingerprint}"
    )
    click.echo(f"next: p2pbench amt serve {typed(results)}")


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
