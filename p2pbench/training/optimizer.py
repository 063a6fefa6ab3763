"""Adam without synchronisation of the device, and the learning rate schedule."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn

from p2pbench.config import RunConfig

MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam(torch.optim.Adam):
    """Fused Adam, equal to PyTorch's, with less overhead per step.

    PyTorch's step gathers its lists again each time, counts in one tensor per weight, and on a CPU copies channels-last
    weights to a contiguous layout and back: together more time than the arithmetic of a small network. Here lists are
    kept, counts are views of one tensor, and channels-last weights are passed as contiguous views.

    On a GPU the rate is a tensor, which a captured step reads at each replay. If `found_inf` is a tensor that holds 1,
    a step changes nothing.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, rate: float, betas: tuple[float, float], device: torch.device
    ) -> None:
        # A captured step holds the rate's address: a Python number would be frozen into the graph.
        on_device = torch.tensor(rate, device=device) if device.type == "cuda" else rate
        super().__init__(parameters, lr=on_device, betas=betas, fused=True)
        self.found_inf: Tensor | None = None
        self._rate = rate
        self._counts: Tensor | None = None

    # PyTorch's wrappers of these import its compiler at the first call, for seconds; nothing here is compiled.
    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, in place where it is a tensor."""
        if rate == self._rate:
            return
        (group,) = self.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
        self._rate = rate

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all weights; each must have a gradient."""
        (group,) = self.param_groups
        parameters: list[nn.Parameter] = group["params"]
        if self._counts is None:
            self._keep_lists(parameters)
        assert self._counts is not None
        self._counts.add_(1)
        torch._fused_adam_(
            self._weights,
            [_dense(parameter.grad) for parameter in parameters],  # type: ignore[arg-type]
            self._moments[0],
            self._moments[1],
            [],
            self._steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
            found_inf=self.found_inf,
        )
        if self.found_inf is not None:
            self._counts.sub_(self.found_inf)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the moments, in the memory layout of the weights.

        The kernel reads both by address.

        The rate stays the same tensor, which a captured step may read; `set_rate` sets its value.
        """
        (group,) = self.param_groups
        rate = group["lr"]
        unwrap(torch.optim.Adam.load_state_dict)(self, state_dict)  # see `add_param_group`
        self.param_groups[0]["lr"] = rate
        for parameter, state in self.state.items():
            for name in MOMENTS:
                state[name] = torch.empty_like(parameter).copy_(state[name])
        self._counts = None

    def _keep_lists(self, parameters: list[nn.Parameter]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        taken = [float(state.get("step", 0.0)) for state in states]
        self._counts = torch.tensor(taken, device=parameters[0].device)
        self._steps = list(self._counts.unbind())
        for parameter, state, step in zip(parameters, states, self._steps, strict=True):
            state["step"] = step
            for name in MOMENTS:
                state.setdefault(name, torch.zeros_like(parameter))
        self._weights = [_dense(parameter) for parameter in parameters]
        self._moments = [[_dense(state[name]) for state in states] for name in MOMENTS]


def _dense(values: Tensor) -> Tensor:
    """View values in the order of memory: channels-last ones become contiguous."""
    return values if values.is_contiguous() else values.permute(0, 2, 3, 1)


def learning_rate(config: RunConfig, epoch: int) -> float:
    """Learning rate of an epoch, counted from 0.

    Constant, or falling linearly over the last `decay_epochs`.

    It is constant in the released code. The first decayed epoch is already below the full rate, and 0 would follow the
    last one.
    """
    if config.decay_epochs == 0:
        return config.learning_rate
    left = config.epochs - epoch
    return config.learning_rate * min(1.0, left / (config.decay_epochs + 1))
