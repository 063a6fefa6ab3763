"""PatchGAN discriminators, and initial weights of all networks."""

from __future__ import annotations

import torch
from torch import nn

from p2pbench.config import STRIDED_LAYERS, ReceptiveField

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw a network's initial weights.

    Convolutions N(0, 0.02), BN scales N(1, 0.02), all biases and shifts 0.

    Sources: paper section 6.2 (weights); the released code (biases, scales and shifts).
    """
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def zero_convolution_biases(network: nn.Module) -> None:
    """Set every convolution's bias to 0.

    The released code does so before every step.
    """
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS) and module.bias is not None:
            module.bias.zero_()


def patch_gan(channels: int, *, receptive_field: ReceptiveField, ndf: int) -> nn.Sequential:
    """Build a PatchGAN from pictures to logits (B, 1, h, w).

    Pictures are (B, channels, H, W) in [-1, 1]; there is one logit per patch.

    The sigmoid is left to the loss. A conditional discriminator sees input and output stacked, input first; an
    unconditional one the output alone. All strides but the last two are 2, as in the released code, which gives the
    receptive fields their names; the 1x1 network has 1x1 filters and no stride.
    """
    if receptive_field == 1:
        return nn.Sequential(
            nn.Conv2d(channels, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1),
            nn.BatchNorm2d(2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1),
        )
    strided = STRIDED_LAYERS[receptive_field]
    layers: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    width = ndf
    for layer in range(1, strided + 1):
        # Widths double up to 8 x ndf; the first convolution has no batch normalisation, as in the paper (section 6.1).
        in_channels, width = width, ndf * min(2**layer, 8)
        stride = 2 if layer < strided else 1
        layers += [nn.Conv2d(in_channels, width, 4, stride, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
