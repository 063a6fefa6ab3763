"""Folders that change all at once: built beside the old one, and put in its place when they are whole."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new empty folder that takes the place of `folder` when the block ends well, and is removed when it fails.

    Raises:
        OSError: The folder beside `folder` cannot be made, or not be put in its place; the old one is then there still.
    """
    token = secrets.token_hex(4)
    new, old = (folder.with_name(f".{token}-{state}") for state in ("new", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    new.mkdir()
    try:
        yield new
        if folder.exists():
            _exchange(folder, new, old)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _exchange(folder: Path, new: Path, old: Path) -> None:
    folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
