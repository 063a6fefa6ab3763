"""Small tables of results as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.store.names import printable

# Colours and borders are the notebook's own, light or dark.
_STYLE = {
    "whole": "overflow-x: auto",
    "caption": "caption-side: top; text-align: left; font-weight: bold; padding: .5em 0 .3em; white-space: nowrap",
    "text": "text-align: left; vertical-align: top",
    "number": "text-align: right; vertical-align: top; white-space: nowrap",
    "detail": "opacity: .65; font-size: 85%",
    "note": "opacity: .75; font-size: 85%; margin: .2em 0 0; max-width: 60em",
}
_GAP = "  "
_WIDEST = 120  # characters


class ShownCell(NamedTuple):
    """Text of a cell with a less prominent detail (an interval)."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class ShownTable:
    """A table of a few rows whose first column names them.

    Attributes:
        title: Above the table.
        columns: Headings, the first of them that of the rows' names.
        rows: A cell per column.
        notes: Lines below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[ShownCell]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Lay the table out in columns of text.

        One too wide for a terminal becomes a block per row.
        """
        cells = [list(self.columns), *([f"{each.text} {each.detail}".rstrip() for each in row] for row in self.rows)]
        safe = [[printable(cell) for cell in row] for row in cells]
        widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
        lines = [_GAP.join(map(str.ljust, row, widths)).rstrip() for row in safe]
        if max(map(len, lines)) > _WIDEST:
            width = max(map(len, safe[0]))
            lines = []
            for name, *cells_of_row in safe[1:]:
                pairs = zip(safe[0][1:], cells_of_row, strict=True)
                lines += [name, *(f"    {label:<{width}}{_GAP}{cell}" for label, cell in pairs)]
        return "\n".join([printable(self.title), *filter(None, lines), *map(printable, self.notes)])

    def html(self) -> str:
        """Write the table as self-contained HTML; all text is escaped."""
        names = "".join(_element("th", _escaped(name), self._kind(i)) for i, name in enumerate(self.columns))
        head = f"<thead><tr>{names}</tr></thead>" if any(self.columns) else ""
        body = "".join(
            f"<tr>{''.join(_element('td', _content(cell), self._kind(i)) for i, cell in enumerate(row))}</tr>"
            for row in self.rows
        )
        notes = "".join(_element("p", _escaped(note), "note") for note in self.notes)
        caption = _element("caption", _escaped(self.title), "caption")
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>{notes}"

    def _kind(self, column: int) -> str:
        return "number" if column else "text"


class Displayed:
    """Base of results that show as tables in terminals and notebooks."""

    def tables(self) -> Sequence[ShownTable]:
        """Tables that show the result."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n\n".join(table.text() for table in self.tables())

    def _repr_html_(self) -> str:
        return _element("div", "".join(table.html() for table in self.tables()), "whole")


def _element(tag: str, content: str, kind: str) -> str:
    return f'<{tag} style="{_STYLE[kind]}">{content}</{tag}>'


def _content(cell: ShownCell) -> str:
    detail = f'<br><span style="{_STYLE["detail"]}">{_escaped(cell.detail)}</span>' if cell.detail else ""
    return f"{_escaped(cell.text)}{detail}"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
