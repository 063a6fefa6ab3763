"""The targets of `make`: their list, what they would install for whom, and what they do."""

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


def make(folder: Path, *arguments: str) -> str:
    """What make prints."""
    own = {
        key: value for key, value in os.environ.items() if not key.startswith("MAKE")
    }  # not of the `make` that tests
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=True).stdout


def installed(folder: Path, target: str) -> list[str]:
    """What a target would have pip install, pip itself apart."""
    printed = make(folder, "--dry-run", target, f"PYTHON={sys.executable}")
    return [line.split("-m pip ", 1)[1] for line in printed.splitlines() if "pip install --quiet --editable" in line]


def test_the_demo_installs_nothing_that_only_tests_need(folder: Path) -> None:
    assert installed(folder, "demo") == [PROGRAM]
    for target in ("test", "quick", "check", "fix", "dist", "bench", "screenshots"):
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


def test_plain_make_lists_every_target_and_does_nothing_else(folder: Path) -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*help.*)$", (folder / "Makefile").read_text(), re.MULTILINE)
    before = sorted(folder.iterdir())
    printed = make(folder)
    assert printed == make(folder, "help")
    assert sorted(folder.iterdir()) == before
    listed = [re.fullmatch(r"make ([a-z]+) +(\S.+)", line) for line in printed.splitlines()]
    assert {line[1] for line in listed if line} == {*phony.split()} - {"chromium"}
    assert all(line and len(line[0]) <= 80 for line in listed)
    explained = re.findall(r"^    make (\w+) +# ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert {*phony.split()} - {"demo", "screenshots", "clean", "chromium"} <= {*explained}


def test_fix_mends_and_formats(folder: Path) -> None:
    file = folder / "program.py"
    file.write_text('"""Program."""\nimport sys\nimport os\n\nprint(  os.name )\n')
    make(folder, "--assume-old=.venv/development", "fix", f"BIN={Path(sys.executable).parent}")
    assert file.read_text() == '"""Program."""\n\nimport os\n\nprint(os.name)\n'
