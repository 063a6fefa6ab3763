"""What is written into a results folder about runs and grids, and when a run may go on there.

The names of files are those of `reports.layout`, which the packages share.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import platform
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from p2pbench.config import NOT_IDENTITY, SHARED, RunConfig
from p2pbench.errors import UserError
from p2pbench.training.interrupt import Stop, Stopped
from reports import atomic
from reports.layout import Grid, Run

VERSIONED = ("p2pbench", "torch", "torchvision", "numpy", "scikit-image", "pillow")
SECONDS_BETWEEN_TRIES = 0.5

Description = dict[str, dict[str, int | str]]
"""The items of each split: how many, and a hash of their ids."""


class RunRecord(BaseModel):
    """config.json: what a run is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: RunConfig
    data: Description
    versions: dict[str, str]


def check_run(run: Run, config: RunConfig, data: Description, made: Sequence[tuple[Run, RunRecord]]) -> None:
    """Refuse a run that does not fit what is in the grid's folder already.

    A run goes on only with its own settings. Other seeds of its cell must have the same settings, and other cells the
    same test pictures, for they stand in one table.

    Args:
        run: the run to be.
        config: its settings.
        data: its items.
        made: all runs that are there.

    Raises:
        UserError: settings or items differ; each difference is shown.
    """
    if not run.config.exists():
        leftovers = [path.name for path in (run.checkpoint, run.generator) if path.exists()]
        if leftovers:
            raise UserError(
                f"{run.folder}: holds {leftovers[0]} but no config.json; move it away, or use another --out"
            )
    for other, record in made:
        keys = set(RunConfig.model_fields) - NOT_IDENTITY if other.cell == run.cell else set(SHARED) - NOT_IDENTITY
        splits = data.keys() if other.cell == run.cell else {"test"}
        if other.seed != run.seed:
            keys -= {"seed"}
        differences = _differences(record, config, data, keys, splits)
        if differences:
            raise UserError(
                f"{other.folder} was made with other settings: {'; '.join(differences)}. "
                "Use another --out, or delete that folder to train anew"
            )


def _differences(
    record: RunRecord, config: RunConfig, data: Description, keys: Collection[str], splits: Collection[str]
) -> list[str]:
    old, new = record.settings.model_dump(), config.model_dump()
    if old["precision"] == "auto":  # made before runs said what they ran in
        keys = set(keys) - {"precision"}
    found = [
        f"{key} was {_shown(old[key])}, is {_shown(new[key])}" for key in new if key in keys and old[key] != new[key]
    ]
    for split in sorted(splits):
        was, now = record.data[split], data[split]
        if was != now:
            found.append(f"the {split} items were {was['n']} ({was['hash']}), are {now['n']} ({now['hash']})")
    return found


def read_runs(grid: Grid) -> list[tuple[Run, RunRecord]]:
    """The runs of a grid that have their settings, with them. Raises UserError when some are damaged."""
    return [(run, read_run(run)) for run in grid.runs() if run.config.exists()]


def write_run(run: Run, config: RunConfig, data: Description) -> None:
    """Write config.json, unless a run that may go on has written it."""
    if not run.config.exists():
        record = RunRecord(settings=config, data=data, versions=versions())
        atomic.write(run.config, record.model_dump_json(indent=1).encode() + b"\n")


@contextmanager
def owned(run: Run, patience: float = 0.0, stop: Stop = False) -> Iterator[None]:
    """Hold a run for this process alone; the system lets go of it when the process ends, however it ends.

    On a folder that several machines share it is the file system that must keep locks for all of them, as NFS does.
    It may keep that of a machine that died for a while, hence the patience.

    Args:
        run: the run.
        patience: seconds to wait for another process to let go.
        stop: whether somebody asked to stop.

    Raises:
        UserError: another process holds it, or the file system keeps no locks.
        Stopped: `stop` was asked for while another process held it.
    """
    deadline = time.monotonic() + patience
    with run.config.open("r+b") as file:  # for writing too: NFS gives nobody else an exclusive lock
        while not _lock(file, run):
            if stop:
                raise Stopped(f"{run.folder}: stopped before it began; the same command goes on from here")
            if time.monotonic() >= deadline:
                raise UserError(f"{run.folder}: another process is training this run; wait for it, or stop it")
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def _lock(file: BinaryIO, run: Run) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # such as ENOLCK or ENOSYS: two processes could train one run and not know it
        raise UserError(
            f"{run.config}: its file system keeps no locks ({error.strerror}); expected one that does: mount it with "
            "locks (Lustre: -o flock), or use another --out"
        ) from None
    return True


def read_run(run: Run) -> RunRecord:
    """config.json as it was written.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    try:
        return RunRecord.model_validate_json(run.config.read_bytes())
    except OSError as error:
        raise UserError(f"{run.config}: cannot be read ({error.strerror}); expected a run of p2pbench") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{run.config}: damaged, or of another version: {where}: {problem['msg']}") from None


def write_grid(grid: Grid, content: dict[str, Any]) -> None:
    """Write grid.json: what the report says about the ablation as a whole.

    Cells and seeds that an earlier call trained stay in it.
    """
    if grid.json.exists():
        old = read_grid_record(grid)
        content = content | {
            "cells": content["cells"]
            | {name: cell for name, cell in old["cells"].items() if name not in content["cells"]},
            "seeds": sorted({*content["seeds"], *old["seeds"]}),
        }
    content = content | {"versions": versions(), "git_revision": git_revision()}
    atomic.write(grid.json, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def read_grid_record(grid: Grid) -> dict[str, Any]:
    """grid.json as it was written. Raises UserError when it is damaged."""
    try:
        content: dict[str, Any] = json.loads(grid.json.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{grid.json}: cannot be read ({error}); move it away to write it anew") from None
    return content


def versions() -> dict[str, str]:
    """Versions of what makes numbers."""
    found = {name: importlib.metadata.version(name) for name in VERSIONED}
    return {"python": platform.python_version(), **found}


def git_revision() -> str | None:
    """The revision of the code, where it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
