"""User-facing errors of a study, and counts in their messages."""

from __future__ import annotations


class AmtError(Exception):
    """Error outside the program; its message says how to fix it.

    One line: file or setting, value found, value expected, fix.
    """


def counted(count: int, noun: str) -> str:
    """Format a count with its noun, such as "2,000 items"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
