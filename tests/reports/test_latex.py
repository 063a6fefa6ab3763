r"""Tables as LaTeX: what is bold, what ties, what is set apart, and names in which nothing is a command."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import latex, tables
from reports.store.bootstrap import item_weights
from reports.store.grids import GridDescription
from reports.store.layout import Run
from reports.store.ledger import LedgerEntry
from reports.store.names import printable
from reports.store.scores import Metric, Scores
from reports.tables import ScoreTable
from tests.patience import PATIENCE
from tests.reports.names import HOSTILE

IDS = ("a", "b", "c", "d")
LOW, HIGH, CROSSED = (0.10, 0.12, 0.14, 0.16), (0.30, 0.32, 0.34, 0.36), (0.16, 0.14, 0.12, 0.105)
WEIGHTS = item_weights(IDS, 400)
# What each piece of LaTeX that stands for a character stands for.
READ = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textasciigrave{}": "`",
    r"{\char34}": '"',
    "{[}": "[",
    "{]}": "]",
    "{*}": "*",
    "{}": "",
    **{f"\\{character}": character for character in "{}$&#%_"},
}
PIECE = re.compile("|".join([*(re.escape(piece) for piece in READ), r"[^\\{}$&#%_~^<>|\[\]*\"`]"]), re.DOTALL)


def read(text: str) -> str:
    """What LaTeX would set for text in which nothing but characters is allowed."""
    pieces = PIECE.findall(text)
    assert "".join(pieces) == text, text
    return "".join(READ.get(piece, piece) for piece in pieces)


def entry(
    cell: str, seed: int | None, *values: tuple[float, ...], scorer: str = "image", **protocol: object
) -> LedgerEntry:
    names = ("l1", "ssim", "psnr", "histogram_l", "histogram_a")
    numbers = {
        name: Metric(float(np.mean(each)), WEIGHTS @ np.array(each) / len(IDS))
        for name, each in zip(names, values, strict=False)
    }
    run = Run(Path("cell"), cell, seed)
    return LedgerEntry("grid", run, Scores(scorer, {"image_size": 256, **protocol}, IDS, 5, numbers))


def table(*entries: LedgerEntry) -> ScoreTable:
    (only,) = tables.build(list(dict.fromkeys(each.run.cell for each in entries)), entries)
    return only


def describe(title: str = "Losses") -> GridDescription:
    return GridDescription(title, "", {}, (0,), {}, {}, {}, None)


def rows(text: str) -> list[list[str]]:
    """The rows of a table, heads first, each in its cells."""
    body = text.split("\\toprule\n")[1].split("    \\bottomrule")[0]
    lines = [line[4:] for line in body.splitlines() if line.strip() != "\\midrule"]
    assert all(line.endswith(r" \\") for line in lines)
    return [line.removesuffix(r" \\").split(" & ") for line in lines]


def test_a_table_is_in_booktabs_with_caption_label_and_note() -> None:
    of = table(entry("A", 0, HIGH, LOW), entry("B", 0, LOW, LOW), entry("real", None, (0, 0, 0, 0), (1, 1, 1, 1)))
    text = latex.of_table(of, "my grid", describe())
    low, high = of.rows[1].numbers["l1"].interval
    wide = of.rows[0].numbers["l1"].interval
    alike = "\\estimate{0.130\\rlap{$^\\circ$}}" + "{{{:.3f}, {:.3f}}}".format(*of.rows[0].numbers["ssim"].interval)
    assert rows(text) == [
        ["Cell", r"\shortstack[r]{L1 $\downarrow$}", r"\shortstack[r]{SSIM $\uparrow$}"],
        ["A", f"\\estimate{{0.3300}}{{{wide.low:.4f}, {wide.high:.4f}}}", alike],
        ["B", f"\\estimate{{0.1300\\rlap{{$^\\star$}}}}{{{low:.4f}, {high:.4f}}}", alike],
        [
            r"\textit{real}",
            r"\estimate{\textit{0.0000}}{--}",
            r"\estimate{\textit{1.000}}{--}",
        ],
    ]
    assert text.count(r"\midrule") == 2
    assert r"\caption{Losses: Image scores. 4 of 5 items, seed 0; in brackets 95\,\% intervals over items only," in text
    assert f"Protocol \\texttt{{{of.fingerprint}}}." in text
    assert re.search(r"\\label\{tab:my_grid-[0-9a-f]{8}--image\}", text)
    assert "Ahead on these items" in text
    assert r"\rlap{$^\star$}" in text
    assert r"$^\star$Ahead on these items" in text
    assert r"$^\circ$Level on these items" in text
    assert "Italic: the ground truth, not ranked." in text
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}")


def test_the_notes_explain_only_what_is_there() -> None:
    text = latex.of_table(table(entry("A", 0, LOW)), "grid", describe())
    assert not any(word in text for word in ("ahead", "dagger", "star", "Italic", "Not comparable"))
    tied = latex.of_table(table(entry("A", 0, LOW), entry("B", 0, CROSSED)), "grid", describe())
    assert r"\textbf" not in tied
    assert tied.count(r"\rlap{$^\circ$}") == 2


def test_rows_set_apart_follow_a_rule_with_their_reason() -> None:
    of = table(entry("A", 0, LOW), entry("B", 0, LOW), entry("C", 0, HIGH, image_size=64), entry("D", 0, HIGH, x="_"))
    text = latex.of_table(of, "grid", describe())
    assert [row[0] for row in rows(text)] == ["Cell", "A", "B", "C$^{1}$", "D$^{2}$"]
    assert [row[-2:] for row in rows(text)[:2]] == [["Items", "Seeds"], ["4", "1"]]
    assert r"$^{1}$ Not comparable, not ranked: image\_size: 64 here, 256 in the table." in text
    assert r"$^{2}$ Not comparable, not ranked: x: \_ here, not set in the table." in text


def test_seeds_are_told_once_where_all_cells_have_the_same() -> None:
    same = table(*(entry(cell, seed, LOW) for cell in "AB" for seed in (0, 1)))
    text = latex.of_table(same, "grid", describe())
    assert "items, seeds 0, 1; in brackets" in text
    assert "over trainings and items" in text
    assert len(rows(text)[0]) == 2
    other = latex.of_table(table(*(entry("A", seed, LOW) for seed in (0, 1)), entry("B", 0, LOW)), "grid", describe())
    assert [row[-1] for row in rows(other)] == ["Seeds", "2", "1"]
    assert "seeds 0" not in other


def test_numbers_that_are_missing_or_negative() -> None:
    text = latex.of_table(table(entry("A", 0, LOW, (-1.0, -0.9, -0.8, -0.9)), entry("B", 0, LOW)), "grid", describe())
    assert rows(text)[1][2].startswith("\\estimate{$-$0.900}{$-$1.0")
    assert rows(text)[2][2] == "--"


def test_simulated_raters_are_named() -> None:
    rehearsed = table(entry("A", 0, LOW, scorer="amt-x", simulated=True, looked_at_early=True))
    text = latex.of_table(rehearsed, "grid", describe())
    assert "Simulated raters: these numbers say nothing about the images." in text
    assert "viewed before it was closed" in text
    assert "Simulated" not in latex.of_table(table(entry("A", 0, LOW)), "grid", describe())


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stand_for_themselves(name: str) -> None:
    text = latex.of_table(table(entry(name, 0, LOW), entry("B", 0, HIGH)), name, describe(name))
    assert read(rows(text)[1][0].replace(r"\allowbreak{}", "")) == printable(name)
    caption = text.split(r"\caption{")[1].split(r": Image scores. 4 of 5")[0]
    assert read(caption) == printable(name)
    label = text.split(r"\label{")[1].split("}")[0]
    assert re.fullmatch(r"tab:[A-Za-z0-9_.+-]+", label)
    text.encode()


@given(st.text() | st.text("\\{}$&#%_~^<>|[]*\"`'-,?! a\n"))
def test_any_text_is_read_as_itself(text: str) -> None:
    assert read(latex.escape(text)) == printable(text)
    assert not re.search(r"--|''|,,|``|<<|>>", latex.escape(text))


def test_other_letters_than_latin_name_the_engine() -> None:
    assert "lualatex" in latex.of_table(table(entry("日本語", 0, LOW)), "grid", describe())
    assert "lualatex" not in latex.of_table(table(entry("é ł", 0, LOW)), "grid", describe())


@pytest.mark.process
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_pdflatex_takes_it_whatever_the_names(tmp_path: Path) -> None:
    names = [name for name in HOSTILE if all(ord(character) < 0x180 for character in printable(name))]
    assert len(names) > 15
    whole = table(
        *(entry(name, 0, LOW, HIGH) for name in names), entry("real", None, LOW), entry("apart", 0, HIGH, x="_{\\")
    )
    many = table(entry("A", 0, *[LOW] * 5), entry("B", 0, *[HIGH] * 5))
    parts = [latex.of_table(whole, names[0], describe(names[9])), latex.of_table(many, "grid", describe())]
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.tex").write_text(part, "utf-8")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,array}\usepackage[T1]{fontenc}\begin{document}"
        r"\input{0}\clearpage\input{1}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]
    assert (tmp_path / "paper.pdf").is_file()
