"""Drawings put into a report's assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.plots import Drawing


@dataclass(frozen=True)
class Figure:
    """A drawing in the report's assets.

    Attributes:
        title: What stands over it.
        alt: What it shows, in words.
        name: Its file, from the assets.
        width: In CSS pixels; a page that knows both sizes keeps room for it, and nothing moves when it comes.
        height: In CSS pixels.
    """

    title: str
    alt: str
    name: str
    width: int
    height: int


def figures(drawings: Sequence[Drawing], folder: Path, prefix: str = "") -> tuple[Figure, ...]:
    """Write drawings into a folder of the assets."""
    found = []
    for drawing in drawings:
        name = f"{prefix}-{drawing.name}.svg" if prefix else f"{drawing.name}.svg"
        (folder / name).write_text(drawing.svg, "utf-8")
        found.append(Figure(drawing.title, drawing.alt, f"{folder.name}/{name}", *drawing.size))
    return tuple(found)
