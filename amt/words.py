"""Words around numbers."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as "1 item" and "2,000 items"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
