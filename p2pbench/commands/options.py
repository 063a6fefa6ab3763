"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from p2pbench.config import check_clusters, parse_setting
from p2pbench.errors import UserError
from reports.store.names import printable

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster


class _Path(click.Path):
    """A path that is not empty: that of a variable which is not set would silently be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Refuse an empty path."""
        if not str(value):
            self.fail("found an empty path, expected one; the folder where you are is a single dot", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
out = click.option("--out", type=PATH, default=Path("results"), show_default=True, help="The results folder.")
dataset = click.option("--dataset", metavar="NAME", help="A name of `p2pbench datasets`.")
root = click.option("--root", type=_Path(), metavar="DIR", help="The dataset's folder.")
root_now = click.option(
    "--root", type=_Path(), metavar="DIR", help="The dataset's folder, if it is no longer where the runs found it."
)
settings = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any setting of `p2pbench settings`; repeat it."
)
engine = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on the machines of a Ray cluster, which share the results folder; needs the extra `cluster`.",
)
address = click.option(
    "--address",
    metavar="auto|HOST:PORT",
    help="With --engine ray: the cluster; auto is this machine's. Without it one of this machine alone is started.",
)
device = click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1; auto takes a GPU if there is one.")


def _clusters(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else check_clusters(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, param) from None


clusters = click.option(
    "--clusters",
    metavar="PATTERN|FILE.csv",
    callback=_clusters,
    help="Which test items vary together, as frames of one drive do: a pattern whose one group is found in their "
    "names, or a table of items and clusters. Intervals are then over clusters. Default: what grid or dataset have.",
)


def without_effect(where: str, *names: str) -> None:
    """Refuse options, by the names of their parameters, that were given where they have no effect.

    Raises:
        UsageError: one was given, and is not its default.
    """
    context = click.get_current_context()
    idle = [
        param.opts[0]
        for param in context.command.params
        if param.name in names
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        and context.params[param.name] != param.get_default(context)
    ]
    if idle:
        raise click.UsageError(f"{' and '.join(idle)}: no effect {where}; leave {'them' if idle[1:] else 'it'} out")


def remark(line: str) -> None:
    """Say something on standard error; names in it control no terminal."""
    click.echo(printable(line), err=True)


@contextmanager
def cluster(engine: str, address: str | None) -> Iterator[Cluster | None]:
    """The cluster that `--engine` and `--address` ask for while the block runs; None for this machine as it is.

    Raises:
        UsageError: an address without the engine that it belongs to.
        UserError: there is no such cluster, or no Ray.
    """
    if engine == "local":
        if address is not None:
            raise click.UsageError("--address is the address of a Ray cluster: give --engine ray too")
        yield None
        return
    from p2pbench.cluster.connection import connected

    with connected(address) as found:
        yield found


def overrides(settings: tuple[str, ...], **named: str | None) -> dict[str, Any]:
    """The settings given behind `--set`, and those that have an option of their own and were given."""
    given = {key: value for key, value in named.items() if value is not None}
    for text in settings:
        key, value = parse_setting(text)
        if key == "seed":
            option = "--seeds 0,1,2" if "seeds" in click.get_current_context().params else "--seed"
            raise UserError(f"--set {text}: seeds have an option of their own; give {option} instead")
        if key in given:
            raise UserError(f"--set {text}: '{key}' is given twice; expected it once")
        given[key] = value
    return given


def seed_list(text: str | None) -> list[int] | None:
    """The seeds of `--seeds 0,1,2`.

    Raises:
        UserError: something else than whole numbers from 0 up, each once.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise UserError(f"--seeds {text}: expected whole numbers from 0 up, each once, such as 0,1,2")
    return [int(part) for part in parts]
