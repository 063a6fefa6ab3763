"""Wheels of every requirement for every supported Python, as pip finds them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
