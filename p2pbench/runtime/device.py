"""Compute device, out-of-memory detection, and glibc memory settings."""

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

# Apple's mps is none of them: its backward pass of channels-last batch norm was wrong (pytorch issue 175189).
_SUPPORTED = re.compile(r"cpu(:0)?|cuda(:\d{1,2})?")


_EXPECTED = "expected auto, cpu, cuda, or cuda:1 and so on"


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """The device of that name; `auto` is the first GPU if there is one, else the CPU with so many threads.

    Raises:
        UserError: no such device here.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = _SUPPORTED.fullmatch(name)
    if match is None:  # PyTorch, asked for those that it has not, says so in twenty lines
        raise UserError(f"device '{name}' is not one whose gradients were checked; {_EXPECTED}")
    device = torch.device(name)
    if device.type == "cuda":
        _check_gpu(name, device)
    return device


def _check_gpu(name: str, device: torch.device) -> None:
    with warnings.catch_warnings(record=True) as said:  # such as of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (device.index or 0):
        why = f" ({str(said[0].message).splitlines()[0]})" if said else ""
        raise UserError(f"device '{name}' is not here: PyTorch finds {counted(count, 'GPU')}{why}; {_EXPECTED}")
    try:
        torch.empty(0, device=device)
    except RuntimeError as error:
        raise UserError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); {_EXPECTED}") from None


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


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for `mallopt`


KEPT, LARGEST = 1 << 30, 1 << 25  # bytes; glibc takes no larger mmap threshold on all its versions


def keep_freed_memory() -> None:
    """Keep what is freed for the next step instead of handing it back to the system, where the C library is glibc.

    Every step frees and asks for the same blocks. By default glibc gives many of them back, and the system maps, zeroes
    and pages them in anew: half of the page faults of a step at 256x256 (benchmarks/RESULTS.md). The process stays as
    large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(TRIM_THRESHOLD, KEPT)
        library.mallopt(MMAP_THRESHOLD, LARGEST)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a tensor found no room; on a CPU torch has no error of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
