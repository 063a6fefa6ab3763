"""Separation of outputs from inputs, so that nothing overwrites its own data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from reports.store.errors import ReportError


def check(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is, contains or lies in an input.

    Links and `..` are followed.

    An output whose path passes through an input lies in it, wherever a link on the path points; and the target of a
    link inside an input belongs to it, since it is read too.

    Args:
        output: The file or folder to be written, whether or not it exists.
        inputs: Files and folders that are read.

    Raises:
        ReportError: It is; the message names the input.
    """
    # realpath, not resolve(strict): the output need not exist yet.
    written = Path(os.path.realpath(output))
    # Looked up for each of many thousand inputs.
    around = {folder for entry in (written, *_way(output)) for folder in (entry, *entry.parents)}
    for input_ in (each for given in inputs for each in (given, *_linked(given))):
        read = Path(os.path.realpath(input_))
        if written == read:
            relation = "is the same as"
        elif written in read.parents:
            relation = "holds"
        elif read in around:
            relation = "lies in"
        else:
            continue
        raise ReportError(f"{output}: {relation} {input_}, which is read; expected a place apart; write elsewhere")


def _way(path: Path) -> list[Path]:
    """Resolved entries along a path, links included."""
    way: list[Path] = []
    here = Path("/")
    for part in path.absolute().parts[1:]:
        here = Path(os.path.realpath(here))
        here = here.parent if part == ".." else here / part
        way = [] if part == ".." else [*way, here]  # the path leaves the earlier entries
    return way


def _linked(folder: Path) -> Iterator[Path]:
    """Links to folders below a folder, followed recursively."""
    seen = set()
    for here, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link may lead back to a folder above it
            folders.clear()
            continue
        seen.add(real)
        yield from (path for path in (Path(here, name) for name in folders) if path.is_symlink())
