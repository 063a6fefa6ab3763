"""Grids: presets and TOML files, expanded into runs and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from p2pbench.config import SHARED, GridConfig, RunConfig, TaskConfig, read_grid, read_task, run_config
from p2pbench.datasets.catalogue import check_settings
from p2pbench.errors import UserError
from reports.store import apart
from reports.store.layout import CONTENTS, INPUT, REAL, REPORT, STUDIES, Grid, Run, report
from reports.store.names import file_name

LONGEST_NAME = 80


@dataclass(frozen=True)
class PlannedRun:
    """Folder and settings of a run that is to be trained."""

    run: Run
    config: RunConfig

    @property
    def name(self) -> str:
        """Name in messages: cell and seed."""
        return f"{self.run.cell} seed {self.run.seed}"


@dataclass(frozen=True)
class GridPlan:
    """A grid with its runs, checked before anything is written.

    Attributes:
        grid: Its folder.
        config: Its file.
        where: Its source (file or preset), for messages.
        runs: Its runs, cell by cell; at least one.
    """

    grid: Grid
    config: GridConfig
    where: str
    runs: Sequence[PlannedRun]


def plan_grid(
    grid: Grid, config: GridConfig, where: str, overrides: Mapping[str, Any], seeds: Sequence[int] | None = None
) -> GridPlan:
    """Expand a grid into its runs.

    Settings are the defaults, then the grid's, then the cell's, then the overrides.

    Args:
        grid: Its folder.
        config: Its file.
        where: Its source (file or preset), for messages.
        overrides: Settings that replace those of the file.
        seeds: The seeds of each cell; None takes the file's.

    Raises:
        UserError: A setting is wrong, or none of the dataset's; a cell's name cannot be a folder's, two cells have the
            same settings, or are tested on different pictures.
        ReportError: The grid's folder is, holds or lies in the dataset's.
    """
    if "seed" in overrides or "seed" in config.settings or any("seed" in cell for cell in config.cells.values()):
        raise UserError(f"{where}: key 'seed': seeds are an axis of the grid; leave it out, and give seeds = [0, 1, 2]")
    if grid.name.lower() in {REPORT, STUDIES}:
        raise UserError(
            f"{where}: found a grid named '{grid.name}', the folder of the results' {grid.name.lower()}; expected "
            "another name, which is that of the grid's file"
        )
    settings: dict[str, RunConfig] = {}
    for name, cell in config.cells.items():
        _check_name(name, where)
        of_cell = run_config({**config.settings, **cell, **overrides}, f"{where}, cell {name}")
        check_settings(of_cell, where)
        # Two equal cells would cost two trainings and show a difference that is only noise.
        twin = next((other for other, known in settings.items() if known == of_cell), None)
        if twin is not None:
            raise UserError(f"{where}: cells '{twin}' and '{name}' have the same settings; expected them to differ")
        settings[name] = of_cell
    _check_shared(settings, where)
    of_grid = config.seeds if seeds is None else seeds
    _check_seeds(of_grid, where)
    roots = {Path(of_cell.root).expanduser() for of_cell in settings.values() if of_cell.root}
    # Output must not lie in a dataset, whose folders are searched for pictures.
    for written in (grid.folder, report(grid.folder.parent).folder):
        apart.check(written, roots)
    runs = [
        PlannedRun(grid.run(name, seed), of_cell.model_copy(update={"seed": seed}))
        for name, of_cell in settings.items()
        for seed in of_grid
    ]
    return GridPlan(grid, config, where, runs)


def read_plan(
    grid: str | Path | GridConfig, results: Path, overrides: Mapping[str, Any], seeds: Sequence[int] | None
) -> GridPlan:
    """Plan a grid in a results folder, and refuse settings without effect.

    Args:
        grid: A preset's name, a TOML file, or the grid itself, whose title then names its folder.
        results: The results folder.
        overrides: Settings that replace those of all cells.
        seeds: The seeds of each cell; None takes the grid's.

    Raises:
        UserError: As `find_grid`, `plan_grid`, `check_own_effect` and `check_effect`.
        ReportError: As `plan_grid`.
    """
    if isinstance(grid, GridConfig):
        name, content, where = file_name(grid.title), grid, f"grid {grid.title}"
    else:
        name, content = find_grid(str(grid))
        where = f"grid {name}" if grid in preset_names("grids") else str(grid)
    plan = plan_grid(Grid(results / name), content, where, overrides, seeds)
    check_own_effect(content, where)
    check_effect(plan, overrides)
    return plan


def check_effect(plan: GridPlan, keys: Iterable[str]) -> None:
    """Refuse settings of the command line without effect in any cell.

    Raises:
        UserError: A setting has no effect; the message says why.
    """
    for key in keys:
        reasons = [planned.config.without_effect(key) for planned in plan.runs]
        if all(reasons):
            raise UserError(f"{plan.where}: key '{key}' has no effect: {reasons[0]}; leave it out")


def check_own_effect(grid: GridConfig, where: str) -> None:
    """Refuse settings of a grid's file that have no effect.

    Default values are accepted, as in the files that reports write; so is a setting of the file that only an override
    of the command line leaves without effect.

    Raises:
        UserError: A setting has no effect in its cell, or a shared one in any cell; the message says why.
    """
    # Built without validation: a value that is invalid in itself is reported by `plan_grid`, with the overrides.
    cells = {name: RunConfig.model_construct(**{**grid.settings, **cell}) for name, cell in grid.cells.items()}
    for key in _changed(grid.settings):
        reasons = [config.without_effect(key) for config in cells.values()]
        if all(reasons):
            raise UserError(f"{where}: key '{key}' has no effect: {reasons[0]}; leave it out")
    for name, cell in grid.cells.items():
        for key in _changed(cell):
            if reason := cells[name].without_effect(key):
                raise UserError(f"{where}, cell {name}: key '{key}' has no effect: {reason}; leave it out")


def _changed(settings: Mapping[str, object]) -> list[str]:
    """The settings that are not at their defaults."""
    return [key for key, value in settings.items() if value != RunConfig.model_fields[key].default]


def _check_shared(configs: Mapping[str, RunConfig], where: str) -> None:
    (first, known), *others = configs.items()
    for name, config in others:
        for key in SHARED:
            if getattr(config, key) != getattr(known, key):
                raise UserError(
                    f"{where}: cells '{first}' and '{name}' differ in '{key}', so they would be tested on different "
                    "pictures; expected it under [settings], or a grid of its own for each"
                )


def _check_seeds(seeds: Sequence[int], where: str) -> None:
    for seed in seeds:
        run_config({"seed": seed}, where)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: seeds {list(seeds)}: expected whole numbers from 0 up, each once, such as [0, 1, 2]")


def _check_name(name: str, where: str) -> None:
    # Names must be folders on Linux, macOS and Windows, whose file systems ignore case: "Real" would overwrite real/.
    harmful = not name or name.startswith(".") or set(name) & set('/\\:*?"<>|\0\n\r\t') or len(name) > LONGEST_NAME
    if harmful or name != name.strip() or name.lower() in {REAL, INPUT, CONTENTS}:
        raise UserError(
            f"{where}: cell '{name}': expected a name that can be a folder's: 1 to {LONGEST_NAME} characters, none of "
            f'/ \\ : * ? " < > |, no leading dot, and not {REAL}, {INPUT} or {CONTENTS}, which lie beside the cells'
        )


def preset_names(kind: str) -> list[str]:
    """The names of the presets in `grids` or `tasks`."""
    return sorted(path.name.removesuffix(".toml") for path in _folder(kind).iterdir() if path.suffix == ".toml")


def find_grid(name: str) -> tuple[str, GridConfig]:
    """Read a grid by preset name or TOML path: name and content.

    Raises:
        UserError: The name is neither, or the file is not a grid.
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
    """Read a task by its name.

    Raises:
        UserError: There is no task of that name.
    """
    if name not in preset_names("tasks"):
        raise UserError(f"task '{name}': unknown; expected one of {', '.join(preset_names('tasks'))}")
    return read_task(_folder("tasks") / f"{name}.toml")


def _folder(kind: str) -> Path:
    return Path(str(resources.files("p2pbench") / kind))


QUICKSTART_GRID = "losses"
QUICKSTART_SETTINGS: dict[str, Any] = {
    "dataset": "streets",
    "image_size": 64,
    "ngf": 16,
    "ndf": 32,
    "receptive_field": 34,
    "batch_size": 4,
    "epochs": 20,
    "learning_rate": 3e-4,
    "threads": 1,
}
