"""What a rater's request is refused with."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not done, with a word for programs, a sentence for people, and its HTTP status."""

    def __init__(self, status: int, word: str, message: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        super().__init__(message)
        self.status = status
        self.word = word
        self.more = more
