"""How images are segmented, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from p2pbench.ablation.listener import Listener
from p2pbench.training.interrupt import Stop, Stopped


@dataclass(frozen=True)
class Work:
    """How outputs are scored, and who is told.

    Attributes:
        weights: The scorer's file; None for datasets that bring their own.
        device: What the network computes on.
        allow_partial: Whether to score what is there where outputs are missing.
        listener: Hears how far it is.
        stop: Whether somebody asked to stop.
    """

    weights: Path | None
    device: torch.device
    allow_partial: bool
    listener: Listener
    stop: Stop

    def advance(self, name: str) -> Callable[[int, int], None]:
        """Tells how far the images of that name are; raises Stopped once somebody asked to stop."""

        def advance(done: int, total: int) -> None:
            self.listener.count(f"{name}: segmented", done, total)
            if self.stop and done < total:
                raise Stopped(f"{name}: stopped after {done} of {total} images; the same command goes on from here")

        return advance
