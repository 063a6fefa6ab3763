"""Initial weights as in the paper and the released code."""

from __future__ import annotations

import torch
from torch import nn

Convolution = (nn.Conv2d, nn.ConvTranspose2d)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw a network's weights: convolutions N(0, 0.02), BN scales N(1, 0.02), all biases and shifts 0.

    Sources: paper section 6.2 (weights); the released code (biases, scales and shifts).
    """
    for module in network.modules():
        if isinstance(module, Convolution):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def zero_convolution_biases(network: nn.Module) -> None:
    """Set every convolution's bias to 0, which the released code does before every step."""
    for module in network.modules():
        if isinstance(module, Convolution) and module.bias is not None:
            module.bias.zero_()
