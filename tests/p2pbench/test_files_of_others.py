"""Files of a user's that bear the names of ours are not replaced: what is written says which, and what to do."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from amt.errors import AmtError
from p2pbench.ablation.runner import run_grid
from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.errors import UserError
from p2pbench.segmentation import label_pictures
from reports import ledger
from reports.errors import ReportError
from reports.layout import Grid, Run
from reports.ledger import Metric, Scores
from reports.made import Made, digest
from tests.amt.study import ALGORITHMS, make_pictures
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY

STUDY = ("--simulated", "--raters", "2", "--practice", "2", "--trials", "4", "--size", "16x16")


def run(*arguments: object) -> BaseException | None:
    return CliRunner().invoke(cli, [*map(str, arguments)]).exception


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.mark.parametrize("name", ["analysis.json", "analysis.txt", "answers.csv", "sessions.csv"])
def test_a_study_writes_over_its_own_files_alone(results: Path, name: str) -> None:
    path = results / "study" / "first" / name
    command = ("amt", "analyse" if "analysis" in name else "export", results)
    path.write_text("mine")
    assert isinstance(error := run(*command), AmtError)
    assert re.match(rf"{re.escape(str(path))}: found something else, .*; move it away$", str(error))
    assert path.read_text() == "mine"
    path.unlink()
    assert run(*command) is None
    assert run(*command) is None
    path.unlink()
    (path.with_name("analysis.json")).unlink(missing_ok=True)


def test_scores_are_not_written_over_something_else(tmp_path: Path) -> None:
    run = Run(tmp_path, "L1", 0)
    scores = Scores("image", {}, ("a", "b"), 2, {"l1": Metric(0.5, np.array([0.5, 0.5]), np.array([0.5, 0.5]))})
    ledger.write(run, scores)
    run.score("image").write_bytes(run.score("image").read_bytes()[:60])  # damaged, and ours
    ledger.write(run, scores)
    run.score("image").write_text('{"l1": 0.25}')
    with pytest.raises(ReportError, match=r"image\.json: found something else, .* move it away"):
        ledger.write(run, scores)
    assert run.score("image").read_text() == '{"l1": 0.25}'


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
        label_pictures.write(path, np.full((4, 4), value, np.uint8), CAMVID, "test")
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.png: found a picture that was not written by this program"):
        label_pictures.write(path, np.zeros((4, 4), np.uint8), CAMVID, "test")
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
