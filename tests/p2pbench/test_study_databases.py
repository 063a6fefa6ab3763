"""Commands of a study let go of its database: whoever uses the program in one process would run out of connections."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
from click.testing import CliRunner

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
