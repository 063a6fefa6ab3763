"""The device of a task in a worker process."""

from __future__ import annotations

import socket

import torch

from p2pbench.errors import UserError
from p2pbench.training.device import pick_device


def given_device(gpus: int, threads: int | None) -> torch.device:
    """What Ray gave the task: a GPU, or cores of the CPU, one unless `threads` says more.

    Raises:
        UserError: Ray gave a GPU that is not there, or not there any more.
    """
    try:
        return pick_device("cuda" if gpus else "cpu", threads or 1)
    except UserError as error:
        raise UserError(
            f"machine {socket.gethostname()}: Ray gave this task a GPU, and {error}; look at nvidia-smi there, or take "
            "the machine out of the cluster"
        ) from None
