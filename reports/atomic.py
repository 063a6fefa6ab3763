"""Files that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
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
        raise ReportError(
            f"{path}: cannot be written ({error.strerror or error}); make its folder writable or free space on its disk"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
