"""Names as text in one line, and as names of files."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.store.layout import Report
from reports.store.names import counted, file_name, item_id, printable
from tests.reports.names import HOSTILE

PLAIN = ("losses", "L1+cGAN", "my_grid.2", "a-b", "道路", "ł", "日本語", "عربي")
FOR_FILES = ("", ".", "..", "../x", "-rf", "a--b", "x-", "a b", "a/b", "CON ", "a?#%", "n" * 101)
ODD = [*(name for name in HOSTILE if name not in PLAIN), *FOR_FILES]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("L1+cGAN", "L1+cGAN"),
        ("two\nlines", r"two\nlines"),
        ("abc\u202egnp", r"abc\u202egnp"),
        ("\x1b[31m", r"\x1b[31m"),
        ("half \udc80", r"half \udc80"),
        ("line\u2028end", r"line\u2028end"),
        ("日本語 عربي é", "日本語 عربي é"),
        ("می\N{ZERO WIDTH NON-JOINER}خواهم", "می\N{ZERO WIDTH NON-JOINER}خواهم"),
        ("👩\N{ZERO WIDTH JOINER}🔬", "👩\N{ZERO WIDTH JOINER}🔬"),
    ],
)
def test_controls_are_written_out_and_letters_stay(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_are_those_of_their_files(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize("name", ODD)
def test_other_names_are_made_harmless(name: str) -> None:
    made = file_name(name)
    assert made != name
    assert len(made.encode()) <= 100
    assert made[0] not in ".-"
    assert "--" not in made
    assert all(character.isalnum() or character in "_.+-" for character in made)


@given(st.lists(st.text("ab-_ ./é\n", max_size=6), min_size=2, max_size=6, unique=True))
def test_different_names_have_different_files(names: list[str]) -> None:
    assert len({file_name(name) for name in names}) == len(names)


def test_no_two_tables_share_a_file(tmp_path: Path) -> None:
    report = Report(tmp_path)
    pairs = [("a", "b--c"), ("a--b", "c"), ("a-", "b"), ("a", "-b"), ("a", "b"), ("a b", "c"), ("a_b", "c")]
    files = {report.table(*pair) for pair in pairs}
    assert len(files) == len(pairs)
    assert report.scores not in files
    assert report.table("losses", "fcn-official") == tmp_path / "tables/losses--fcn-official.csv"
    assert report.latex("losses", "fcn-official") == tmp_path / "tables/losses--fcn-official.tex"
    assert len(report.latex("g" * 255, "s" * 240).name) < 255


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("u\u0308ber", "\u00fcber"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf%E9"),
        ("100%", "100%"),
        ("日本語", "日本語"),
        ("x" * 251, "x" * 251),
    ],
)
def test_ids_are_composed_text(name: str, id_: str) -> None:
    assert item_id(name) == id_


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_have_an_id_of_their_own_that_is_the_name_of_a_file(one: bytes, other: bytes) -> None:
    names = [content.replace(b"%", b"").decode("utf-8", "surrogateescape") for content in (one, other)]
    ids = [item_id(name) for name in names]
    assert all(len(id_.encode()) <= 251 and item_id(id_) == id_ for id_ in ids)
    same = unicodedata.normalize("NFC", names[0]) == unicodedata.normalize("NFC", names[1])
    assert (ids[0] == ids[1]) == same


def test_one_is_no_plural() -> None:
    assert [counted(count, "item") for count in (0, 1, 2)] == ["0 items", "1 item", "2 items"]
