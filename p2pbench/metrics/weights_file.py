"""A file of weights, looked at before a library loads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fcn.torch_files import UNREADABLE, read, reason
from p2pbench.errors import UserError


def check_weights(file: Path, network: str) -> str:
    """The SHA-256 of a file that holds tensors and nothing that runs, however it is loaded later.

    Raises:
        UserError: it is missing or damaged, or holds code.
    """
    try:
        read(file)
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except UNREADABLE as error:
        raise not_weights(file, network, error) from error


def not_weights(file: Path, network: str, error: Exception) -> UserError:
    """The error of a file that does not hold a network's weights."""
    return UserError(
        f"{file}: found no weights of {network} ({reason(error)}), expected the published file; put that there, or "
        "remove this one and download it again"
    )
