"""Which device computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from p2pbench.errors import UserError

# Apple's mps is none of them: its backward pass of channels-last batch norm was wrong (pytorch issue 175189).
SUPPORTED = ("cpu", "cuda")


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """The device of that name; `auto` is the first GPU if there is one, else the CPU with so many threads.

    Raises:
        UserError: no such device here.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{name}' cannot be used here ({reason}); expected auto, cpu, or cuda") from None
    if device.type not in SUPPORTED:
        raise UserError(
            f"device '{name}' is not supported, since its gradients were not checked; expected auto, cpu, or cuda"
        )
    return device


def has_failed(error: RuntimeError) -> bool:
    """Whether an error is of a GPU that stopped working, not of what it was told to do."""
    return isinstance(error, torch.AcceleratorError) or str(error).startswith(("CUDA error", "cuDNN error", "CUBLAS"))


class DeviceLost(UserError):
    """A device stopped working; what was saved is whole, and this process cannot use it any more."""


@contextmanager
def failures_told(device: torch.device) -> Iterator[None]:
    """Work on a device that keeps what it has done.

    Raises:
        DeviceLost: The device stopped working.
    """
    try:
        yield
    except RuntimeError as error:
        if not has_failed(error):
            raise
        reason = str(error).splitlines()[0]
        raise DeviceLost(
            f"{device} stopped working ({reason}); what was done is kept, and the same command goes on once it is back"
        ) from error
