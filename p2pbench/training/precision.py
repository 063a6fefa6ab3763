"""In which numbers networks compute in training."""

from __future__ import annotations

import torch

from p2pbench.config import RunConfig
from p2pbench.errors import UserError


def resolved(config: RunConfig, device: torch.device) -> RunConfig:
    """The settings with the precision that the device will really compute in, instead of "auto".

    Raises:
        UserError: the device has no such precision.
    """
    has = ["float32"]
    if device.type == "cuda":
        newer = torch.cuda.get_device_capability(device) >= (8, 0)  # from there on cards have both
        has += ["tf32", "bf16"] if newer else []
    else:
        has += ["bf16"]  # slow where the processor has no instructions for it
    if config.precision == "auto":
        best = "bf16" if device.type == "cuda" and "bf16" in has else "float32"
        return config.model_copy(update={"precision": best})
    if config.precision not in has:
        raise UserError(f"key 'precision': {device} has no {config.precision}; expected auto, {' or '.join(has)}")
    return config


def set_up(config: RunConfig, device: torch.device) -> None:
    """Let convolutions of a GPU choose their kernels by trial, and take TF32 only where it was asked for."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = config.precision != "float32"
