"""What the page's script gets: one statement whose value is JSON, and nothing in it ends the script."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reports import browse
from reports.browse import ItemMetric
from reports.gallery import Column, Gallery, GalleryLabelMaps, GalleryRow, Tile
from reports.store.layout import Grid, Run
from reports.store.picture import PictureFiles
from tests.reports.names import HOSTILE

GRID = Grid(Path("losses"))
PNG = Tile(PictureFiles("00-0000.png", "00-0000.png", 64, 32), "", "")
JPEG = Tile(PictureFiles("00-0000.jpg", "00-0000t.jpg", 256, 128), "", "")
NONE, UNREADABLE = Tile(None, "no picture", ""), Tile(None, "unreadable", "", "found no picture")
RUNS = (GRID.input, GRID.run("L1", 3), Run(GRID.folder / "GAN", "GAN", None), GRID.real)


def gallery(tiles: Sequence[Sequence[Tile]], items: Sequence[str] = ("a", "b"), runs: Sequence[Run] = RUNS) -> Gallery:
    """A gallery from the tiles of each row."""
    rows = tuple(
        GalleryRow(number, item, tuple(row)) for number, (item, row) in enumerate(zip(items, tiles, strict=True))
    )
    return Gallery(tuple(Column(run, {}) for run in runs), rows, tuple(items), 192, 128)


ALL = gallery([[PNG, JPEG, NONE, PNG], [PNG, UNREADABLE, NONE, JPEG]])


def parsed(text: str, anchor: str = "grid0") -> dict[str, Any]:
    """The value that the statement assigns."""
    head = f'(window.grids ??= {{}})["{anchor}"] = '
    assert text.startswith(head)
    assert text.endswith("};\n")
    assert text.count("\n") == 1
    assert text.isascii()
    value = json.loads(text[len(head) : -2], parse_constant=pytest.fail)
    assert isinstance(value, dict)
    return value


def metric(scorer: str, name: str, label: str = "label", **values: dict[str, float]) -> ItemMetric:
    return ItemMetric(scorer, name, label, "short", values)


def test_items_and_columns_are_told_with_the_state_of_each_picture() -> None:
    data = parsed(browse.gallery_script("grid0", ALL, [], None))
    assert data["items"] == ["a", "b"]
    assert data["enlarge"] == 192
    assert data["columns"] == [
        {"name": "input", "seed": None, "given": True, "pictures": "pp", "widths": [64]},
        {"name": "L1", "seed": 3, "given": False, "pictures": "jx", "widths": [256]},
        {"name": "GAN", "seed": None, "given": False, "pictures": "--", "widths": []},
        {"name": "real", "seed": None, "given": True, "pictures": "pj", "widths": [64, 256]},
    ]


def test_flags_say_which_items_have_label_maps() -> None:
    seen = GalleryLabelMaps(frozenset({1}), (frozenset(), frozenset({0, 1}), frozenset({0}), frozenset()), ())
    data = parsed(browse.gallery_script("grid0", ALL, [], seen))
    assert (data["truth"], data["segmented"]) == ("01", ["00", "11", "10", "00"])
    data = parsed(browse.gallery_script("grid0", ALL, [], None))
    assert (data["truth"], data["segmented"]) == ("", [])


def test_metrics_are_rounded_to_what_is_shown_and_say_which_way_is_better() -> None:
    metrics = [
        metric("image", "l1", L1={"a": 0.123456, "b": 0.00004}, GAN={"b": -1.0}),
        metric("image", "psnr", real={"a": 20.005, "c": 1.0}),
        metric("image", "sharpness", L1={}),
        metric("mine", "sheen", L1={"a": 1 / 3, "b": 1e300}),
    ]
    data = parsed(browse.gallery_script("grid0", ALL, metrics, None))
    assert [(each["key"], each["scorer"], each["better"], each["digits"]) for each in data["metrics"]] == [
        ("image.l1", "Image scores", "low", 4),
        ("image.psnr", "Image scores", "high", 2),
        ("image.sharpness", "Image scores", "", 2),
        ("mine.sheen", "mine", "", 4),
    ]
    assert [each["values"] for each in data["metrics"]] == [
        [None, [0.1235, 0.0], [None, -1.0], None],
        [None, None, None, [20.0, None]],
        [None, [None, None], None, None],
        [None, [0.3333, 1e300], None, None],
    ]


@pytest.mark.parametrize(
    "name",
    [
        *HOSTILE,
        "</script>",
        "</SCRIPT ><img src=x>",
        "<!-- <script>",
        "]]>",
        "-->",
        "\u2028\u2029",
        "\\u003c",
        "${x}`'",
    ],
)
def test_names_stay_text_and_cannot_end_the_script(name: str) -> None:
    runs = [GRID.run(name, 0)]
    text = browse.gallery_script(
        "grid0", gallery([[PNG]], [name], runs), [metric("x", name, name, **{name: {name: 1.0}})], None
    )
    data = parsed(text)
    assert data["items"] == [name]
    assert data["columns"][0]["name"] == name
    assert (data["metrics"][0]["label"], data["metrics"][0]["values"]) == (name, [[1.0]])
    assert not re.search(r"[<\x00-\x09\x0b-\x1f\x7f\u2028\u2029]", text)


def test_the_same_gallery_gives_the_same_text() -> None:
    assert browse.gallery_script("grid0", ALL, [], None) == browse.gallery_script("grid0", ALL, [], None)
    assert browse.gallery_script("grid7", ALL, [], None) != browse.gallery_script("grid0", ALL, [], None)
