"""Names that somebody may give a cell, an item or a grid, to do harm or by chance."""

from __future__ import annotations

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd()",
    '=HYPERLINK("http://example.org","x")',
    "  =1+1",
    "\n=1+1",
    "\t+1",
    "＝1+1",
    "a;=cmd()",
    'a"b',
    "a,b",
    r"50% & $x_1$ \ { } ~ ^ #",
    r"\input{/etc/passwd}",
    r"\end{tabular}\write18{id}",
    "^^5cend",
    "[2cm] *",
    "name " * 60,
    "n" * 300,
    "日本語",
    "عربي",
    "é ß œ ł",
    "👩\N{ZERO WIDTH JOINER}🔬",
    "abc\u202egnp.exe",
    "two\nlines",
    "bell\a and \x1b[31m",
    "half \udc80",
    "--- `` '' ,, <<",
)
