"""`p2pbench settings`."""

from __future__ import annotations

import click

from p2pbench.config import BOOKKEEPING, setting_lines


@click.command(epilog="Example: p2pbench settings")
def command() -> None:
    """List every setting of a run: the keys of a grid's TOML file and of --set KEY=VALUE."""
    lines = setting_lines()
    width = max(len(f"{name} = {default}") for name, default, _ in lines)
    for name, default, meaning in lines:
        note = " (changes no number)" if name in BOOKKEEPING else ""
        click.echo(f"{f'{name} = {default}':{width}}  {meaning}{note}".rstrip())
