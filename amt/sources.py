"""Where a study's pictures come from: one folder of real ones, one of fakes for each algorithm, matched by name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from amt.errors import AmtError
from amt.words import counted

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})
_MOST_NAMED = 5
_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes of a file's name that are no UTF-8, as Python shows them


@dataclass(frozen=True)
class Sources:
    """Pictures by item: the real ones, and the fakes of each algorithm, all of the same items."""

    real: Mapping[str, Path]
    fakes: Mapping[str, Mapping[str, Path]]

    @property
    def items(self) -> list[str]:
        """The items' ids, in order."""
        return sorted(self.real)


def folder(path: Path, passed_over: Counter[str] | None = None) -> dict[str, Path]:
    """The pictures in a folder and those below it by item, which is the file's stem as text.

    Letters of the stem are composed (Unicode's NFC), and where its bytes are no UTF-8, `%E9` stands for the byte E9.

    Args:
        path: The folder.
        passed_over: Counts what else is there, by its ending; hidden files and folders are "hidden".

    Raises:
        AmtError: There is no such folder, one cannot be opened, there is no picture, or an item has two.
    """
    if not path.is_dir():
        what = "a file" if path.exists() else "no such folder"
        raise AmtError(f"{path}: found {what}, expected a folder of pictures named ITEM.png; check the path")
    found: dict[str, Path] = {}
    for file in sorted(_pictures(path, Counter() if passed_over is None else passed_over)):
        text = _UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", file.stem)
        other = found.setdefault(unicodedata.normalize("NFC", text), file)
        if other != file:
            names = [one.relative_to(path).as_posix() for one in (other, file)]
            alike = other.parent == file.parent and other.suffix == file.suffix  # the same letters, composed otherwise
            bytes_ = f" (as bytes {os.fsencode(names[0])!r} and {os.fsencode(names[1])!r})" if alike else ""
            raise AmtError(f"{path}: found {names[0]} and {names[1]}{bytes_}, expected one an item; remove one")
    if not found:
        raise AmtError(f"{path}: found no picture, expected ITEM.png (or {', '.join(sorted(SUFFIXES))})")
    return found


def _pictures(path: Path, passed_over: Counter[str]) -> Iterator[Path]:
    for here, folders, files in os.walk(path, onerror=_cannot_open):
        passed_over.update("hidden" for name in folders if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(here, name) for name in files):
            if file.name.startswith("."):
                passed_over["hidden"] += 1
            elif file.suffix.lower() in SUFFIXES:
                yield file
            else:
                passed_over[file.suffix.lower() or "no ending"] += 1


def _cannot_open(error: OSError) -> NoReturn:
    raise AmtError(f"{error.filename}: the folder cannot be opened ({error.strerror}); make it readable") from error


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
            f"found {counted(len(common), 'item')} with all pictures, of {len(every)}: {'; '.join(lacking)}. "
            "Add or remove them, or go on with those that all have: --allow-partial"
        )
    return Sources(
        {item: real[item] for item in sorted(common)},
        {name: {item: pictures[item] for item in sorted(common)} for name, pictures in fakes.items()},
    )


def _named(items: set[str]) -> str:
    first = ", ".join(sorted(items)[:_MOST_NAMED])
    return first if len(items) <= _MOST_NAMED else f"{first} and {len(items) - _MOST_NAMED} more"
