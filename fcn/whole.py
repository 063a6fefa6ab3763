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
        reason = error.strerror or error
        raise FcnError(f"{path}: cannot be written ({reason}); make its folder writable or free its disk") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
