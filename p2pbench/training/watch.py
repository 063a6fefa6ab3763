"""Losses watched on the device: nothing is read until somebody asks, and nothing is updated after a bad one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from p2pbench.training.model import Model
from p2pbench.training.step import Losses, NonFiniteLoss, Terms


class Watch:
    """A `p2pbench.training.step.Guard` for a device that is not waited for.

    A loss that is not finite raises a flag which both optimizers take as `found_inf`: from the update that would have
    used it on, no step changes a weight. The flag stays up, and the losses of that step are kept.
    """

    def __init__(self, model: Model, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._stopped = torch.zeros((), device=device)
        self._steps_since = torch.zeros((), dtype=torch.float64, device=device)
        self._latest = torch.zeros(len(names), dtype=torch.float64, device=device)
        for adam in model.adams():
            adam.found_inf = self._stopped

    def __call__(self, terms: Terms) -> None:
        """Raise the flag if a term is not finite."""
        if terms:
            bad = ~torch.isfinite(torch.stack(list(terms.values()))).all()
            self._stopped.copy_(torch.maximum(self._stopped, bad.float()))

    def end_step(self, losses: Terms) -> None:
        """Keep a step's losses, unless they come after a bad step."""
        values = torch.stack([losses[name] for name in self._names]).double()
        self._latest.copy_(torch.where(self._steps_since == 0, values, self._latest))
        self._steps_since.add_(self._stopped)

    def read(self) -> Losses:
        """The last step's losses. Waits for the device, once.

        Raises:
            NonFiniteLoss: the flag is up; the error names the first loss that was not finite.
        """
        since, *values = torch.cat([self._steps_since.reshape(1), self._latest]).tolist()
        losses = dict(zip(self._names, values, strict=True))
        if since > 0:
            name, value = next((name, value) for name, value in losses.items() if not math.isfinite(value))
            raise NonFiniteLoss(f"{name} is {value}", steps_ago=int(since))
        return losses
