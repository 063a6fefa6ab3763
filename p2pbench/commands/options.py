"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from p2pbench.errors import UserError
from reports.store.names import printable

if TYPE_CHECKING:
    from p2pbench.cluster.jobs import Cluster


class _Path(click.Path):
    """A path that is not empty: an unset shell variable would silently name the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Refuse an empty path."""
        if not str(value):
            self.fail("found an empty path, expected one; a single dot is the current folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
out = click.option("--out", type=PATH, default=Path("results"), show_default=True, help="Results folder.")
dataset = click.option("--dataset", metavar="NAME", help="A dataset of `p2pbench datasets`.")
root = click.option("--root", type=_Path(), metavar="DIR", help="The dataset's folder.")
root_now = click.option("--root", type=_Path(), metavar="DIR", help="The dataset's folder, if it has moved.")
settings = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting of `p2pbench settings`; repeatable."
)
engine = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: run on the machines of a Ray cluster that share the results folder; needs the extra `cluster`.",
)
address = click.option(
    "--address",
    metavar="auto|HOST:PORT",
    help="With --engine ray: the cluster to join; auto is this machine's. Default: start one on this machine.",
)
device = click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1; auto is a GPU where there is one.")
allow_partial = click.option("--allow-partial", is_flag=True, help="Score the outputs that exist if some are missing.")


def _clusters(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from p2pbench.config import check_clusters

    try:
        return check_clusters(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, param) from None


clusters = click.option(
    "--clusters",
    metavar="PATTERN|FILE.csv",
    callback=_clusters,
    help="Groups of test items that vary together, such as frames of one drive: a pattern with one group, searched in "
    "item ids, or a table of items and clusters. Intervals are then over clusters. Default: the grid's or dataset's.",
)


def without_effect(where: str, *names: str) -> None:
    """Refuse options, by parameter name, that have no effect.

    Raises:
        UsageError: One was given, and is not its default.
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
    """Print a line on standard error, with control characters in names escaped."""
    click.echo(printable(line), err=True)


@contextmanager
def cluster(engine: str, address: str | None) -> Iterator[Cluster | None]:
    """Connect to the cluster of `--engine` and `--address` while the block runs.

    None for the local engine.

    Raises:
        UsageError: An address without `--engine ray`.
        UserError: There is no such cluster, or no Ray.
    """
    if engine == "local":
        if address is not None:
            raise click.UsageError("--address is the address of a Ray cluster: give --engine ray too")
        yield None
        return
    from p2pbench.cluster.connection import connected

    with connected(address) as joined:
        yield joined


def overrides(settings: tuple[str, ...], **named: str | None) -> dict[str, Any]:
    """Merge settings given by `--set` with those of other options."""
    from p2pbench.config import parse_setting

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
    """Parse `--seeds 0,1,2`.

    Raises:
        UserError: Not whole numbers from 0 up, each once.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise UserError(f"--seeds {text}: expected whole numbers from 0 up, each once, such as 0,1,2")
    return [int(part) for part in parts]
