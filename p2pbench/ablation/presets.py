"""The grids and tasks that come with p2pbench, and where a name leads."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from p2pbench.config import GridConfig, TaskConfig, read_grid, read_task
from p2pbench.errors import UserError


def preset_names(kind: str) -> list[str]:
    """The names of the presets in `grids` or `tasks`."""
    return sorted(path.name.removesuffix(".toml") for path in _folder(kind).iterdir() if path.suffix == ".toml")


def find_grid(name: str) -> tuple[str, GridConfig]:
    """A grid by a preset's name or a TOML file's path: its name and its content.

    Raises:
        UserError: neither, or the file is not a grid.
    """
    if name in preset_names("grids"):
        return name, read_grid(_folder("grids") / f"{name}.toml")
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file():
        raise UserError(
            f"grid '{name}': no preset of that name, and no TOML file; expected one of "
            f"{', '.join(preset_names('grids'))}, or the path of a grid's TOML file"
        )
    return path.stem, read_grid(path)


def find_task(name: str) -> TaskConfig:
    """A task by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in preset_names("tasks"):
        raise UserError(f"task '{name}': unknown; expected one of {', '.join(preset_names('tasks'))}")
    return read_task(_folder("tasks") / f"{name}.toml")


def _folder(kind: str) -> Path:
    return Path(str(resources.files("p2pbench") / kind))
