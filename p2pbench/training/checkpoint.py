"""Checkpoints: the state of a training, to resume it exactly."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fcn.weights import UNREADABLE, read, reason
from p2pbench.errors import UserError
from p2pbench.training.generator_file import load_weights
from p2pbench.training.model import Model
from reports.store import atomic

FORMAT = 2
WITHOUT_IDENTITY = 1  # the format of older versions, which had no run identity

Identity = Mapping[str, Any]
"""Settings and items of a run by name; see `p2pbench.training.records.identity`."""


def save(path: Path, model: Model, step: int, run: Identity) -> None:
    """Write the state after `step` steps.

    The old file stays until the new one is on disk.

    Random states are not in it, since all randomness is addressed by the step.
    """
    content = {"format": FORMAT, "step": step, "run": dict(run)}
    content |= {name: part.state_dict() for name, part in model.parts()}
    # Serialised in memory first, so that the write to disk is one piece that is either whole or absent.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    atomic.write(path, buffer.getvalue())


def load(path: Path, model: Model, run: Identity) -> int:
    """Load a model's state; returns the number of steps taken.

    Raises:
        UserError: the file is damaged, of another run, or of another architecture or objective.
    """
    content = _read(path)
    if not isinstance(content, dict) or content.get("format") not in {FORMAT, WITHOUT_IDENTITY}:
        raise UserError(f"{path}: not a checkpoint of this version of p2pbench; delete it to train from the start")
    # Only settings that both have are compared: an older version may have known fewer.
    saved = content.get("run", run)
    differing = [name for name in run if name in saved and saved[name] != run[name]]
    if differing:
        found = "; ".join(f"{name} {saved[name]}, expected {run[name]}" for name in differing)
        raise UserError(
            f"{path}: is of another run, found {found}; put this run's own there, or delete it to train from the start"
        )
    names = {name for name, _ in model.parts()}
    found_names = content.keys() - {"format", "step", "run"}
    if found_names != names:
        found = ", ".join(sorted(found_names))
        raise UserError(f"{path}: holds {found}; expected {', '.join(sorted(names))}: another objective made it")
    for name, part in model.parts():
        if isinstance(part, nn.Module):
            load_weights(part, content[name], path)
    for name, part in model.parts():
        if isinstance(part, torch.optim.Adam):
            part.load_state_dict(content[name])
    step: int = content["step"]
    return step


def _read(path: Path) -> Any:  # noqa: ANN401 (what a file holds is not known before it is read)
    try:
        return read(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path}: damaged, or no checkpoint ({reason(error, path)}); delete it to train from the start"
        ) from None
