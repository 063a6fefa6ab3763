"""Errors that users can fix, and exceptions of damaged files."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib

# A damaged file fails wherever its reader stumbles: JSON and CSV raise ValueError, a field that is missing LookupError,
# one of another type TypeError or AttributeError, a division or a huge exponent ArithmeticError, deep nesting
# RecursionError (a RuntimeError). NumPy evaluates the header of an array as Python (SyntaxError, TokenError) and
# allocates what the header declares (MemoryError); Pillow and tifffile fail in checks and decompressors.
DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""The exceptions that readers of files raise where a file is missing, damaged or of another kind."""


class ReportError(Exception):
    """An unreadable results folder or unwritable page, with the fix."""
