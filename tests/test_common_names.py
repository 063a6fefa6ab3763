"""Another fcn, amt or reports is named, with the way out; a folder of that name without modules is no obstacle."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from p2pbench.installation import OURS, SIBLINGS
from tests.environments import ROOT, Environment, copy_project

pytestmark = pytest.mark.process

FOREIGN = "their-nets"
COMMAND, MODULE = ("p2pbench", "--version"), ("python", "-m", "p2pbench", "--version")
SCRIPT, IMPORT = ("python", "script.py"), ("python", "-c", "import p2pbench.cli")
PLACE = "import pathlib, p2pbench; print(pathlib.Path(p2pbench.__file__).parents[1])"
ALONE = (
    "python",
    "-c",
    "import reports, amt, fcn.errors, reports.store.errors; reports.read, amt.__file__, fcn.__file__",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, f"--wheel-dir={folder}", str(copy_project(folder / "project"))], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with an editable install."""
    folder = tmp_path_factory.mktemp("editable")
    environment = Environment(folder / "environment", "click", "setuptools")
    environment.install("--editable", str(copy_project(folder / "project")))
    return environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """An environment with the wheel."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "environment", "click")
    environment.install(str(wheel))
    return environment


@pytest.fixture(params=["editable", "installed"])
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each kind of install, which tests leave as it is."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Environment)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a script that uses p2pbench."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "script.py").write_text("import p2pbench\nfrom p2pbench.errors import UserError\n")
    return work


def foreign_wheel(folder: Path, name: str) -> Path:
    """The wheel of another distribution that holds a package of that name."""
    path, info = folder / "their_nets-9-py3-none-any.whl", "their_nets-9.dist-info"
    files = {
        f"{name}/__init__.py": "from other import things\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {FOREIGN}\nVersion: 9\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def line(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed."""
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    (said,) = ended.stderr.splitlines()
    assert said.startswith("Error: ")
    return said.removeprefix("Error: ")


def test_each_package_of_ours_says_so() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{name}*" for name in (*SIBLINGS, "p2pbench")} == set(found)
    for name in SIBLINGS:
        assert OURS in (ROOT / name / "__init__.py").read_bytes(), name


@pytest.mark.parametrize("way", [COMMAND, MODULE, SCRIPT, IMPORT, ALONE])
def test_folders_of_these_names_are_no_obstacle(environment: Environment, folder: Path, way: tuple[str, ...]) -> None:
    for name in SIBLINGS:
        (folder / name / "pictures").mkdir(parents=True)
        (folder / name / "index.html").touch()
    for variables in ({}, {"PYTHONPATH": "."}):
        ended = environment.run(*way, cwd=folder, **variables)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("file", ["fcn.py", "amt/__init__.py", "reports.py", "reports/__init__.py"])
def test_modules_of_these_names_are_named(environment: Environment, folder: Path, file: str) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("raise AssertionError('imported')\n")
    name, ours = file.split("/")[0].removesuffix(".py"), environment.run("python", "-c", PLACE, cwd=folder.parent)
    expected = (
        f"{name}: Python finds {folder / file}, expected {Path(ours.stdout.strip(), name)}; "
        "rename that, or keep it off Python's path (working folder, PYTHONPATH)"
    )
    assert line(environment.run(*MODULE, cwd=folder)) == expected
    assert line(environment.run(*COMMAND, cwd=folder, PYTHONPATH=".")) == expected
    for way in (SCRIPT, IMPORT):
        ended = environment.run(*way, cwd=folder)
        assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, f"ImportError: {expected}")
        assert "AssertionError" not in ended.stderr
    assert environment.run(*COMMAND, cwd=folder).stdout == environment.run(*COMMAND, cwd=folder.parent).stdout != ""


def test_a_distribution_over_ours_is_named(tmp_path: Path, folder: Path, wheel: Path) -> None:
    name = "reports"
    environment = Environment(tmp_path / "environment", "click")
    environment.install(str(foreign_wheel(tmp_path, name)))
    environment.install(str(wheel))
    assert environment.run(*COMMAND, cwd=folder).returncode == 0  # ours was written over theirs
    environment.install("--force-reinstall", str(foreign_wheel(tmp_path, name)))
    theirs = environment.site_packages / name / "__init__.py"
    expected = f"{name}: {theirs} is not p2pbench's; pip uninstall {FOREIGN} p2pbench, then install p2pbench again"
    assert line(environment.run(*COMMAND, cwd=folder)) == expected
    assert line(environment.run(*MODULE, cwd=folder)) == expected
    assert environment.run(*SCRIPT, cwd=folder).stderr.splitlines()[-1] == f"ImportError: {expected}"
    environment.uninstall(FOREIGN)
    missing = f"{name}: {theirs} is missing; pip uninstall p2pbench, then install p2pbench again"
    assert line(environment.run(*COMMAND, cwd=folder)) == missing
    environment.uninstall("p2pbench")
    environment.install(str(wheel))
    assert environment.run(*COMMAND, cwd=folder).returncode == 0


def test_a_distribution_before_an_editable_install_is_named(
    tmp_path: Path, folder: Path, editable: Environment
) -> None:
    assert editable.run(*COMMAND, cwd=folder).returncode == 0
    editable.install(str(foreign_wheel(tmp_path, "fcn")))
    try:
        said = line(editable.run(*COMMAND, cwd=folder))
    finally:
        editable.uninstall(FOREIGN)
    theirs, ours = editable.site_packages / "fcn" / "__init__.py", editable.folder.parent / "project" / "fcn"
    assert said == f"fcn: Python finds {theirs}, expected {ours}; pip uninstall {FOREIGN}"
    assert editable.run(*COMMAND, cwd=folder).returncode == 0
