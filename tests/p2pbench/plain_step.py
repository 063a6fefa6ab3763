"""The training step of pix2pix, written plainly with the library's layers.

Sources: docs/paper-protocol.md#networks and docs/paper-protocol.md#training. It shares no line with p2pbench: layers
are the library's, gradients autograd's, and Adam is its formula. It is made to be read, not to be quick;
test_plain_step.py holds the product to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d


def layers(network: nn.Module) -> list[Layer]:
    """Layers with weights in the order of the data: all convolutions, then all batch norms."""
    modules = list(network.modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return [*convolutions, *(m for m in modules if isinstance(m, nn.BatchNorm2d))]


def parameters(network: nn.Module) -> list[Tensor]:
    """Weight and bias of each of `layers`."""
    return [parameter for layer in layers(network) for parameter in (layer.weight, layer.bias) if parameter is not None]


def widths(first: int, count: int) -> list[int]:
    """Channels of `count` layers: doubled from layer to layer, up to eight times the first."""
    return [first * min(2**i, 8) for i in range(count)]


class PlainGenerator(nn.Module):
    """The U-Net, or without skips the encoder-decoder, for squares of 2**depth pixels."""

    def __init__(
        self, input_channels: int, output_channels: int, *, depth: int, ngf: int, skips: bool, bottleneck_norm: bool
    ) -> None:
        super().__init__()
        self.skips = skips
        down = widths(ngf, depth)
        up = [*reversed(down[:-1]), output_channels]
        into_up = [down[-1], *((2 if skips else 1) * width for width in up[:-1])]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise([input_channels, *down]))
        self.down_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in down[1 : depth - (not bottleneck_norm)])
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(into_up, up, strict=True))
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in up[:-1])

    def normed(self) -> list[nn.Module]:
        """Convolutions with batch norm behind them, in which their biases vanish."""
        return [*self.down[1 : 1 + len(self.down_norms)], *self.up[:-1]]

    def forward(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Return the output; `masks` of 0 and 2 multiply the first decoder blocks."""
        encoded = [self.down[0](x)]
        for i, convolution in enumerate(self.down[1:]):
            x = convolution(functional.leaky_relu(encoded[-1], 0.2))
            encoded.append(normalised(x, self.down_norms[i]) if i < len(self.down_norms) else x)
        x = self.up[0](encoded.pop().relu())
        for i, convolution in enumerate(self.up[1:]):
            x = self.up_norms[i](x)
            x = x * masks[i] if i < len(masks) else x
            x = torch.cat([x, encoded.pop()], 1) if self.skips else x
            x = convolution(x.relu())
        return x.tanh()


def normalised(x: Tensor, norm: nn.Module) -> Tensor:
    """Batch norm, also of one value per channel, which the library refuses: its mean is itself, so 0 is left of it."""
    if x[:, 0].numel() > 1:
        return norm(x)  # type: ignore[no-any-return]
    centred = x - x.mean((0, 2, 3), keepdim=True)
    return centred * norm.weight[:, None, None] + norm.bias[:, None, None]  # type: ignore[index]


class PlainDiscriminator(nn.Module):
    """The discriminator of patches of 1, 16, 34, 70, 142 or 286 pixels."""

    def __init__(self, channels: int, *, receptive_field: int, ndf: int) -> None:
        super().__init__()
        if receptive_field == 1:
            outgoing, strides, kernel, pad = [ndf, 2 * ndf, 1], [1, 1, 1], 1, 0
        else:
            strided = [16, 34, 70, 142, 286].index(receptive_field) + 1
            outgoing, strides, kernel, pad = [*widths(ndf, strided + 1), 1], [2] * strided + [1, 1], 4, 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, kernel, stride, pad)
            for (a, b), stride in zip(pairwise([channels, *outgoing]), strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in outgoing[1:-1])

    def normed(self) -> list[nn.Module]:
        """Convolutions with batch norm behind them, in which their biases vanish."""
        return list(self.convolutions[1:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the patches."""
        x = functional.leaky_relu(self.convolutions[0](x), 0.2)
        for convolution, norm in zip(self.convolutions[1:-1], self.norms, strict=True):
            x = functional.leaky_relu(norm(convolution(x)), 0.2)
        return self.convolutions[-1](x)  # type: ignore[no-any-return]


class PlainAdam:
    """Adam as algorithm 1 of its paper (Kingma and Ba 2015) writes it."""

    def __init__(self, network: nn.Module, *, rate: float, beta1: float, beta2: float) -> None:
        self.rate, self.beta1, self.beta2, self.steps = rate, beta1, beta2, 0
        self.parameters = parameters(network)
        self.gradients: Sequence[Tensor] = []
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]

    def descend(self, loss: Tensor) -> None:
        """Make one update against the gradients of `loss`."""
        self.steps += 1
        self.gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for i, (parameter, gradient) in enumerate(zip(self.parameters, self.gradients, strict=True)):
                self.first[i] = self.beta1 * self.first[i] + (1 - self.beta1) * gradient
                self.second[i] = self.beta2 * self.second[i] + (1 - self.beta2) * gradient**2
                mean = self.first[i] / (1 - self.beta1**self.steps)
                square = self.second[i] / (1 - self.beta2**self.steps)
                parameter -= self.rate * mean / (square.sqrt() + 1e-8)


def cross_entropy(logits: Tensor, answer: float) -> Tensor:
    """Mean over all patches of -answer log D - (1 - answer) log(1 - D), where D is the sigmoid."""
    real = logits.sigmoid()
    return -(answer * real.log() + (1 - answer) * (1 - real).log()).mean()


def plain_step(
    generator: PlainGenerator,
    discriminator: PlainDiscriminator | None,
    generator_adam: PlainAdam,
    discriminator_adam: PlainAdam | None,
    x: Tensor,
    y: Tensor,
    masks: Sequence[Tensor],
    *,
    conditional: bool,
    lambda_l1: float,
    lambda_l2: float,
    before_update: bool,
    halve: bool,
    zero_bias: bool,
) -> dict[str, Tensor]:
    """Update the discriminator, then the generator; return the output and each loss before its weight."""

    def discriminate(picture: Tensor) -> Tensor:
        assert discriminator is not None
        return discriminator(torch.cat([x, picture], 1) if conditional else picture)  # type: ignore[no-any-return]

    for network in (generator, discriminator):
        if zero_bias and network is not None:
            for layer in layers(network):
                if not isinstance(layer, nn.BatchNorm2d):
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    output = generator(x, masks)
    values = {"output": output, "G_L1": (output - y).abs().mean(), "G_L2": ((output - y) ** 2).mean()}
    loss = lambda_l1 * values["G_L1"] + lambda_l2 * values["G_L2"]
    if discriminator_adam is not None:
        values["D_real"] = cross_entropy(discriminate(y), 1)
        values["D_fake"] = cross_entropy(discriminate(output.detach()), 0)
        values["G_GAN"] = cross_entropy(discriminate(output), 1)
        (gradient,) = torch.autograd.grad(values["G_GAN"], output, retain_graph=True)
        discriminator_adam.descend((values["D_real"] + values["D_fake"]) * (0.5 if halve else 1))
        if before_update:
            loss = loss + (gradient * output).sum()
        else:
            values["G_GAN"] = cross_entropy(discriminate(output), 1)
            loss = loss + values["G_GAN"]
    generator_adam.descend(loss)
    return {name: value.detach() for name, value in values.items()}
