"""In which numbers networks compute in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from p2pbench.config import RunConfig
from p2pbench.errors import UserError

ALL = ("float32", "tf32", "bf16")


class Precisions(NamedTuple):
    """What a device, or one of several, computes in, and what `auto` takes there."""

    where: str
    has: tuple[str, ...]
    auto: str

    @property
    def auto_before(self) -> str:
        """What `auto` meant before runs recorded it: cuDNN's default."""
        return "tf32" if "tf32" in self.has else "float32"

    @property
    def on_cpu(self) -> bool:
        """Whether this is a CPU, where the number of threads changes how sums are rounded."""
        return self.where == "cpu"


def precisions(device: torch.device) -> Precisions:
    """What a device computes in."""
    if device.type != "cuda":
        # bf16 is slow where the processor has no instructions for it.
        return Precisions(str(device), ("float32", "bf16"), "float32")
    if torch.cuda.get_device_capability(device) >= (8, 0):  # from there on cards have both
        return Precisions(str(device), ALL, "bf16")
    return Precisions(str(device), ("float32",), "float32")


def precisions_of_any(where: str, devices: Sequence[Precisions]) -> Precisions:
    """What one of several devices computes in, not known which; `auto` is bf16 if all have it."""
    has = tuple(name for name in ALL if any(name in each.has for each in devices))
    return Precisions(where, has, "bf16" if {each.auto for each in devices} == {"bf16"} else "float32")


def resolved(config: RunConfig, device: torch.device) -> RunConfig:
    """The settings with the precision that the device will really compute in, instead of "auto".

    Raises:
        UserError: the device has no such precision.
    """
    return chosen(config, precisions(device))


def chosen(config: RunConfig, there: Precisions) -> RunConfig:
    """The settings with a precision of those that there are, instead of "auto".

    Raises:
        UserError: there is no such precision.
    """
    if config.precision == "auto":
        return config.model_copy(update={"precision": there.auto})
    if config.precision not in there.has:
        raise UserError(
            f"key 'precision': {there.where} has no {config.precision}; expected auto, {' or '.join(there.has)}"
        )
    return config


def set_up(config: RunConfig, device: torch.device) -> None:
    """Let convolutions of a GPU choose their kernels by trial, and take TF32 only where it was asked for."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = config.precision != "float32"
