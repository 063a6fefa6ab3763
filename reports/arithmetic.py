"""Which arithmetic trained a run, and what is wrong with runs of older ones."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reports.layout import Run, grids

ARITHMETIC = 2
"""The arithmetic of this version's trainings, kept in config.json; raise it when equal settings train other weights.

1: config.json has no such field. On a CPU, batches of one item gave wrong gradients to all generator layers from the
   input down to the 2x2 encoder map. The forward pass, larger batches and GPUs were right.
2: All gradients are right.
"""


def flaw(run: Run) -> str | None:
    """What is, or may be, wrong with a run's training, in a few words; None if nothing is known to be."""
    record = _read(run)
    if record is None or record.get("arithmetic", 1) >= ARITHMETIC:
        return None
    batches = _single_item_batches(record)
    device = _device(run, record)
    if batches is None or device == "gpu":
        return None
    if device == "cpu":
        return f"trained on a CPU by an older version, with wrong gradients in {batches}"
    return (
        f"trained by an older version, which on a CPU had wrong gradients in {batches}; whether it was on a CPU is not "
        "recorded"
    )


def flaws(runs: Iterable[Run]) -> dict[Run, str]:
    """The flaw of each run that has one."""
    return {run: found for run in runs if (found := flaw(run))}


def lines(folders: Iterable[Path]) -> Iterator[str]:
    """The flaws of all runs in results folders, a line each."""
    for folder in folders:
        for grid in grids(folder):
            for run, found in flaws(grid.runs()).items():
                yield f"{grid.name}/{run.cell} seed {run.seed}: {found}"


def threads(runs: Iterable[Run]) -> dict[str, str]:
    """How many threads of a CPU trained each cell, in words, where it is recorded: they change how sums are rounded."""
    seeds: dict[str, dict[int, list[str]]] = {}
    for run in runs:
        number = (_read(run) or {}).get("settings", {}).get("threads")
        if number is not None:
            seeds.setdefault(run.cell, {}).setdefault(number, []).append(str(run.seed))
    return {
        cell: "; ".join(f"{number} (seed{'s' if len(of) > 1 else ''} {', '.join(of)})" for number, of in counts.items())
        for cell, counts in seeds.items()
    }


def _read(run: Run) -> dict[str, Any] | None:
    """config.json; None for outputs of other tools, or where it is damaged, which training says."""
    try:
        record = json.loads(run.config.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("settings"), dict) else None


def _single_item_batches(record: dict[str, Any]) -> str | None:
    size, train = record["settings"].get("batch_size", 1), (record.get("data") or {}).get("train") or {}
    if size == 1:
        return "all batches (of one item)"
    if train.get("n", 1) % size == 1:
        return "the last batch of each epoch (of one item)"
    return None


def _device(run: Run, record: dict[str, Any]) -> str | None:
    """What trained a run: "cpu", "gpu", or None where that cannot be known."""
    asked = str(record["settings"].get("device", "auto"))
    if asked != "auto":
        return "cpu" if asked.startswith("cpu") else "gpu"
    saved = _checkpoint_device(run)
    if saved is None and str((record.get("versions") or {}).get("torch", "")).endswith("+cpu"):
        return "cpu"
    return saved


def _checkpoint_device(run: Run) -> str | None:
    """The device that a checkpoint was saved from, as PyTorch notes it beside each tensor."""
    try:
        with zipfile.ZipFile(run.checkpoint) as archive:
            (notes,) = (archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return "gpu" if b"cuda:" in notes else "cpu"
