r"""Tables as LaTeX for a paper: booktabs, with intervals, any name escaped.

UTF-8. Names in Latin letters compile with pdflatex, others need lualatex or xelatex and a font that has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.csv_tables import reason
from reports.store.grids import GridDescription
from reports.store.metrics import describe, describe_scorer
from reports.store.names import counted, file_name, printable
from reports.tables import CellRow, Number, ScoreTable
from reports.verdicts import Mark

LONG_NAME = 30  # characters; longer names get line breaks
_UNBROKEN = 12  # characters of a long name after which a line may end
_NARROW = r">{\raggedright\arraybackslash}p{0.3\linewidth}"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",  # some languages of babel make it a command
    "`": r"\textasciigrave{}",
    "[": "{[}",  # behind the end of a row it would start an argument
    "]": "{]}",
    "*": "{*}",
}
_LIGATURE = re.compile(r"(?<=[-',])(?=[-',])")
# Local to the table: the position of intervals is defined once, and many columns are set in small type.
_ESTIMATE = r"\def\estimate#1#2{\begin{tabular}[t]{@{}r@{}}#1\\[-0.4ex]{\%s[#2]}\end{tabular}}"
_SMALL = r"  \footnotesize\setlength{\tabcolsep}{3pt}"
_SIGNS = {Mark.TIE: r"$^\dagger$", Mark.AHEAD: r"$^\star$", Mark.LEVEL: r"$^\circ$"}
_SIGNS |= {Mark.AHEAD_JUDGED: _SIGNS[Mark.AHEAD], Mark.LEVEL_JUDGED: _SIGNS[Mark.LEVEL]}
MANY_METRICS = 4  # more fit in a column of a paper only in small type
_HEAD = r"""% Wants \usepackage{booktabs,array}, and with pdflatex \usepackage[T1]{fontenc}.
"""
_OTHER_LETTERS = r"""% Some names are not in Latin letters: compile with lualatex or xelatex,
% with \usepackage{fontspec} and a font that has them.
"""


def of_table(table: ScoreTable, grid: str, description: GridDescription) -> str:
    r"""Floating table with caption, label and notes, for `\input`.

    Args:
        table: Table of one scorer.
        grid: The grid's name, for the label `tab:GRID--SCORER`.
        description: The grid.
    """
    rows = table.all_rows()
    seeds = {row.seeds for row in table.rows}
    counted = len(seeds) > 1 or bool(table.apart)
    small = len(table.metrics) > MANY_METRICS
    lines = [
        r"\begin{table}",
        r"  \centering\setlength{\belowcaptionskip}{4pt}",
        f"  \\caption{{{_caption(table, description, counted)}}}",
        f"  \\label{{{_label(grid, table.scorer)}}}",
        f"  {_ESTIMATE % ('tiny' if small else 'scriptsize')}",
        *([_SMALL] if small else []),
        f"  \\begin{{tabular}}{{{_columns(rows, len(table.metrics), counted)}}}",
        r"    \toprule",
        f"    {_head(table.metrics, counted)}",
        r"    \midrule",
        *(f"    {_row(row, table.metrics, counted)}" for row in table.rows),
    ]
    if table.real:
        lines += [r"    \midrule"] * bool(table.rows)
        lines.append(f"    {_row(table.real, table.metrics, counted, style='textit')}")
    if table.apart:
        lines.append(r"    \midrule")
        lines += [f"    {_row(row, table.metrics, counted, note=i)}" for i, row in enumerate(table.apart, 1)]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}",
        *(f"  \\par\\smallskip{{\\footnotesize {note}\\par}}" for note in _notes(table)),
        r"\end{table}",
    ]
    text = "\n".join(lines) + "\n"
    return _HEAD + ("" if _is_latin(text) else _OTHER_LETTERS) + text


def escape(text: str) -> str:
    r"""Text escaped for LaTeX, control characters written out, as `\n`."""
    plain = _LIGATURE.sub("\0", printable(text))  # printable() leaves no NUL, so it can mark the places
    return "".join(_SPECIAL.get(character, character) for character in plain).replace("\0", "{}")


def _caption(table: ScoreTable, description: GridDescription, with_counts: bool) -> str:
    scorer = describe_scorer(table.scorer, table.protocol)
    rows = table.rows or table.all_rows()[:1]
    first = rows[0]
    items = (
        f"{first.n} of {counted(first.n_expected, 'item')}" if first.n < first.n_expected else counted(first.n, "item")
    )
    seeds = "" if with_counts or not rows[0].seeds else f", {_seeds(rows[0])}"
    over = escape(table.over(scorer.over))
    intervals = f"; in brackets 95\\,\\% intervals over {over}" if table.with_intervals else ""
    simulated = " Simulated raters: these numbers say nothing about the images." * bool(table.protocol.get("simulated"))
    early = " The study's results were viewed before it was closed." * bool(table.protocol.get("looked_at_early"))
    return (
        f"{escape(description.title)}: {escape(scorer.title)}. {items}{seeds}"
        f"{intervals}.{simulated}{early} Protocol \\texttt{{{escape(table.fingerprint)}}}."
    )


def _seeds(row: CellRow) -> str:
    return f"{'seed' if len(row.seeds) == 1 else 'seeds'} {', '.join(map(str, row.seeds))}"


def _label(grid: str, scorer: str) -> str:
    stem = f"{file_name(grid)}--{file_name(scorer)}"
    return "tab:" + (stem if stem.isascii() else file_name(stem.encode("unicode_escape").decode()))


def _columns(rows: Sequence[CellRow], metrics: int, counted: bool) -> str:
    first = _NARROW if any(len(printable(row.cell)) > LONG_NAME for row in rows) else "l"
    return first + "r" * (metrics + 2 * counted)


def _head(metrics: Sequence[str], counted: bool) -> str:
    cells = ["Cell"]
    for name in metrics:
        metric = describe(name)
        arrow = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}[metric.higher_is_better]
        words = r"\\".join(map(escape, metric.label.split()))
        cells.append(f"\\shortstack[r]{{{words}{arrow}}}")
    return " & ".join([*cells, *(["Items", "Seeds"] if counted else [])]) + r" \\"


def _row(row: CellRow, metrics: Sequence[str], counted: bool, style: str = "", note: int | None = None) -> str:
    name = _name(row.cell)
    cells = [f"\\{style}{{{name}}}" if style else name]
    if note is not None:
        cells[0] += f"$^{{{note}}}$"
    if row.note:
        cells[0] += r"$^\ddagger$"
    cells += [_estimate(name, row.numbers.get(name), style) for name in metrics]
    if counted:
        cells += [f"{row.n}", f"{len(row.seeds) or '--'}"]
    return " & ".join(cells) + r" \\"


def _name(cell: str) -> str:
    """A cell's name, with line-break points if it is long."""
    text = printable(cell)
    if len(text) <= LONG_NAME:
        return escape(text)
    pieces = [text[start : start + _UNBROKEN] for start in range(0, len(text), _UNBROKEN)]
    return r"\allowbreak{}".join(map(escape, pieces))


def _estimate(metric: str, number: Number | None, style: str) -> str:
    if number is None:
        return "--"
    digits = describe(metric).digits
    value = _decimal(number.value, digits)
    style = "textbf" if number.mark == Mark.BEST else style
    value = f"\\{style}{{{value}}}" if style else value
    value += rf"\rlap{{{_SIGNS[number.mark]}}}" if number.mark in _SIGNS else ""
    ends = ", ".join(_decimal(end, digits) for end in number.interval) if number.interval.known else "--"
    return f"\\estimate{{{value}}}{{{ends}}}"


def _decimal(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "$-$")


def _notes(table: ScoreTable) -> list[str]:
    notes = [f"{escape(table.remark)}."] if table.remark else []
    notes += [_SIGNS.get(mark, "") + escape(sentence) for mark, sentence in table.legend()]
    if table.real:
        notes.append("Italic: the ground truth, not ranked.")
    notes += [rf"$^\ddagger$ {escape(row.cell)}: {escape(row.note)}." for row in table.all_rows() if row.note]
    for i, row in enumerate(table.apart, 1):
        notes.append(f"$^{{{i}}}$ Not comparable, not ranked: {escape('; '.join(map(reason, row.differences)))}.")
    return notes


def _is_latin(text: str) -> bool:
    """Whether pdflatex supports all letters: ASCII, Latin-1, Latin Extended-A."""
    return all(ord(character) < 0x180 for character in text)
