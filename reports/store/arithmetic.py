"""Known defects of trainings by older versions, and foreign pictures in runs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from reports.store import json_files
from reports.store.errors import DAMAGED, ReportError
from reports.store.layout import Grid, Run, grids
from reports.store.made import Made
from reports.store.names import counted

ARITHMETIC = 2
"""Arithmetic of this version's trainings, kept in config.json; raise it when equal settings train other weights.

1: config.json has no such field. On a CPU, batches of one item gave wrong gradients to all generator layers from the
   input down to the 2x2 encoder map. The forward pass, larger batches and GPUs were right.
2: All gradients are right.
"""
Count = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    batch_size: Count = 1
    device: str = "auto"
    threads: Count | None = None


class _Split(BaseModel):
    n: Count = 1
    content: str | None = None


class _Record(BaseModel):
    """Part of config.json that determines the arithmetic of a training."""

    settings: _Settings
    data: dict[str, _Split] = {}
    versions: dict[str, str] = {}
    arithmetic: int = 1


class _Tested(BaseModel):
    test: _Split = _Split()


class _Grid(BaseModel):
    """Part of grid.json that identifies the test items."""

    dataset: _Tested = _Tested()


def flaw(run: Run) -> str | None:
    """Known or possible defect of a run's training; None without one."""
    try:
        record = _read(run)
    except ReportError as error:
        return f"it is not known what trained it: {error}"
    if record is None or record.arithmetic == ARITHMETIC:
        return None
    if not 1 <= record.arithmetic <= ARITHMETIC:
        return (
            f"trained by p2pbench {record.versions.get('p2pbench', 'of an unknown version')} with arithmetic "
            f"{record.arithmetic}, which this version, of arithmetic {ARITHMETIC}, does not know"
        )
    batches = _single_item_batches(record)
    device = _device(run, record)
    # The wrong kernel was that of CPUs, and only for batches of one item.
    if batches is None or device == "gpu":
        return None
    if device == "cpu":
        return f"trained on a CPU by an older version, with wrong gradients in {batches}"
    return (
        f"trained by an older version, which on a CPU had wrong gradients in {batches}; whether it was on a CPU is not "
        "recorded"
    )


def mark(run: Run) -> str | None:
    """Note on a run's scores: defects and foreign pictures; None without any."""
    others = not_as_made(run)
    replaced = f"{counted(len(others), 'picture')} in images/ not as made, such as {others[0].name}" if others else None
    elsewhere = "its test items have other contents than the grid's" if _is_of_other_data(run) else None
    return "; ".join(each for each in (flaw(run), replaced, elsewhere) if each) or None


def not_as_made(run: Run) -> list[Path]:
    """Pictures in `images/` that are foreign or were replaced.

    Runs of older versions and outputs of other tools have no record of their pictures, and pass.
    """
    made = Made(run.folder)
    return [path for path in run.pictures().values() if not made.holds(path)] if made else []


def check_pictures(run: Run) -> None:
    """Refuse a run, or a ground truth, with foreign pictures.

    Raises:
        ReportError: It has one; see `unusable`.
    """
    if why := unusable(run):
        raise ReportError(why)


def unusable(run: Run) -> str:
    """Reason why a run's pictures are not its own; else empty."""
    if _is_of_other_data(run):
        return (
            f"{run.folder}: was made from test items of other contents than those of {run.folder.parent.parent}; move "
            "it away, into a results folder of its own data"
        )
    others = not_as_made(run)
    what = "was not made by this run, or was replaced since"
    return f"{others[0]}: {what}; move it away, and give the command that trained it again" if others else ""


def _is_of_other_data(run: Run) -> bool:
    """Whether a run's test items differ in content from its grid's."""
    try:
        record = _read(run)
        if record is None or "test" not in record.data:
            return False
        grid = json_files.read(Grid(run.folder.parent.parent).json, _Grid, "")
    except ReportError:  # reported elsewhere
        return False
    return None not in (both := {record.data["test"].content, grid.dataset.test.content}) and len(both) > 1


def flaws(runs: Iterable[Run]) -> dict[Run, str]:
    """Notes of the runs that have one."""
    return {run: note for run in runs if (note := mark(run))}


def lines(folders: Iterable[Path]) -> Iterator[str]:
    """Notes of all runs in results folders, one line each."""
    for folder in folders:
        for grid in grids(folder):
            for run, found in flaws([*grid.runs(), grid.real]).items():
                seed = "" if run.seed is None else f" seed {run.seed}"
                yield f"{grid.name}/{run.cell}{seed}: {found}"


def threads(runs: Iterable[Run]) -> dict[str, str]:
    """Recorded numbers of CPU threads by cell, which affect rounding."""
    seeds: dict[str, dict[int, list[str]]] = {}
    for run in runs:
        try:
            record = _read(run)
        except ReportError:  # reported as its flaw
            continue
        if record is not None and record.settings.threads is not None:
            seeds.setdefault(run.cell, {}).setdefault(record.settings.threads, []).append(str(run.seed))
    return {
        cell: "; ".join(f"{number} (seed{'s' if len(of) > 1 else ''} {', '.join(of)})" for number, of in counts.items())
        for cell, counts in seeds.items()
    }


def _read(run: Run) -> _Record | None:
    """Read config.json; None for outputs of other tools, which have none.

    Raises:
        ReportError: It is damaged.
    """
    if not run.config.exists():
        return None
    return json_files.read(run.config, _Record, "put it back, or move the run's folder away")


def _single_item_batches(record: _Record) -> str | None:
    size = record.settings.batch_size
    if size == 1:
        return "all batches (of one item)"
    if record.data.get("train", _Split()).n % size == 1:  # the last batch keeps the remainder
        return "the last batch of each epoch (of one item)"
    return None


def _device(run: Run, record: _Record) -> str | None:
    """Device that trained a run: "cpu", "gpu", or None if unknown."""
    asked = record.settings.device
    if asked != "auto":
        return "cpu" if asked.startswith("cpu") else "gpu"
    saved = _checkpoint_device(run)
    if saved is None and record.versions.get("torch", "").endswith("+cpu"):  # a build without CUDA
        return "cpu"
    return saved


def _checkpoint_device(run: Run) -> str | None:
    """Device that a checkpoint was saved from, as PyTorch records it."""
    try:
        with zipfile.ZipFile(run.checkpoint) as archive:
            (notes,) = (archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    except DAMAGED:
        return None
    return "gpu" if b"cuda:" in notes else "cpu"
