"""Locks between processes, and output files that are never replaced."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped
from reports.store import atomic
from reports.store.layout import Run
from reports.store.made import digest


def write_once(out: Path, write: Callable[[Path], None]) -> bool:
    """Write `out` by a function, unless its content is equal.

    Returns:
        Whether it was written.

    Raises:
        UserError: Another file is there.
    """
    if not os.path.lexists(out):
        write(out)
        return True
    with tempfile.TemporaryDirectory() as folder:
        # Compared by content: the call may be a repetition that would write the same file.
        again = Path(folder, "again")
        write(again)
        if digest(again) != digest(out):
            raise UserError(f"{out}: found something else there, expected nothing; move it away or name another file")
    return False


SECONDS_BETWEEN_TRIES = 0.5


@contextmanager
def owned(run: Run, patience: float = 0.0, stop: Stop = False) -> Iterator[None]:
    """Lock a run for this process.

    Args:
        run: the run.
        patience: seconds to wait for another process to release it: a file system may keep the lock of a dead machine
            for a while.
        stop: whether a stop is requested.

    Raises:
        UserError: another process holds it, or the file system keeps no locks.
        Stopped: a stop was requested while another process held it.
    """
    deadline = time.monotonic() + patience
    while True:
        with run.config.open("r+b") as file:  # NFS gives an exclusive lock only on a file open for writing
            while not _lock(file, run.config):
                if stop:
                    raise Stopped(f"{run.folder}: stopped before it began; rerun the same command to resume")
                if time.monotonic() >= deadline:
                    raise UserError(f"{run.folder}: another process is training this run; wait for it, or stop it")
                time.sleep(SECONDS_BETWEEN_TRIES)
            if os.path.samestat(os.fstat(file.fileno()), run.config.stat()):  # else it was replaced meanwhile
                yield
                return


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which is created with its folder.

    Wait while another process holds it.

    Raises:
        UserError: the file cannot be written, or its file system keeps no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Appending creates the file and never truncates it.
        file = path.open("ab")
    except OSError as error:
        raise UserError(atomic.unwritten(path, error)) from None
    with file:
        while not _lock(file, path):
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def is_held(run: Run) -> bool:
    """Whether another process holds a run."""
    if not run.config.exists():
        return False
    with run.config.open("r+b") as file:
        return not _lock(file, run.config)


def _lock(file: BinaryIO, path: Path) -> bool:
    """Whether the file could be locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # such as ENOLCK or ENOSYS: without a lock two processes could train one run
        raise UserError(
            f"{path}: its file system keeps no locks ({error.strerror}); expected one that does: mount it with "
            "locks (Lustre: -o flock), or use another results folder"
        ) from None
    return True
