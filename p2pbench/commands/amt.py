"""Command group `amt`, and the commands that create and run a study."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from amt.errors import AmtError
from p2pbench.cli import Entry, LazyGroup
from p2pbench.commands import options
from reports.store.names import counted, printable, typed

if TYPE_CHECKING:
    from amt.recruitment import Source
    from p2pbench.study.study_access import Chosen, Opened

COMMANDS = {
    "create": Entry("amt:amt_create", "Create a study from the cells of a grid, or from any folders of images."),
    "links": Entry("amt:amt_links", "Write single-use links for invited raters to a CSV file."),
    "serve": Entry("amt:amt_serve", "Host the page for raters, and the researcher's pages."),
    "status": Entry("amt:amt_status", "Show the progress of the studies."),
    "close": Entry("amt:amt_close", "Admit no new raters; fooling rates can be seen from then on."),
    "analyse": Entry("amt_results:amt_analyse", "Print fooling rates of a study, a CSV export or an old AMT batch."),
    "export": Entry("amt_results:amt_export", "Export answers and sessions as CSV."),
    "simulate": Entry("amt:amt_simulate", "Rehearse a study with programs as raters."),
    "plan": Entry("amt_results:amt_plan", "Estimate the raters that a study needs."),
}

# Maps are shown beside another item's fake, colorizations beside the same item's: paper, section 4.1.
_PAIRINGS: dict[str, Literal["paired", "unpaired"]] = {"map": "unpaired", "colorization": "paired"}
_MOST_WORKERS = 4

results_argument = click.argument("results", type=options.PATH, default=Path("results"))
database_option = click.option(
    "--database",
    metavar="URL",
    envvar="P2PBENCH_DATABASE",
    help="PostgreSQL instead of RESULTS/study: postgresql+psycopg://USER@HOST/NAME (or $P2PBENCH_DATABASE).",
)
name_option = click.option("--name", help="The study; needed only if there are several.")


@click.group(cls=LazyGroup, table=COMMANDS, epilog="Example: p2pbench amt create results --name first")
def amt() -> None:
    """Host the real-vs-fake study.

    Raters see a real and a generated image, one second each, and say which is fake.

    Steps of a study: create, serve, close, analyse; then `p2pbench report` shows its fooling rates.
    """


def opened_studies(results: Path, url: str | None) -> Opened:
    """Open the studies of RESULTS.

    Their database is closed when the command ends.
    """
    from p2pbench.study.study_access import open_studies

    opened = open_studies(results, url)
    click.get_current_context().call_on_close(opened.database.close)
    return opened


def chosen_study(results: Path, url: str | None, name: str | None) -> Chosen:
    """Open the study of a name, or the only one."""
    from p2pbench.study.study_access import choose

    return choose(opened_studies(results, url), name)


def _pairs(texts: Sequence[str], option: str, *, last: bool = False) -> dict[str, str]:
    """Parse the KEY=VALUE arguments of a repeatable option, at their last = if values are numbers."""
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.rpartition("=") if last else text.partition("=")
        if not (key and equals and value) or key in values:
            raise click.UsageError(f"{option} {text!r}: expected NAME=VALUE, and each name once.")
        values[key] = value
    return values


@click.command(epilog="Example: p2pbench amt create results --name first --raters 50")
@results_argument
@click.option("--name", required=True, help="The study's name in links: a-z, 0-9 and -.")
@click.option("--grid", help="Grid whose cells are the algorithms; needed only if RESULTS has several grids.")
@click.option("--seed", type=int, help="Seed of the run that stands for each cell. Default: its first.")
@click.option("--real", type=options.PATH, help="Folder of real images, in place of a grid; needs --fake.")
@click.option("--fake", "fakes", multiple=True, metavar="NAME=FOLDER", help="Folder of one algorithm's fakes.")
@options.clusters
@click.option("--allow-partial", is_flag=True, help="Leave out items that lack an image somewhere.")
@click.option(
    "--task", type=click.Choice(list(_PAIRINGS)), help="The paper's pairing: map unpaired, colorization paired."
)
@click.option("--pairing", type=click.Choice(["paired", "unpaired"]), help="Real and fake of one item, or of two.")
@click.option("--raters", type=int, default=50, show_default=True, help="Raters per algorithm.")
@click.option("--practice", type=int, default=10, show_default=True, help="Trials with feedback.")
@click.option("--trials", type=int, default=40, show_default=True, help="Scored trials.")
@click.option("--attention", type=int, default=0, show_default=True, help="Trials with an obviously broken fake.")
@click.option("--size", default="256x256", show_default=True, help="Size of the images: WIDTHxHEIGHT in CSS pixels.")
@click.option("--draw-seed", type=int, default=0, show_default=True, help="Seed of the raters' schedules.")
@click.option("--title", default="Which image is fake?", show_default=True, help="Title of the raters' page.")
@click.option("--consent", type=options.PATH, help="Your own consent text, paragraphs separated by empty lines.")
@click.option("--contact", default="", help="Contact for raters, shown beside the consent text.")
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
@click.option("--simulated", is_flag=True, help="A rehearsal with programs as raters; every page says so.")
@database_option
def amt_create(
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
    """Create a study in RESULTS/study.

    Its images are re-encoded, and the schedule of each rater's slot is drawn.

    Each cell of a grid of RESULTS is an algorithm. Without a grid, give --real and --fake.
    """
    if pairing is not None:
        options.without_effect("with --pairing, which says the same", "task")
    if real is not None or fakes:
        options.without_effect("with --real and --fake, which are no runs", "grid", "seed")
    from amt.store.create import StudyPlan, create
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.study import new_study as choices
    from p2pbench.study.new_study import from_folders, from_results
    from p2pbench.study.study_access import new_studies
    from reports.store import apart
    from reports.store.layout import STUDIES

    width, _, height = size.lower().partition("x")
    protocol = choices.protocol(
        {
            "pairing": pairing or _PAIRINGS.get(task or "", "paired"),
            "raters": raters,
            "practice": practice,
            "scored": trials,
            "attention": attention,
            "width": width,
            "height": height or width,
        }
    )
    remark = options.remark
    if real is None and not fakes:
        material = from_results(results, grid, seed, allow_partial=allow_partial, clusters=clusters, say=remark)
    elif real is not None and fakes:
        folders = {algorithm: Path(folder) for algorithm, folder in _pairs(fakes, "--fake").items()}
        apart.check(results / STUDIES / name, [real, *folders.values()])
        material = from_folders(results, real, folders, allow_partial=allow_partial, clusters=clusters, say=remark)
    else:
        raise click.UsageError("--real and --fake belong together: a folder of real images, and one or more of fakes.")
    protocol = protocol.model_copy(update={"values": material.values})
    plan = StudyPlan(
        name,
        title,
        material.sources,
        material.origin,
        protocol,
        draw_seed,
        choices.consent(consent, contact),
        choices.recruitment(recruit, _pairs(codes, "--prolific-code")),
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
        f"{counted(len(study.items), 'item')}, {counted(algorithms * protocol.raters, 'slot')}; "
        f"protocol {protocol.fingerprint}"
    )
    click.echo(f"next: p2pbench amt serve {typed(results)}")


@click.command(
    epilog="Example: p2pbench amt links results --count 60 --public-url https://lab.example.org --out links.csv"
)
@results_argument
@name_option
@click.option("--count", type=click.IntRange(1, 100_000), required=True, help="Number of links.")
@click.option("--label", default="rater", show_default=True, help="Prefix of each link's label; a number follows.")
@click.option("--public-url", required=True, help="The server's URL as raters see it.")
@click.option("--out", type=options.PATH, required=True, help="New CSV file, one row per link. Keep it safe.")
@database_option
def amt_links(
    results: Path, name: str | None, count: int, label: str, public_url: str, out: Path, database: str | None
) -> None:
    """Create single-use links for raters whom you invite.

    Each admits one rater, who may return to it.

    The secrets in the links are stored in OUT only, which is never overwritten.
    """
    from amt.recruitment import checked_url, links_csv
    from amt.store import sessions
    from reports.store import atomic

    url = checked_url(public_url)
    chosen = chosen_study(results, database, name)
    with ExitStack() as undo, chosen.database.writing() as connection:
        secrets = sessions.make_links(connection, chosen.study, count, label)
        # On disk before they count: links that nobody has could not be told from those that were handed out.
        atomic.write_new(out, links_csv(url, chosen.study.name, secrets).encode())
        undo.push(lambda kind, *_: out.unlink(missing_ok=True) if kind else None)
    click.echo(f"{counted(count, 'link')}: {out}")


@click.command(epilog="Example: p2pbench amt serve results --public-url https://lab.example.org/study")
@results_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--public-url", help="The URL as raters see it, behind a reverse proxy; may have a path.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(_MOST_WORKERS, os.cpu_count() or 1),
    show_default=True,
    help="Number of processes.",
)
@click.option("--new-password", is_flag=True, help="Print a new one-time password for the researcher's pages.")
@database_option
def amt_serve(
    results: Path,
    host: str,
    port: int,
    public_url: str | None,
    workers: int,
    new_password: bool,
    database: str | None,
) -> None:
    """Serve all studies of RESULTS until Ctrl-C.

    Raters and researchers have pages of their own.

    A restarted server resumes where it was: every answer acknowledged to a rater's browser is kept.
    """
    from amt.recruitment import checked_url
    from amt.server.app import listening_socket, serve, serving_lock
    from p2pbench.study.study_access import announcement

    public_url = None if public_url is None else checked_url(public_url)
    opened = opened_studies(results, database)
    with serving_lock(opened.folder, opened.database.kind):
        sock = listening_socket(host, port)
        listening = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
        url = public_url or listening
        for line in announcement(opened, listening, url, new_password=new_password):
            click.echo(line)
        # The workers open it themselves; this connection would else stay open as long as the server runs.
        opened.database.close()
        with suppress(KeyboardInterrupt):  # which comes once requests in progress are finished
            serve(opened.folder, opened.where, sock, url, workers)
    click.echo("stopped; all acknowledged answers are kept")


@click.command(epilog="Example: p2pbench amt status results")
@results_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per study.")
@database_option
def amt_status(results: Path, as_json: bool, database: str | None) -> None:
    """Show the progress of the studies of RESULTS.

    Slots done, running and free per algorithm, and raters who left.
    """
    from amt.store import counts, studies

    opened = opened_studies(results, database)
    with opened.database.reading() as connection:
        known = [study for name in studies.names(connection) if (study := studies.find(connection, name))]
        tallies = [counts.tallies(connection, study.id, time.time()) for study in known]
    if not known:
        raise AmtError(f"{opened.where}: found no study, expected one; create one with `p2pbench amt create`")
    for study, tallied in zip(known, tallies, strict=True):
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


@click.command(epilog="Example: p2pbench amt close results")
@results_argument
@name_option
@click.option("--reopen", is_flag=True, help="Admit raters again instead.")
@database_option
def amt_close(results: Path, name: str | None, reopen: bool, database: str | None) -> None:
    """Admit no new raters to a study; running sessions may be completed."""
    from amt.store import reveals

    chosen = chosen_study(results, database, name)
    with chosen.database.writing() as connection:
        (reveals.reopen if reopen else reveals.close)(connection, chosen.study)
    click.echo(f"{chosen.study.name}: {'open' if reopen else 'closed'}")


@click.command(epilog="Example: p2pbench amt simulate results --name rehearsal --fooling L1+cGAN=19")
@results_argument
@name_option
@click.option(
    "--raters",
    "kinds",
    multiple=True,
    metavar="KIND=COUNT",
    help="careful, random, lazy, one_sided, leaving, double. Default: one careful rater per slot.",
)
@click.option(
    "--fooling",
    multiple=True,
    metavar="ALGORITHM=PERCENT",
    help="Fooling rate of an algorithm among careful raters. Default: 20.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the raters' behaviour.")
@database_option
def amt_simulate(
    results: Path,
    name: str | None,
    kinds: tuple[str, ...],
    fooling: tuple[str, ...],
    seed: int,
    database: str | None,
) -> None:
    """Rehearse a study created with --simulated.

    Programs take part over HTTP, as browsers do.

    The server is started for this on a free port, and stopped at the end.
    """
    if kinds and not {"careful", "leaving", "double"} & _pairs(kinds, "--raters").keys():
        options.without_effect("without raters that look: careful, leaving or double ones", "fooling")
    from p2pbench.study import rehearsal
    from p2pbench.study.study_access import choose

    opened = opened_studies(results, database)
    chosen = choose(opened, name)
    rates = rehearsal.rates(chosen.study, _pairs(fooling, "--fooling", last=True))
    raters = rehearsal.crowd(chosen.study, _pairs(kinds, "--raters"))
    outcome = rehearsal.rehearse_study(opened, chosen, raters, rates, seed)
    for (kind, ending), count in sorted(outcome.endings.items()):
        click.echo(f"{count:>5} {kind}: {ending}")
    click.echo(
        f"{counted(len(outcome.answers), 'answer')} in {outcome.seconds:.1f} s; next: p2pbench amt analyse "
        f"{typed(results)} --name {chosen.study.name} --peek"
    )
