"""User-facing errors of a study, and counts in their messages."""

from __future__ import annotations

from typing import Any


class AmtError(Exception):
    """Error outside the program; its message says how to fix it.

    One line: file or setting, value found, value expected, fix.
    """


class Refusal(Exception):
    """Refused request: word for programs, sentence for people, HTTP status."""

    def __init__(self, status: int, word: str, message: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        super().__init__(message)
        self.status = status
        self.word = word
        self.more = more


def counted(count: int, noun: str) -> str:
    """Format a count with its noun, such as "2,000 items"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
