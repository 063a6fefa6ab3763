"""Runs whose training is known, or suspected, to have had wrong gradients: which they are, and where it is said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from reports import html
from reports.store.arithmetic import ARITHMETIC, flaw, flaws, lines, threads
from reports.store.layout import Grid, Run
from tests.reports.scored import STREETS, put_grid, score

CPU = "trained on a CPU by an older version, with wrong gradients in all batches (of one item)"


def put(run: Run, n: int = 12, torch_version: str = "2.14.1", arithmetic: int | None = None, **settings: Any) -> None:  # noqa: ANN401
    """A run's config.json, as far as it matters here."""
    record = {
        "settings": {"device": "cpu", "batch_size": 1, "threads": None, **settings},
        "data": {"train": {"n": n, "hash": ""}, "test": {"n": 3, "hash": ""}},
        "versions": {"torch": torch_version},
        **({} if arithmetic is None else {"arithmetic": arithmetic}),
    }
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, CPU),
        ({"arithmetic": 1}, CPU),
        ({"arithmetic": ARITHMETIC}, None),
        ({"device": "cpu:0"}, CPU),
        ({"device": "cuda"}, None),
        ({"device": "cuda:1"}, None),
        ({"batch_size": 2, "n": 12}, None),
        ({"batch_size": 4, "n": 14}, None),
        ({"batch_size": 4, "n": 13}, CPU.replace("all batches", "the last batch of each epoch")),
        ({"device": "auto", "torch_version": "2.14.1+cpu"}, CPU),
        (
            {"device": "auto"},
            "trained by an older version, which on a CPU had wrong gradients in all batches (of one item); whether it "
            "was on a CPU is not recorded",
        ),
    ],
)
def test_which_runs_are_flawed(tmp_path: Path, given: dict[str, Any], said: str | None) -> None:
    run = Grid(tmp_path).run("L1", 0)
    put(run, **given)
    assert flaw(run) == said


def test_a_checkpoint_says_what_saved_it(tmp_path: Path) -> None:
    run = Grid(tmp_path).run("L1", 0)
    put(run, device="auto")
    torch.save({"format": 1, "generator": {"weight": torch.zeros(3)}}, run.checkpoint)
    assert flaw(run) == CPU
    with zipfile.ZipFile(run.checkpoint) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    # Of a GPU PyTorch writes its name where "cpu" stands: text of six bytes instead of three.
    (pickled,) = (name for name in entries if name.endswith("/data.pkl"))
    assert b"X\x03\x00\x00\x00cpu" in entries[pickled]
    entries[pickled] = entries[pickled].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    with zipfile.ZipFile(run.checkpoint, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    assert flaw(run) is None
    run.checkpoint.write_bytes(b"torn")
    assert "not recorded" in str(flaw(run))


def test_what_is_no_training_of_ours_has_no_flaw(tmp_path: Path) -> None:
    run = Grid(tmp_path).run("SPADE", 0)
    assert flaw(run) is None
    run.folder.mkdir(parents=True)


WRONG: dict[str, list[object]] = {
    "arithmetic": [None, "2", "x", [], 2.5, True],
    "data": ["x", [], {"train": {"n": None}}, {"train": {"n": "5"}}, {"train": 3}],
    "versions": ["x", [], {"torch": None}],
    "settings": ["x", [], None],
}
WRONG_SETTINGS: dict[str, list[object]] = {
    "batch_size": ["1", None, 0, [], True],
    "threads": [[], "2", 0],
    "device": [None, 3],
}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        *(({}, {name: value}) for name, values in WRONG.items() for value in values),
        *(({name: value}, {}) for name, values in WRONG_SETTINGS.items() for value in values),
    ],
)
def test_a_damaged_record_is_named_with_what_is_wrong(
    tmp_path: Path, settings: dict[str, Any], fields: dict[str, Any]
) -> None:
    run = Grid(tmp_path).run("L1", 0)
    put(run, **settings)
    document = json.loads(run.config.read_text()) | fields
    run.config.write_text(json.dumps(document))
    (name,) = settings or fields
    said = str(flaw(run))
    assert said.startswith(f"it is not known what trained it: {run.config}: ")
    assert name in said
    assert "\n" not in said
    assert threads([run]) == {}


@pytest.mark.parametrize("number", [ARITHMETIC + 1, 0, -1])
def test_an_arithmetic_that_is_not_known_here_is_marked(tmp_path: Path, number: int) -> None:
    run = Grid(tmp_path).run("L1", 0)
    put(run, arithmetic=number, device="cuda", batch_size=4)
    assert flaw(run) == (
        f"trained by p2pbench of an unknown version with arithmetic {number}, which this version, of arithmetic "
        f"{ARITHMETIC}, does not know"
    )


def test_threads_by_cell_and_seed(tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    for cell, seed, number in (("a", 0, 2), ("a", 1, 1), ("a", 2, 2), ("b", 0, None)):
        put(grid.run(cell, seed), threads=number)
    assert threads(grid.runs()) == {"a": "2 (seeds 0, 2); 1 (seed 1)"}


def test_reports_mark_the_rows(tmp_path: Path) -> None:
    grid = Grid(tmp_path / "losses")
    runs = put_grid(grid, STREETS, ["L1", "right"], [0, 1])
    for run in [*runs, grid.real]:
        score(run, "image", {"image_size": 256}, 1, "l1", "ssim")
    for run in runs:
        put(run, arithmetic=ARITHMETIC, threads=1 + (run.seed or 0))
    html.write_report(tmp_path, tmp_path / "plain")
    assert "older version" not in (tmp_path / "plain" / "index.html").read_text()
    assert "note" not in pd.read_csv(tmp_path / "plain" / "tables" / "losses--image.csv").columns
    put(grid.run("L1", 1))
    page = html.write_report(tmp_path, tmp_path / "report").read_text()
    assert page.count(f">seed 1 {CPU}<") == 1
    assert "1 (seed 0); 2 (seed 1)" in page
    table = pd.read_csv(tmp_path / "report" / "tables" / "losses--image.csv")
    notes = dict(zip(table["cell"], table["note"].fillna(""), strict=True))
    assert notes == {"L1": f"seed 1 {CPU}", "right": "", "real": ""}
    tex = (tmp_path / "report" / "tables" / "losses--image.tex").read_text()
    assert "\n    L1$^\\ddagger$ & " in tex
    assert f"$^\\ddagger$ L1: seed 1 {CPU}." in tex
    assert tex.count("ddagger") == 2
    assert list(flaws(grid.runs())) == [grid.run("L1", 1)]
    assert list(lines([tmp_path])) == [f"losses/L1 seed 1: {CPU}"]


def test_comparisons_mark_both_sides(tmp_path: Path) -> None:
    from reports import comparison_page

    for side in ("before", "after"):
        grid = Grid(tmp_path / side / "losses")
        for run in put_grid(grid, STREETS, ["L1"], [0]):
            score(run, "image", {"image_size": 256}, 1, "l1")
            put(run, arithmetic=None if side == "before" else ARITHMETIC)
    page = comparison_page.write(tmp_path / "before", tmp_path / "after", tmp_path / "out").read_text()
    assert f"A: seed 0 {CPU}" in page
    assert f"B: seed 0 {CPU}" not in page
    (table,) = (tmp_path / "out" / "tables").glob("*image*.csv")
    assert set(pd.read_csv(table)["note_a"]) == {f"seed 0 {CPU}"}
