"""Compute device, its failures, and glibc memory settings."""

from __future__ import annotations

import ctypes
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from p2pbench.errors import UserError
from reports.store.names import counted

# Apple's mps is excluded: its backward pass of channels-last batch norm was wrong (pytorch issue 175189).
_SUPPORTED = re.compile(r"cpu(:0)?|cuda(:\d{1,2})?")
_EXPECTED = "expected auto, cpu, cuda, or cuda:1 and so on"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's `mallopt`
_KEPT_BYTES, _LARGEST_BYTES = 1 << 30, 1 << 25  # older glibc versions accept no larger mmap threshold


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """Pick a device by name.

    `auto` is the first GPU if there is one, else the CPU. Sets `threads` on a CPU.

    Raises:
        UserError: no such device here.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = _SUPPORTED.fullmatch(name)
    if match is None:  # PyTorch's own error for an unknown device has twenty lines
        raise UserError(f"device '{name}' is not one whose gradients were checked; {_EXPECTED}")
    device = torch.device(name)
    if device.type == "cuda":
        _check_gpu(name, device)
    return device


def _check_gpu(name: str, device: torch.device) -> None:
    with warnings.catch_warnings(record=True) as caught:  # such as of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (device.index or 0):
        why = f" ({str(caught[0].message).splitlines()[0]})" if caught else ""
        raise UserError(f"device '{name}' is not here: PyTorch finds {counted(count, 'GPU')}{why}; {_EXPECTED}")
    try:
        torch.empty(0, device=device)
    except RuntimeError as error:
        raise UserError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); {_EXPECTED}") from None


def has_failed(error: RuntimeError) -> bool:
    """Whether an error is a GPU's failure, not one of the program."""
    return isinstance(error, torch.AcceleratorError) or str(error).startswith(("CUDA error", "cuDNN error", "CUBLAS"))


class DeviceLost(UserError):
    """Device failure.

    Saved files are whole, and this process cannot use the device any more.
    """


@contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
    """Turn failures of a device in the block into DeviceLost.

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
            f"{device} stopped working ({reason}); what was done is kept, and rerun the same command once it is back"
        ) from error


def keep_freed_memory() -> None:
    """Tune glibc malloc to reuse freed blocks.

    Every step frees and allocates the same blocks. By default glibc returns many of them to the system, which maps,
    zeroes and pages them in again: half of the page faults of a step at 256x256 (benchmarks/RESULTS.md). The process
    stays as large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
