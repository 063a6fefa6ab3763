"""How images are segmented, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from p2pbench.ablation.listener import Listener
from p2pbench.training.device import pick_device
from p2pbench.training.interrupt import Stop, Stopped

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster


@dataclass(frozen=True)
class Work:
    """How outputs are scored, and who is told.

    Attributes:
        weights: The scorer's file; None for datasets that bring their own.
        device: What the network computes on, here or on the cluster.
        allow_partial: Whether to score what is there where outputs are missing.
        listener: Hears how far it is.
        stop: Whether somebody asked to stop.
        cluster: Where to segment instead of here.
    """

    weights: Path | None
    device: torch.device
    allow_partial: bool
    listener: Listener
    stop: Stop
    cluster: Cluster | None = None

    def advance(self, name: str) -> Callable[[int, int], None]:
        """Tells how far the images of that name are; raises Stopped once somebody asked to stop."""

        def advance(done: int, total: int) -> None:
            self.listener.count(f"{name}: segmented", done, total)
            if self.stop and done < total:
                raise Stopped(f"{name}: stopped after {done} of {total} images; the same command goes on from here")

        return advance


def work_device(name: str, cluster: Cluster | None) -> torch.device:
    """The device of that name, here or on the cluster's machines.

    Raises:
        UserError: No such device there.
    """
    if cluster is None:
        return pick_device(name)
    return torch.device("cuda" if cluster.needs(name, None).gpus else "cpu")
