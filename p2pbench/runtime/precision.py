"""Numeric precision of training (float32, TF32, bfloat16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from p2pbench.config import RunConfig
from p2pbench.errors import UserError

ALL = ("float32", "tf32", "bf16")


class Precisions(NamedTuple):
    """Precisions of a device, or of one of several.

    Attributes:
        where: The device, for messages.
        has: Its precisions.
        auto: The one that the setting "auto" selects.
    """

    where: str
    has: tuple[str, ...]
    auto: str

    @property
    def auto_before(self) -> str:
        """Precision of "auto" before runs recorded it: cuDNN's default."""
        return "tf32" if "tf32" in self.has else "float32"

    @property
    def on_cpu(self) -> bool:
        """Whether this is a CPU.

        There the number of threads changes the rounding of sums.
        """
        return self.where == "cpu"


def precisions(device: torch.device) -> Precisions:
    """List the precisions of a device."""
    if device.type != "cuda":
        # bf16 is slow where the processor has no instructions for it.
        return Precisions(str(device), ("float32", "bf16"), "float32")
    if torch.cuda.get_device_capability(device) >= (8, 0):  # Ampere and later have TF32 and bfloat16
        return Precisions(str(device), ALL, "bf16")
    return Precisions(str(device), ("float32",), "float32")


def precisions_of_any(where: str, devices: Sequence[Precisions]) -> Precisions:
    """Combine the precisions of several devices, one of which will be used.

    `auto` is bf16 if all have it.
    """
    has = tuple(name for name in ALL if any(name in device.has for device in devices))
    return Precisions(where, has, "bf16" if {device.auto for device in devices} == {"bf16"} else "float32")


def resolved(config: RunConfig, device: torch.device) -> RunConfig:
    """Replace precision "auto" in the settings by the device's.

    Raises:
        UserError: the device has no such precision.
    """
    return chosen(config, precisions(device))


def chosen(config: RunConfig, there: Precisions) -> RunConfig:
    """Replace precision "auto" in the settings by one of those available.

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
    """Let cuDNN choose kernels by trial, with TF32 if allowed."""
    if device.type == "cuda":
        # Shapes are the same at every step, so timing each kernel once pays.
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = config.precision != "float32"
