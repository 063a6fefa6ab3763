"""The crops of the coming steps on a device, drawn while it computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from p2pbench.datasets import augment
from p2pbench.training.batches import Draw

AHEAD = 64  # steps that go to the device at a time


class Plan:
    """Rows for `p2pbench.datasets.augment.gather`, step by step, a few dozen steps ahead of need.

    A small copy to a device makes the host wait if it is made at each step; drawing makes the device wait if it is made
    when the device is idle. So one more step is drawn whenever `draw_ahead` is called, and all go over together.
    """

    def __init__(self, draws: Iterable[Draw], device: torch.device) -> None:
        self._draws: Iterator[Draw] = iter(draws)
        self._device = device
        self._drawn: list[list[list[int]]] = []
        self._waiting: Iterator[Tensor] = iter(())

    def draw_ahead(self) -> None:
        """Draw one more step, unless enough are drawn."""
        if len(self._drawn) < AHEAD:
            self._drawn += self._rows(1)

    def next(self) -> Tensor:
        """The rows (B, 4) of the next step, on the device."""
        rows = next(self._waiting, None)
        if rows is None:
            self._drawn += self._rows(AHEAD - len(self._drawn))
            values = torch.tensor([row for step in self._drawn for row in step])
            if self._device.type == "cuda":
                values = values.pin_memory()
            sizes = [len(step) for step in self._drawn]
            self._waiting = iter(values.to(self._device, non_blocking=True).split(sizes))
            self._drawn = []
            rows = next(self._waiting)
        return rows

    def _rows(self, count: int) -> list[list[list[int]]]:
        return [augment.as_rows(*draw) for draw in islice(self._draws, count)]
