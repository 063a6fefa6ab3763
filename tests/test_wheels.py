"""Wheels of every requirement for every supported Python, as pip finds them, and what our own must hold."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.wheel_run import check_files

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(python: str) -> list[str]:
    """Everything that pyproject.toml names, without what its markers exclude on that Python."""
    document = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = document["project"]
    named = [*document["build-system"]["requires"], *project["dependencies"]]
    named += [each for extra in project["optional-dependencies"].values() for each in extra]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    needed = []
    for requirement in map(Requirement, named):
        if requirement.name == project["name"]:  # an extra that gathers others
            continue
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None  # pip would evaluate it for the Python that runs it
            needed.append(str(requirement))
    return needed


def test_requirements_of_all_extras_are_asked_for() -> None:
    names = {Requirement(each).name for each in requirements("3.13")}
    assert {"setuptools", "torch", "tensorboard", "psycopg", "torchmetrics", "ray", "ruff", "uvicorn"} <= names
    assert "uvicorn[standard]>=0.54" in requirements("3.11")


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_every_requirement_has_a_wheel(python: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    target = ["--only-binary=:all:", f"--python-version={python}", f"--target={tmp_path}"]
    ended = subprocess.run([*pip, *target, *requirements(python)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.process
def test_a_wheel_holds_the_files_of_the_packages_and_no_others(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=PYPROJECT.parent, capture_output=True, text=True, check=True)
    packages = ("p2pbench/", "fcn/", "amt/", "reports/")
    ours = [name for name in listed.stdout.splitlines() if name.startswith(packages)]
    assert {"amt/server/static/style.css", "amt/page/index.html", "reports/templates/base.html"} <= {*ours}
    assert {"p2pbench/grids/losses.toml", "p2pbench/tasks/inpainting.toml", "fcn/network.py"} <= {*ours}

    def wheel(*names: str) -> Path:
        with zipfile.ZipFile(tmp_path / "made.whl", "w") as archive:
            for name in names:
                archive.writestr(name, "")
            needs = "Requires-Dist: torch>=2.11\nRequires-Dist: ray>=2.49; extra == 'cluster'\n"
            archive.writestr("p2pbench-1.dist-info/METADATA", f"Name: p2pbench\n{needs}")
        return tmp_path / "made.whl"

    assert check_files(wheel(*ours)) == ["torch>=2.11"]
    with pytest.raises(SystemExit, match="lacks amt/page/index.html; see package-data in pyproject.toml"):
        check_files(wheel(*(name for name in ours if name != "amt/page/index.html")))
    with pytest.raises(SystemExit, match="holds tests/test_wheels.py, expected"):
        check_files(wheel(*ours, "tests/test_wheels.py"))
