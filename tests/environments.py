"""Environments as pip makes them: p2pbench and its dependencies, and nothing that tests or checks need.

Dependencies are several GB. They are linked from the environment that runs the tests, in a folder of their own beside
the environment: pip, which removes whole folders where it can, never sees the links.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = ("p2pbench", "fcn", "amt", "reports", "pyproject.toml", "README.md", "LICENSE")
"""What a build reads."""


class Environment:
    """A virtual environment without pip, into which the pip of the tests installs.

    Attributes:
        folder: Its folder.
        bin: The folder of its commands.
    """

    def __init__(self, folder: Path, *requirements: str) -> None:
        """Make it, with links to all that the requirements need."""
        self.folder = folder
        self.bin = folder / "bin"
        venv.create(folder, symlinks=True)
        linked = folder.with_name(f"{folder.name}-dependencies")
        linked.mkdir()
        for entry in _entries(requirements):
            (linked / entry.name).symlink_to(entry)
        (self.site_packages / "dependencies.pth").write_text(f"{linked}\n")

    @property
    def site_packages(self) -> Path:
        """The folder into which pip installs."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def install(self, *arguments: str) -> None:
        """Install what pip is given, without dependencies."""
        self._pip("install", "--no-deps", "--no-build-isolation", "--no-index", *arguments)

    def uninstall(self, *names: str) -> None:
        """Uninstall distributions."""
        self._pip("uninstall", "--yes", *names)

    def run(self, *command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in a folder, as a user's shell would, with variables of its own."""
        line = [str(self.bin / command[0]), *command[1:]]
        return subprocess.run(line, cwd=cwd, env=_variables() | more, capture_output=True, text=True)

    def _pip(self, command: str, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), command, "--quiet"]
        subprocess.run([*pip, *arguments], check=True, env=_variables())


def copy_project(folder: Path) -> Path:
    """Copy what a build reads, since a build leaves files behind."""
    folder.mkdir()
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def _variables() -> dict[str, str]:
    """Variables of this process without PYTHONPATH, by which p2pbench would be found elsewhere, and the like."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _entries(requirements: tuple[str, ...]) -> list[Path]:
    """Files and folders in site-packages of these requirements and of all that they require."""
    left, seen = [*map(Requirement, requirements)], set[str]()
    entries: dict[str, Path] = {}
    while left:
        requirement = left.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            installed = distribution(requirement.name)
        except PackageNotFoundError as error:
            raise FileNotFoundError(f"{requirement} is not installed here: make .venv/development") from error
        for file in installed.files or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not top.endswith(".pth"):
                entries[top] = Path(str(installed.locate_file(top)))
        for needed in map(Requirement, installed.requires or []):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
                left.append(needed)
    return list(entries.values())
