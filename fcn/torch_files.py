"""Files of `torch.save`, of which nothing but weights and plain values is read."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import torch

# For a file that is damaged or none of its own, `torch.load` raises whatever its reader of pickles stumbles over.
UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
)
LONGEST = 200  # characters of what a file says about itself
_OBJECT = re.compile(r"GLOBAL (\S+)")


def read(path: Path) -> Any:  # noqa: ANN401 (what a file holds is not known before it is read)
    """Read a file of `torch.save` onto the CPU; no code in it is run.

    Raises:
        Exception: One of UNREADABLE, which `reason` explains.
    """
    with warnings.catch_warnings():  # about old and foreign files, which then fail with an error of their own
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def reason(error: Exception) -> str:
    """Why a file cannot be read, in one printable line; the names in it are those that the file gives."""
    text = str(error)
    found = _OBJECT.search(text)
    if found:
        return f"it holds {_printable(found[1])}, not weights alone: where it was made, save net.state_dict() instead"
    if "TorchScript" in text:
        return "it holds a TorchScript module, not weights alone: where it was made, save net.state_dict() instead"
    if isinstance(error, OSError):
        return _printable(error.strerror or text)
    if isinstance(error, pickle.UnpicklingError | EOFError | LookupError | struct.error):
        return "it is damaged, or torch.save did not write it"
    return _printable(text.splitlines()[0].split(". ")[0] if text else type(error).__name__)


def _printable(text: str) -> str:
    """The beginning of a text, with everything that a terminal might obey written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:LONGEST])
