"""What goes wrong when a file of `torch.save` is read."""

from __future__ import annotations

import pickle
import struct

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


def reason(error: Exception) -> str:
    """The first line of what it says, or what it is called."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
