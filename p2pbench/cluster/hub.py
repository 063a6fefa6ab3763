"""Where the news of all workers meet, and the wish to stop goes out: an actor beside the one that gave the command."""

from __future__ import annotations


class Hub:
    """Keeps news until they are fetched. It passes them on as bytes, so that it need not know what is in them."""

    def __init__(self) -> None:
        self._news: list[bytes] = []
        self._stopping = False

    def hear(self, news: list[bytes]) -> bool:
        """Take news of a worker; whether it shall stop."""
        self._news.extend(news)
        return self._stopping

    def fetch(self, stopping: bool) -> list[bytes]:
        """Give away all news, and hear whether the workers shall stop from now on."""
        self._stopping = stopping
        news, self._news = self._news, []
        return news
