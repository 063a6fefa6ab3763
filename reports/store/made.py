"""Record of the files that the program made in a folder.

It decides which files the program may replace or remove, and which belong to the user. `made.jsonl` has the name and
SHA-256 of each, one per line, from before the file is put in place: a killed command leaves lines without files, and
never files without lines.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from reports.store import atomic
from reports.store.errors import DAMAGED, ReportError
from reports.store.layout import RECORD

_START = b'{"file": '  # of each line


class Made:
    """Record of one folder, with paths relative to it.

    A rewritten file has several hashes, as the process may be killed before the new content is in place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / RECORD
        self._hashes = _read(self._path)
        self._whole = False  # whether the file is known to end with a complete line

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def note(self, path: Path, sha256: str) -> None:
        """Record a file that is about to be written below the folder.

        Raises:
            ReportError: The record cannot be written, or is a foreign file.
            OSError: It cannot be written.
        """
        self.check()
        name = path.relative_to(self._folder).as_posix()
        self._hashes.setdefault(name, set()).add(sha256)
        if not self._whole:  # a killed process may have torn the last line
            lines = [_line(each, hash_) for each, hashes in self._hashes.items() for hash_ in sorted(hashes)]
            atomic.write(self._path, "".join(lines).encode())
            self._whole = True
        else:
            with self._path.open("a", encoding="utf-8") as file:  # one short append per file, not a rewrite
                file.write(_line(name, sha256))

    def check(self) -> None:
        """Refuse to overwrite a file that is no record.

        Raises:
            ReportError: There is one.
        """
        if self or not os.path.lexists(self._path):
            return
        start = self._path.read_bytes()[: len(_START)] if self._path.is_file() else None
        if start is None or not _START.startswith(start):
            raise ReportError(f"{self._path}: found something else, expected what this program writes; move it away")

    def check_as_made(self, path: Path, mend: str) -> None:
        """Refuse to read a file that was changed since it was written.

        Files that are not recorded are of older versions, and pass.

        Args:
            path: Below the folder.
            mend: Fix named in the message.

        Raises:
            ReportError: It was changed, or the record is a file without any entry.
        """
        self.check()
        if not self and os.path.lexists(self._path):
            raise ReportError(f"{self._path}: found no complete line, expected a record of this program; move it away")
        if self.names(path) and not self.holds(path):
            raise ReportError(f"{path}: was changed since it was written; {mend}")

    def names(self, path: Path) -> bool:
        """Whether a file of this name was ever recorded."""
        return path.relative_to(self._folder).as_posix() in self._hashes

    def holds(self, path: Path) -> bool:
        """Whether a file has content that was recorded for it."""
        known = self._hashes.get(path.relative_to(self._folder).as_posix())
        return known is not None and digest(path) in known

    def files(self) -> list[Path]:
        """Recorded files whose content is unchanged."""
        return [path for path in (self._folder / name for name in self._hashes) if self.holds(path)]

    def changed(self) -> list[Path]:
        """Recorded files whose content was changed."""
        there = (path for path in (self._folder / name for name in self._hashes) if os.path.lexists(path))
        return [path for path in there if not self.holds(path)]


def record(folder: Path) -> None:
    """Write the record of a folder made entirely by the program."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [_line(path.relative_to(folder).as_posix(), digest(path)) for path in paths]
    atomic.write(folder / RECORD, "".join(lines).encode())


def put(path: Path, content: bytes, start: bytes | tuple[bytes, ...]) -> None:
    """Write a file atomically and record it, over an unchanged earlier one.

    Args:
        path: The file.
        content: Its content.
        start: See `check_free`.

    Raises:
        ReportError: As `check_free`, or the file cannot be written.
    """
    check_free(path, start)
    Made(path.parent).note(path, hashlib.sha256(content).hexdigest())
    atomic.write(path, content)


def check_free(path: Path, start: bytes | tuple[bytes, ...], mend: str = "move it away") -> None:
    """Refuse a foreign or changed file where `put` would write.

    Args:
        path: The file.
        start: First bytes of files that older versions wrote without a record; such files pass.
        mend: Fix named in the message.

    Raises:
        ReportError: There is one, or the record is a foreign file.
    """
    known = Made(path.parent)
    known.check()
    if not os.path.lexists(path):
        return
    if known.names(path):
        if not known.holds(path):
            raise ReportError(f"{path}: was changed since this program wrote it, and would be overwritten; {mend}")
    elif not (path.is_file() and path.read_bytes().startswith(start)):
        raise ReportError(f"{path}: found something else, expected what this program writes or nothing; {mend}")


def digest(path: Path) -> str:
    """SHA-256 of a file; empty if irregular or unreadable."""
    if not path.is_file():  # opening a pipe would block
        return ""
    try:
        return sha256(path)
    except OSError:
        return ""


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: It is missing or cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(name: str, sha256: str) -> str:
    return json.dumps({"file": name, "sha256": sha256}) + "\n"


def _read(path: Path) -> dict[str, set[str]]:
    """Read the hashes by name, without torn lines."""
    hashes: dict[str, set[str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except DAMAGED:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            hashes.setdefault(str(entry["file"]), set()).add(str(entry["sha256"]))
        except DAMAGED:
            continue
    return hashes
