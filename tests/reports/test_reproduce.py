"""How to make it again: the grid as TOML reads back as it was, and commands follow the scorers."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import reproduce
from reports.store import made
from reports.store.grids import GridDescription
from reports.tables import ScoreTable
from tests.reports.names import HOSTILE

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def grid(
    settings: Mapping[str, object] | None = None,
    cells: Mapping[str, Mapping[str, object]] | None = None,
    title: str = "Losses",
    seeds: tuple[int, ...] = (0,),
    dataset: Mapping[str, object] | None = None,
) -> GridDescription:
    return GridDescription(title, "a paper", cells or {"L1": {}}, seeds, dataset or {}, settings or {}, {}, None)


def read_back(of: GridDescription) -> dict[str, Any]:
    text = reproduce.grid_toml(of)
    return tomllib.loads(text.encode().decode())


@pytest.mark.long
@given(title=TEXT, settings=st.dictionaries(TEXT, VALUES), cells=st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES)))
def test_any_grid_reads_back_as_it_was(
    title: str, settings: dict[str, object], cells: dict[str, dict[str, object]]
) -> None:
    settings.pop("root", None)
    cells = cells or {"L1": {}}
    found = read_back(grid(settings, cells, title, (0, 7)))
    assert found == {"title": title, "source": "a paper", "seeds": [0, 7], "settings": settings, "cells": cells}
    assert list(found["cells"]) == list(cells)
    assert repr(found["settings"]) == repr(settings)  # 1 is not True, nor 1.0


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (1e-05, "x = 1e-05"),
        (3e20, "x = 3e+20"),
        (0.0003, "x = 0.0003"),
        (100.0, "x = 100.0"),
        (True, "x = true"),
        (-1, "x = -1"),
        ('a"b\\c', 'x = "a\\u0022b\\u005cc"'),
        ("two\nlines\x7f", 'x = "two\\u000alines\\u007f"'),
        ("日本語", 'x = "日本語"'),
        ([1, [2.5, "a"]], 'x = [1, [2.5, "a"]]'),
        ({"a b": {"c": 1}}, 'x = {"a b" = {c = 1}}'),
        ({}, "x = {}"),
        ([], "x = []"),
    ],
)
def test_values_are_written_as_toml_has_them(value: object, line: str) -> None:
    assert line in reproduce.grid_toml(grid({"x": value})).splitlines()
    assert read_back(grid({"x": value}))["settings"]["x"] == value


def test_what_json_writes_and_toml_has_otherwise_reads_back() -> None:
    settings = read_back(grid({"up": math.inf, "down": -math.inf, "none": math.nan}))["settings"]
    assert (settings["up"], settings["down"]) == (math.inf, -math.inf)
    assert math.isnan(settings["none"])


def test_what_is_not_set_is_left_out_at_any_depth() -> None:
    settings = {"a": None, "b": {"c": None, "d": 1}, "e": [1, None, {"f": None}]}
    found = read_back(grid(settings, {"L1": {"g": None, "h": 0}}))
    assert found["settings"] == {"b": {"d": 1}, "e": [1, {}]}
    assert found["cells"] == {"L1": {"h": 0}}


def test_the_root_of_the_dataset_is_left_out() -> None:
    assert read_back(grid({"root": "/data", "dataset": "maps"}))["settings"] == {"dataset": "maps"}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_text(name: str) -> None:
    found = read_back(grid({name: name}, {name: {name: name}, "L1": {}}, name))
    shown = name.encode("utf-8", "backslashreplace").decode()  # half characters alone are written out
    assert found["settings"] == {shown: shown}
    assert found["cells"] == {shown: {shown: shown}, "L1": {}}
    assert found["title"] == shown


def commands(*scorers: str, **dataset: object) -> list[str]:
    tables = [ScoreTable(scorer, (), (), None, (), {}, "", {}) for scorer in scorers]
    return reproduce.commands(grid(dataset=dataset), tables, "losses.toml")


TRAIN, REPORT = "p2pbench train-ablation losses.toml --out results", "p2pbench report results"


@pytest.mark.parametrize(
    ("scorers", "between"),
    [
        ((), []),
        (("fcn-official", "fcn-strict"), ["p2pbench fcn-score results"]),
        (("labels", "labels-official"), ["p2pbench label-score results"]),
        (("image", "lpips"), ["p2pbench image-score results"]),
        (("image", "fid", "kid"), ["p2pbench image-score results --fid"]),
        (("kid",), ["p2pbench image-score results --fid"]),
        (("unknown",), []),
        (
            ("amt-one", "amt-two"),
            [
                f"p2pbench amt {step} results{f' --name {name}' if step != 'serve' else ''}"
                for name in ("one", "two")
                for step in ("create", "serve", "close", "analyse")
            ],
        ),
    ],
)
def test_the_commands_are_those_of_the_scorers(scorers: tuple[str, ...], between: list[str]) -> None:
    assert commands(*scorers) == [TRAIN, *between, REPORT]


def test_a_dataset_that_lies_somewhere_needs_its_place_and_the_weights() -> None:
    assert commands("fcn-strict", root="/data") == [
        "p2pbench train-ablation losses.toml --root DATASET --out results",
        "p2pbench fcn-score results --weights WEIGHTS",
        REPORT,
    ]


def test_a_hash_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    assert made.sha256(tmp_path / "a.csv") == hashlib.sha256(b"abc").hexdigest()
    assert reproduce.made_by().startswith("p2pbench")
