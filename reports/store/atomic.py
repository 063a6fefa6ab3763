"""Atomic writing of files and folders, and CSV text."""

from __future__ import annotations

import csv
import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from reports.store.errors import ReportError

_ADVICE = {
    errno.EACCES: "give this account the right to, or name another place",
    errno.EPERM: "give this account the right to, or name another place",
    errno.EROFS: "name a place on a disk that can be written",
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space on its disk",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EISDIR: "move the folder of that name away, or name another file",
}


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, creating its folder.

    Raises:
        ReportError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")  # in the same folder, hence on the same file system
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name is random and new: two processes never write one temporary file.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)  # atomic within a file system
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file durably, readable by its owner only.

    Raises:
        ReportError: Something is there, or the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb", opener=_for_owner) as file, ExitStack() as undo:
            # A partly written file is removed, unlike one that was there before.
            undo.callback(path.unlink, missing_ok=True)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            undo.pop_all()
        with suppress(OSError):  # not all file systems support it
            _sync(path.parent)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ReportError(f"{path}: found a file there, expected none; name a new file") from error
        raise _cannot(path, error) from error


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # readable by the owner only, from the first byte


def _sync(folder: Path) -> None:
    """Wait until a folder's entries are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritten(path: Path, error: OSError) -> str:
    """Message on a file that could not be written."""
    return f"{path}: cannot be written ({error.strerror or error}); {advice(path, error)}"


def advice(path: Path, error: OSError, otherwise: str = "name another place") -> str:
    """Advice on an error of the system about `path`.

    `otherwise` is for errors that say too little.
    """
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        for part in (path, *path.parents):
            if os.path.lexists(part) and not os.path.isdir(part):
                return f"{part} is a file, where a folder is expected: name another folder, or move the file away"
    return _ADVICE.get(error.errno or 0, otherwise)


def _cannot(path: Path, error: OSError) -> ReportError:
    return ReportError(unwritten(path, error))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """New folder that replaces `folder` on success and is removed on failure.

    Raises:
        OSError: The folder beside `folder` cannot be made, or not be put in its place; the old one is then there still.
    """
    token = secrets.token_hex(4)
    new, old = (folder.with_name(f".{token}-{state}") for state in ("new", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    new.mkdir()
    try:
        yield new
        # Folders cannot be replaced atomically, so the old one is moved aside for a moment.
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
    except BaseException:  # Ctrl-C too must not leave the folder missing
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def csv_text(lines: Iterable[Iterable[object]]) -> str:
    """CSV text of lines of cells, header included; numbers at full precision."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
