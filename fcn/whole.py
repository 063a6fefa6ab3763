"""Files that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fcn.errors import FcnError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, to be written in the block, which takes its place at the end.

    Raises:
        FcnError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        in_the_way = next((each for each in path.parents if each.exists() and not each.is_dir()), None)
        reason = f"{in_the_way} is a file, expected a folder" if in_the_way else error.strerror or error
        raise FcnError(
            f"{path}: cannot be written ({reason}); name a place on a disk with room, where this account may write"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
