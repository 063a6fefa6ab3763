"""Drawings put into a report's assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.plots import Drawing


@dataclass(frozen=True)
class Figure:
    """A drawing in the report's assets: what stands over it, what it shows in words, and its file from the assets."""

    title: str
    alt: str
    name: str


def figures(drawings: Sequence[Drawing], folder: Path, prefix: str = "") -> tuple[Figure, ...]:
    """Write drawings into a folder of the assets."""
    found = []
    for drawing in drawings:
        name = f"{prefix}-{drawing.name}.svg" if prefix else f"{drawing.name}.svg"
        (folder / name).write_text(drawing.svg, "utf-8")
        found.append(Figure(drawing.title, drawing.alt, f"{folder.name}/{name}"))
    return tuple(found)
