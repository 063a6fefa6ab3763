"""What `make` would install for whom."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
PROGRAM, TOOLS = "install --quiet --editable .", "install --quiet --editable '.[dev]'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without an environment."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def installed(folder: Path, target: str) -> list[str]:
    """What a target would have pip install, pip itself apart."""
    command = ["make", "--dry-run", "--no-print-directory", target, f"PYTHON={sys.executable}"]
    own = {
        key: value for key, value in os.environ.items() if not key.startswith("MAKE")
    }  # not of the `make` that tests
    printed = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=True).stdout
    return [line.split("-m pip ", 1)[1] for line in printed.splitlines() if "pip install --quiet --editable" in line]


def test_the_demo_installs_nothing_that_only_tests_need(folder: Path) -> None:
    assert installed(folder, "demo") == [PROGRAM]
    for target in ("test", "quick", "check", "bench", "screenshots"):
        assert installed(folder, target) == [PROGRAM, TOOLS]


def test_quick_leaves_out_every_kind_of_test() -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    kinds = {marker.split(":")[0] for marker in markers}
    quick = re.search(r"-m 'not \((.*)\)'", (ROOT / "Makefile").read_text())
    assert quick
    assert set(quick[1].split(" or ")) == kinds


def test_what_is_installed_is_left_until_its_list_changes(folder: Path) -> None:
    (folder / ".venv").mkdir()
    for stamp in ("made", "program"):
        (folder / ".venv" / stamp).touch()
    assert installed(folder, "demo") == []
    assert installed(folder, "test") == [TOOLS]
    (folder / ".venv" / "development").touch()
    assert installed(folder, "test") == []
    later = (folder / ".venv" / "development").stat().st_mtime + 10
    os.utime(folder / "pyproject.toml", (later, later))
    assert installed(folder, "demo") == [PROGRAM]
    assert installed(folder, "test") == [PROGRAM, TOOLS]
