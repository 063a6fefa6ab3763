"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for `mallopt`
KEPT, LARGEST = 1 << 30, 1 << 25  # bytes; glibc takes no larger mmap threshold on all its versions


def keep_freed_memory() -> bool:
    """Keep what is freed for the next step instead of handing it back to the system; whether that is possible here.

    Every step frees and asks for the same tens of megabytes. By default glibc gives blocks of over 128 KiB back at
    once, and the system maps, zeroes and pages them in anew: up to a fifth of the step of a small network
    (benchmarks/RESULTS.md). The process stays as large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    trimmed = bool(library.mallopt(TRIM_THRESHOLD, KEPT))
    return bool(library.mallopt(MMAP_THRESHOLD, LARGEST)) and trimmed
