"""Timing of pieces of work, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def medians(turns: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """A row for each way of doing a thing, from the seconds of its turns: the median, and its ratio to the first way.

    The ratio is the median of the ratios turn by turn, since all ways meet the same noise in a turn.
    """
    first = next(iter(turns.values()))
    rows: list[dict[str, object]] = []
    for way, seconds in turns.items():
        found = [one / other for one, other in zip(seconds, first, strict=True)]
        ratios = {"ratio_to_first": statistics.median(found), "ratio_least": min(found), "ratio_most": max(found)}
        rows.append({"way": way, "seconds": statistics.median(seconds), **ratios})
    return rows


@contextmanager
def products(precision: str, *, by_trial: bool = False) -> Iterator[None]:
    """Set a GPU's float32 products in this block, "ieee" or "tf32", and whether kernels are found by trial."""
    backends = torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends], torch.backends.cudnn.benchmark
    for backend in backends:
        backend.fp32_precision = precision
    torch.backends.cudnn.benchmark = by_trial
    try:
        yield
    finally:
        precisions, torch.backends.cudnn.benchmark = before
        for backend, old in zip(backends, precisions, strict=True):
            backend.fp32_precision = old
