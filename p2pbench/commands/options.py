"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from p2pbench.config import parse_setting
from p2pbench.errors import UserError

out = click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="The results folder."
)
dataset = click.option("--dataset", metavar="NAME", help="A name of `p2pbench datasets`.")
root = click.option("--root", metavar="DIR", help="The dataset's folder.")
settings = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any setting of `p2pbench settings`; repeat it."
)
device = click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1; auto takes a GPU if there is one.")


def overrides(settings: tuple[str, ...], **named: str | None) -> dict[str, Any]:
    """The settings given behind `--set`, and those that have an option of their own and were given."""
    given = {key: value for key, value in named.items() if value is not None}
    for text in settings:
        key, value = parse_setting(text)
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
