"""Groups of commands whose modules are imported only when they are called, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from p2pbench.errors import UserError


class Entry(NamedTuple):
    """A command: its module in p2pbench.commands, and its line in the group's help."""

    module: str
    line: str


class LazyGroup(click.Group):
    """A group that imports a command's module when it is called."""

    def __init__(self, *args: object, table: Mapping[str, Entry], **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # click's own, passed on
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a user meets them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._table:
            return None
        command: click.Command = importlib.import_module(f"p2pbench.commands.{self._table[cmd_name].module}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own)
        """Call a command; Ctrl-C, where the command itself does not say how to go on, is a line that does."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise UserError("stopped; what was finished is kept: give the same command again for the rest") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table instead of from their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self._table.items()])
