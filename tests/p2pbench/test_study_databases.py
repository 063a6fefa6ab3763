"""Commands of a study let go of its database: whoever uses the program in one process would run out of connections."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from amt.store.database import open_database
from p2pbench.cli import cli
from tests.amt.study import make_pictures


def test_no_command_leaves_the_database_open(tmp_path: Path) -> None:
    make_pictures(tmp_path)
    results = str(tmp_path / "results")
    made = ["--name", "first", "--real", str(tmp_path / "real"), "--fake", f"L1={tmp_path / 'L1'}", "--raters", "1"]
    few = ["--practice", "0", "--trials", "2"]
    gc.disable()  # it would close what the commands leave open
    try:
        for line in (
            ["create", results, *made, *few],
            ["status", results],
            ["export", results, "--peek"],
            ["close", results],
        ):
            ended = CliRunner().invoke(cli, ["amt", *line])
            assert ended.exit_code == 0, ended.output
            assert not [file.path for file in psutil.Process().open_files() if "study.sqlite" in file.path], line
    finally:
        gc.enable()


@pytest.mark.parametrize("there", [False, True])
def test_a_study_that_cannot_be_made_leaves_nothing(tmp_path: Path, there: bool) -> None:
    make_pictures(tmp_path)
    results = tmp_path / "new" / "results"
    if there:
        (results / "study").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    whole = ["--real", str(tmp_path / "real"), "--fake", f"L1={tmp_path / 'L1'}", "--practice", "0", "--raters", "1"]

    def create(name: str, *more: str) -> str:
        ended = CliRunner().invoke(cli, ["amt", "create", str(results), "--name", name, *whole, *more])
        return "" if ended.exception is None else str(ended.exception)

    assert "expected a study's name of a-z" in create("No Name", "--trials", "2")
    assert "expected at least 1005" in create("first", "--trials", "1000")
    broken = next(iter(sorted((tmp_path / "L1").iterdir())))
    kept = broken.read_bytes()
    broken.write_bytes(kept[:60])
    assert str(broken) in create("first", "--trials", "2")
    broken.write_bytes(kept)
    assert sorted(tmp_path.rglob("*")) == before
    assert create("first", "--trials", "2") == ""
    with_study = sorted(tmp_path.rglob("*"))
    assert "first" in create("first", "--trials", "2")  # the name is in use
    assert sorted(tmp_path.rglob("*")) == with_study
    assert CliRunner().invoke(cli, ["amt", "status", str(results)]).exit_code == 0


def test_a_database_without_a_study_says_how_to_make_one(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "study.sqlite", create=True)):
        pass
    (tmp_path / "study").mkdir()
    (tmp_path / "study.sqlite").rename(tmp_path / "study" / "study.sqlite")
    for command in (["close"], ["close", "--name", "first"], ["export"]):
        ended = CliRunner().invoke(cli, ["amt", command[0], str(tmp_path), *command[1:]])
        assert str(ended.exception).endswith(": found no study, expected one; make one with `p2pbench amt create`")
