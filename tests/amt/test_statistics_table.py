"""The table of answers: what it refuses, and its CSV there and back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amt.errors import AmtError
from amt.safe_csv import escape, unescape
from amt.statistics import table
from tests.amt.answers import Row, put, session

EVIL = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "'=1",
    "''@",
    "'plain",
    'a"b',
    "a,b",
    "a\nb",
    " ",
    "ä漢",
    "NA",
    "nan",
    "12",
]


def test_clusters_are_known_of_every_row_and_the_same_for_an_item() -> None:
    rows = session("s", [1, 0]) + session("t", [1, 0])
    known = [row | {"cluster": str(row["item"])[-1]} for row in rows]
    assert table.clustered(table.build(known))
    assert not table.clustered(table.build(rows))
    assert table.text(table.build(known)).splitlines()[0].endswith("answered_at,cluster")
    with pytest.raises(AmtError, match="cluster: row 5 has nothing, expected a value in every row, or in none|in none"):
        table.build([*known[:3], rows[3]])
    with pytest.raises(AmtError, match="one for all rows of an item"):
        table.build([*known[:3], known[3] | {"cluster": "other"}])


def test_columns_are_those_of_the_contract() -> None:
    assert table.COLUMNS[:6] == ("study", "algorithm", "rater", "session", "state", "phase")
    assert table.OPTIONAL[0] == "response_ms"
    assert len(table.COLUMNS) == 22


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        row | {"algorithm": evil, "item": evil, "real_item": evil[::-1]}
        for number, evil in enumerate(EVIL)
        for row in session(f"{number}", [0, 1, None], response_ms=1 / 3 + number)
    ]
    rows[0] |= {"left_gap_ms": 1e-300, "answered_at": None, "void": "blur", "choice": None, "fooled": None}
    written = table.build(rows)
    path = tmp_path / "answers.csv"
    put(written, path)
    pd.testing.assert_frame_equal(table.read(path), written)


def test_a_spreadsheet_sees_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    put(table.build(row for evil in EVIL for row in session(evil, [1], response_ms=5)), path)
    with path.open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=1+1" in cells


@given(st.text())
def test_escaping_is_undone(cell: str) -> None:
    assert unescape(escape(cell)) == cell
    assert not escape(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_that_are_not_text_are_not_escaped_and_empty_is_missing() -> None:
    lines = table.text(table.build(session("s", [None]))).splitlines()
    assert lines[0] == ",".join(table.COLUMNS[:-2])  # all but `simulated` and `cluster`
    assert lines[1] == "toy,a,rater of s,s,completed,scored,1,item 1,item 1,right,,,,,10.0,1000.0,1000.0,,,"


@pytest.mark.long
def test_only_a_table_of_programs_says_what_raters_were(tmp_path: Path) -> None:
    people, programs = table.build(session("s", [0, 1])), table.build(session("s", [0, 1], simulated=1))
    assert (table.simulated(people), table.simulated(programs)) == (False, True)
    assert "simulated" not in table.text(people)
    assert table.text(programs).splitlines()[1].endswith(",1")
    put(programs, tmp_path / "answers.csv")
    assert table.simulated(table.read(tmp_path / "answers.csv"))
    with pytest.raises(AmtError, match="column simulated: found 2.0; expected 1 where raters were programs"):
        table.build(session("s", [0], simulated=2))


def test_times_may_be_absent_and_other_columns_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    full = table.build(session("s", [0, 1]))
    full.drop(columns=list(table.OPTIONAL)).assign(mine="x").to_csv(path, index=False)
    found = table.read(path)
    assert tuple(found.columns) == table.COLUMNS
    assert found[list(table.OPTIONAL)].isna().all(axis=None)
    assert found["fooled"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": None}, "row 3, column study: found nothing; expected a value in every row"),
        ({"study": "other"}, "column study: found 'other'; expected one for the whole session"),
        ({"rater": "other"}, "column rater: found 'other'; expected one for the whole session"),
        ({"state": "running"}, "column state: found 'running'; expected one for the whole session"),
        ({"state": "done"}, "column state: found 'done'; expected completed, running, abandoned, withdrawn, ended;"),
        ({"phase": "test"}, "column phase: found 'test'; expected practice, scored, attention;"),
        ({"fake_side": "top"}, "column fake_side: found 'top'"),
        ({"choice": "none"}, "column choice: found 'none'; expected left, right or nothing"),
        ({"void": "yes"}, "column void: found 'yes'; expected hidden, blur, resize, reload or nothing"),
        ({"trial": 0}, "column trial: found 0.0; expected a number from 1"),
        ({"trial": 1}, "column trial: found 1.0; expected every trial of a phase once per session"),
        ({"fooled": 1}, "column fooled: found 1.0; expected 1 if choice is not fake_side"),
        ({"fooled": None}, "column fooled: found nothing"),
        ({"choice": None}, "column fooled: found 0.0"),
        ({"response_ms": -1.0}, "column response_ms: found -1.0; expected milliseconds"),
        ({"left_ms": np.inf}, "column left_ms: found inf"),
        ({"frame_ms": 0.0}, "column frame_ms: found 0.0"),
        ({"answered_at": "yesterday"}, "column answered_at: found 'yesterday'; expected ISO 8601 with its zone"),
        ({"answered_at": "2026-10-01T10:00:00"}, "column answered_at"),
    ],
)
def test_a_row_that_contradicts_is_named(changes: Row, said: str) -> None:
    rows = session("s", [0, 0])
    with pytest.raises(AmtError, match="row 3") as refused:
        table.build([rows[0], rows[1] | changes])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("item 2,item 2", "item 2", r"row 3: 19 cells; expected 20"),
        (",2,item", ",two,item", r"row 3, column trial: found 'two'; expected a whole number"),
        (",2,item", ",2.5,item", r"row 3, column trial: found '2.5'; expected a whole number"),
        ("500.0", "soon", r"row 2, column response_ms: found 'soon'; expected a number"),
        ("rater,session", "rater,seance", r"no column session; expected the answers of a study"),
        ("rater,session", "rater,rater", r"two columns are called 'rater'"),
        (",scored,", ',"scored"x,', r"not a CSV file in UTF-8"),
        ("toy", "t\udcffy", r"not a CSV file in UTF-8"),
    ],
)
def test_a_file_that_was_changed_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "answers.csv"
    text = table.text(table.build(session("s", [0, 1])))
    assert old in text
    path.write_bytes(
        text.replace(old, new, 1 if "," in old and "item" not in old else -1).encode(errors="surrogateescape")
    )
    with pytest.raises(AmtError, match=rf"answers\.csv.*{said}"):
        table.read(path)


def test_files_that_are_not_there_or_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(AmtError, match=r"answers\.csv: cannot be read"):
        table.read(tmp_path / "answers.csv")
    (tmp_path / "answers.csv").touch()
    with pytest.raises(AmtError, match=r"answers\.csv: empty"):
        table.read(tmp_path / "answers.csv")


def test_a_spreadsheet_may_mark_the_file_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    written = table.build(session("s", [0]))
    path.write_text(table.text(written), encoding="utf-8-sig", newline="")
    pd.testing.assert_frame_equal(table.read(path), written)


def test_only_answered_valid_scored_trials_count() -> None:
    rows = session("s", [0, 1, None, 1])
    rows[3] |= {"void": "blur"}
    others = session("s", [1, 1])
    others[0] |= {"phase": "practice"}
    others[1] |= {"phase": "attention"}
    answers = table.build(rows + others)
    assert table.scored(answers)["trial"].tolist() == [1, 2]
    assert table.attention(answers)["trial"].tolist() == [2]


def test_no_rows_are_a_table(tmp_path: Path) -> None:
    put(table.build([]), tmp_path / "answers.csv")
    assert table.read(tmp_path / "answers.csv").empty
