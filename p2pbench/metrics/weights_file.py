"""A file of weights, looked at before a library loads it."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch

from p2pbench.errors import UserError

# What torch.load raises for files that are missing, cut off or no archives, or hold more than tensors.
_BROKEN = (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError)


def check_weights(file: Path, network: str) -> str:
    """The SHA-256 of a file that holds tensors and nothing that runs, however it is loaded later.

    Raises:
        UserError: it is missing or damaged, or holds code.
    """
    try:
        torch.load(file, map_location="cpu", weights_only=True)
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except _BROKEN as error:
        raise not_weights(file, network, error) from error


def not_weights(file: Path, network: str, error: Exception) -> UserError:
    """The error of a file that does not hold a network's weights."""
    detail = getattr(error, "strerror", None) or (str(error).splitlines() or ["it is empty"])[0]
    return UserError(
        f"{file}: found no weights of {network} ({detail}), expected the published file; put that there, or remove "
        "this one and download it again"
    )
