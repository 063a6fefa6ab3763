"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys

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
