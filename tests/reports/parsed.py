"""A written page, taken apart: its tags and texts, without a browser."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

from reports import html


class Page(HTMLParser):
    """The texts and tags of a page; what is in its styles and scripts is no text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag with its attributes."""
        self._inside = tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Forget the tag."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Keep a text, its white space made single."""
        if self._inside not in {"style", "script", "textarea"}:
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        """All texts, a space between them."""
        return " ".join(text for text in self.texts if text)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


def write(results: Path) -> Page:
    """Write the report of a results folder where it belongs, and read its page."""
    return Page(html.write_report(results, results / "report"))


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, as text."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))
