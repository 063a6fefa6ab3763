"""The device of a job in a worker process."""

from __future__ import annotations

import socket

import torch

from p2pbench.cluster.terms import Unfit
from p2pbench.errors import UserError
from p2pbench.training.device import pick_device


def given_device(gpus: int, threads: int | None) -> torch.device:
    """What Ray gave the job: a GPU, or cores of the CPU, one unless `threads` says more.

    Raises:
        Unfit: Ray gave a GPU that is not there, or not there any more.
    """
    try:
        return pick_device("cuda" if gpus else "cpu", threads or 1)
    except UserError as error:
        raise Unfit(
            f"machine {socket.gethostname()}: Ray gave this process a GPU, and {error}; look at nvidia-smi there, or "
            "take the machine out of the cluster"
        ) from None
