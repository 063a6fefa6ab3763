"""Files that are there whole or not at all, whenever the process is killed; and files that replace none."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, suppress
from pathlib import Path

from reports.errors import ReportError


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whose folder is made where it is missing; the old file stays until the new is on disk.

    Raises:
        ReportError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_new(path: Path, content: bytes) -> None:
    """Put `content` at `path`, where nothing may be yet, and wait until both are on disk; its owner alone may read it.

    Raises:
        ReportError: Something is there, or the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb", opener=_for_owner) as file, ExitStack() as undo:
            undo.callback(path.unlink, missing_ok=True)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            undo.pop_all()
        with suppress(OSError):  # not all file systems can
            _sync(path.parent)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ReportError(f"{path}: found a file there, expected none; name a new file") from error
        raise _cannot(path, error) from error


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """Wait until a folder's entries are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(path: Path, error: OSError) -> ReportError:
    return ReportError(
        f"{path}: cannot be written ({error.strerror or error}); make its folder writable or free space on its disk"
    )
