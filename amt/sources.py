"""Where a study's pictures come from: one folder of real ones, one of fakes for each algorithm, matched by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amt.errors import AmtError
from amt.pictures import SUFFIXES

_MOST_NAMED = 5


@dataclass(frozen=True)
class Sources:
    """Pictures by item: the real ones, and the fakes of each algorithm, all of the same items."""

    real: Mapping[str, Path]
    fakes: Mapping[str, Mapping[str, Path]]

    @property
    def items(self) -> list[str]:
        """The items' ids, in order."""
        return sorted(self.real)


def folder(path: Path) -> dict[str, Path]:
    """The pictures in a folder by item, which is the file's stem.

    Raises:
        AmtError: There is no such folder, no picture in it, or an item has two.
    """
    if not path.is_dir():
        raise AmtError(f"{path}: found no such folder, expected one of pictures named ITEM.png; check the path")
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            if file.stem in found:
                raise AmtError(
                    f"{path}: found {found[file.stem].name} and {file.name}, expected one an item; remove one"
                )
            found[file.stem] = file
    if not found:
        raise AmtError(f"{path}: found no picture, expected ITEM.png (or {', '.join(sorted(SUFFIXES))})")
    return found


def matched(
    real: Mapping[str, Path], fakes: Mapping[str, Mapping[str, Path]], *, allow_partial: bool = False
) -> Sources:
    """Real and fake pictures of the same items.

    Args:
        real: The real pictures by item.
        fakes: The fakes by algorithm and item.
        allow_partial: Whether to go on with the items that all have.

    Raises:
        AmtError: There is no algorithm, or an item lacks a picture somewhere; the items are named.
    """
    if not fakes:
        raise AmtError("found no algorithm, expected at least one folder of fakes; give --fake NAME=FOLDER")
    every = set(real).union(*fakes.values())
    common = set(real).intersection(*fakes.values())
    if every != common and not allow_partial:
        where = {"real": real, **fakes}
        lacking = [
            f"{name} lacks {_named(every - pictures.keys())}"
            for name, pictures in where.items()
            if every - pictures.keys()
        ]
        raise AmtError(
            f"found {len(common)} items with all their pictures of {len(every)}: {'; '.join(lacking)}. "
            "Add or remove them, or go on with those that all have: --allow-partial"
        )
    return Sources(
        {item: real[item] for item in sorted(common)},
        {name: {item: pictures[item] for item in sorted(common)} for name, pictures in fakes.items()},
    )


def _named(items: set[str]) -> str:
    first = ", ".join(sorted(items)[:_MOST_NAMED])
    return first if len(items) <= _MOST_NAMED else f"{first} and {len(items) - _MOST_NAMED} more"
