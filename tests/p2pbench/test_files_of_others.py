"""Files of a user's that bear the names of ours are not replaced: what is written says which, and what to do."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.datasets import label_images
from p2pbench.errors import UserError
from p2pbench.training.leftovers import remove_leftovers
from reports.store import ledger
from reports.store.errors import ReportError
from reports.store.layout import RECORD, Grid, Run
from reports.store.made import Made, digest
from reports.store.scores import Metric, Scores
from tests.amt.study import ALGORITHMS, make_pictures
from tests.p2pbench.drawn_scorer import train
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY

STUDY = ("--simulated", "--raters", "2", "--practice", "2", "--trials", "4", "--size", "16x16")


def run(*arguments: object) -> BaseException | None:
    return CliRunner().invoke(cli, [*map(str, arguments)]).exception


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, unhurried_server: None) -> Path:
    """A grid of two cells with outputs, and a study of it that two programs took part in."""
    folder = tmp_path_factory.mktemp("others")
    make_pictures(folder / "pictures")
    grid = Grid(folder / "results" / "losses")
    grid.real.folder.mkdir(parents=True)
    (folder / "pictures" / "real").rename(grid.real.images)
    for cell in ALGORITHMS:
        grid.run(cell, 0).folder.mkdir(parents=True)
        (folder / "pictures" / cell).rename(grid.run(cell, 0).images)
    document = {"title": "Losses", "cells": {cell: {} for cell in ALGORITHMS}, "seeds": [0], "settings": {}}
    grid.json.write_text(json.dumps(document))
    made = folder / "results"
    assert run("amt", "create", made, "--name", "first", *STUDY) is None
    assert run("amt", "simulate", made, "--name", "first", "--raters", "careful=4") is None
    assert run("amt", "close", made) is None
    return made


STUDY_FILES = {"analysis.json": "analyse", "analysis.txt": "analyse", "answers.csv": "export", "sessions.csv": "export"}


@pytest.mark.parametrize(("name", "command"), STUDY_FILES.items())
@pytest.mark.parametrize("recorded", [True, False])
def test_a_study_writes_over_its_own_files_alone(results: Path, name: str, command: str, recorded: bool) -> None:
    path = results / "study" / "first" / name
    for other in STUDY_FILES:
        path.with_name(other).unlink(missing_ok=True)
    for _ in range(2):
        assert run("amt", command, results) is None
    if not recorded:  # as of an older version
        path.with_name("made.jsonl").unlink()
        assert run("amt", command, results) is None
        path.with_name("made.jsonl").unlink()
    path.write_text("mine")
    assert isinstance(error := run("amt", command, results), ReportError)
    assert re.match(rf"{re.escape(str(path))}: (was changed|found something else).*; move it away$", str(error))
    assert path.read_text() == "mine"
    path.unlink()
    assert run("amt", command, results) is None


@pytest.mark.parametrize(("name", "command"), STUDY_FILES.items())
def test_a_line_added_to_what_a_study_wrote_stays(results: Path, name: str, command: str) -> None:
    folder = results / "study" / "first"
    for each in {*STUDY_FILES, "made.jsonl"}:
        (folder / each).unlink(missing_ok=True)
    assert run("amt", command, results) is None
    kept = {path: path.read_bytes() for path in folder.iterdir() if path.name in STUDY_FILES}
    kept[folder / name] += b"my own row\n"
    (folder / name).write_bytes(kept[folder / name])
    error = run("amt", command, results)
    assert str(error) == (
        f"{folder / name}: was changed since this program wrote it, and would be overwritten; move it away"
    )
    assert {path: path.read_bytes() for path in kept} == kept  # no other is written either


@pytest.mark.parametrize("name", ["answers.csv", "sessions.csv"])
def test_an_export_with_a_column_more_is_not_an_older_versions(results: Path, name: str) -> None:
    path = results / "study" / "first" / name
    for each in STUDY_FILES:
        path.with_name(each).unlink(missing_ok=True)
    assert run("amt", "export", results) is None
    path.with_name("made.jsonl").unlink()
    mine = path.read_bytes().replace(b"\r\n", b",note\r\n")
    path.write_bytes(mine)
    assert "found something else" in str(run("amt", "export", results))
    assert path.read_bytes() == mine
    path.unlink()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from street scenes to labels, scored by its pictures and by its label maps."""
    made = tmp_path_factory.mktemp("scored") / "results"
    train(made, "tiny", ("L1",), direction="photo-to-labels")
    for command in ("label-score", "image-score", "image-score"):
        assert run(command, made) is None
    return made


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("image-lab.csv", "image-score"),
        ("labels-classes.csv", "label-score"),
        ("labels-official-classes.csv", "label-score"),
        ("labels-confusion.csv", "label-score"),
    ],
)
@pytest.mark.parametrize("added", [b"my,own,row\n", None])
def test_a_line_added_to_scores_stays(scored: Path, name: str, command: str, added: bytes | None) -> None:
    path = Grid(scored / "tiny").run("L1", 0).scores / name
    ours, record = path.read_bytes(), path.with_name("made.jsonl").read_bytes()
    theirs = b"mine" if added is None else ours + added
    if added is None:  # as of an older version
        path.with_name("made.jsonl").unlink()
    path.write_bytes(theirs)
    others = {each: each.stat().st_mtime_ns for each in path.parent.iterdir()}
    error = run(command, scored)
    assert isinstance(error, ReportError)
    assert re.match(rf"{re.escape(str(path))}: (was changed|found something else).*; move it away$", str(error))
    assert path.read_bytes() == theirs
    assert {each: each.stat().st_mtime_ns for each in path.parent.iterdir()} == others  # nothing was scored
    path.write_bytes(ours)
    path.with_name("made.jsonl").write_bytes(record)
    assert run(command, scored) is None


@pytest.mark.long
def test_a_line_added_to_scores_is_not_removed_with_them(scored: Path) -> None:
    one = Grid(scored / "tiny").run("L1", 0)
    ours = one.lab_histograms.read_bytes()
    one.lab_histograms.write_bytes(ours + b"my,own,row\n")
    with pytest.raises(UserError, match=r"image-lab\.csv: was not written by this program, or was changed since"):
        remove_leftovers(one)
    assert one.lab_histograms.read_bytes() == ours + b"my,own,row\n"
    one.lab_histograms.write_bytes(ours)


def test_scores_are_not_written_over_something_else(tmp_path: Path) -> None:
    run = Run(tmp_path, "L1", 0)
    scores = Scores("image", {}, ("a", "b"), 2, {"l1": Metric(0.5, np.array([0.5, 0.5]), np.array([0.5, 0.5]))})
    ledger.write(run, scores)
    for path in (run.score("image"), run.bootstrap("image")):
        before = path.read_bytes()
        for content in (before[:60], b'{"l1": 0.25}', before + b" "):
            path.write_bytes(content)
            with pytest.raises(ReportError, match=f"{path.name}: was changed since .* move it away"):
                ledger.write(run, scores)
            with pytest.raises(ReportError, match="move it away and score the run again"):
                ledger.read_scorer(run, "image")
            assert path.read_bytes() == content
            path.unlink()  # as the message says
            ledger.write(run, scores)
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["image.json", "image-bootstrap.npz", RECORD])
def test_scores_are_not_written_over_files_of_others(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path, "L1", 0)
    scores = Scores("image", {}, ("a", "b"), 2, {"l1": Metric(0.5, np.array([0.5, 0.5]), np.array([0.5, 0.5]))})
    run.scores.mkdir()
    (run.scores / name).write_bytes(b"PK my own")
    with pytest.raises(ReportError, match=f"{name}: found something else, .* move it away"):
        ledger.write(run, scores)
    assert [path.name for path in run.scores.iterdir()] == [name]
    assert (run.scores / name).read_bytes() == b"PK my own"


def test_scores_of_an_older_version_are_written_over(tmp_path: Path) -> None:
    run = Run(tmp_path, "L1", 0)
    scores = Scores("image", {}, ("a", "b"), 2, {"l1": Metric(0.5, np.array([0.5, 0.5]), np.array([0.5, 0.5]))})
    ledger.write(run, scores)
    (run.scores / RECORD).write_bytes(b'{"fi')  # all that a killed call left
    ledger.write(run, replace(scores, n_expected=3))
    assert ledger.read_scorer(run, "image").n_expected == 3


def test_scores_that_were_changed_by_hand_are_none(tmp_path: Path) -> None:
    """The change leaves all parts in agreement, so that only the record tells."""
    run = Run(tmp_path, "L1", 0)
    scores = Scores("image", {}, ("a", "b"), 2, {"psnr": Metric(20.5, np.array([20.5, 20.5]), np.array([20.5, 20.5]))})
    ledger.write(run, scores)
    run.score("image").write_text(run.score("image").read_text().replace('"value": 20.5', '"value": 99.0'))
    with pytest.raises(ReportError, match=r"image\.json: was changed since it was written; move it away"):
        ledger.read_scorer(run, "image")


def test_pipes_and_devices_are_no_files_that_were_made(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    known = Made(tmp_path)
    known.note(tmp_path / "a.png", digest(tmp_path / "a.png"))
    assert known.holds(tmp_path / "a.png")
    for place in (lambda path: path.symlink_to("/dev/null"), os.mkfifo):
        (tmp_path / "a.png").unlink()
        place(tmp_path / "a.png")
        assert not known.holds(tmp_path / "a.png")


def test_a_label_map_is_not_written_over_another_picture(tmp_path: Path) -> None:
    from fcn.labels import CAMVID

    path = tmp_path / "a.png"
    for value in (0, 1):
        label_images.write_label_image(path, np.full((4, 4), value, np.uint8), CAMVID, "test")
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.png: found a picture that was not written by this program"):
        label_images.write_label_image(path, np.zeros((4, 4), np.uint8), CAMVID, "test")
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("content", ["{}", "[]", '{"title": "My grid"}', "mine"])
def test_a_grid_json_of_another_is_refused(tmp_path: Path, folders: Path, content: str) -> None:
    path = tmp_path / "results" / "one" / "grid.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1}
    grid = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
    with pytest.raises(ReportError, match=r"grid\.json: .*, or move it away and train the grid again"):
        run_grid(tmp_path / "results", "one", grid, "own.toml", settings, [0], Notes())
    assert path.read_text() == content
