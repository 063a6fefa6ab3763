"""Generators of the paper: U-Net and encoder-decoder.

Both use batch statistics at test time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

BatchNormMode = Literal["batch", "running"]
WIDEST = 8  # in multiples of ngf: C512 with ngf = 64
DROPOUT_BLOCKS = (0, 1, 2)  # counted from the bottleneck
HALVING = (4, 2, 1)  # kernel, stride and padding of all convolutions
MOST_POSITIONS = 4  # of an input that is multiplied as one matrix; beyond it the library's kernels are faster


class BottleneckNorm(nn.BatchNorm2d):
    """Batch normalisation that accepts one value per channel.

    As at a 1x1 bottleneck with batch 1.

    The mean of one value is the value itself, so it is zeroed: what happened in all of the paper's batch-1 runs
    (docs/paper-protocol.md#editions). PyTorch refuses such a batch; this gives the shift alone, and a zero gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            # Not zeros: written so, the graph gives the weight and x their zero gradients.
            return (x - x) * self.weight[:, None, None] + self.bias[:, None, None]
        return super().forward(x)


@contextmanager
def test_mode(network: nn.Module, *, dropout: bool, batch_norm: BatchNormMode) -> Iterator[None]:
    """Set a network's dropout and batch normalisation separately for testing.

    Restored at the end.

    `.eval()` switches both together, and the paper tests with both as in training
    (docs/paper-protocol.md#training): dropout is the generator's only noise and batch normalisation takes the test
    batch's statistics. Running statistics are at most read, never changed.
    """
    was_training = {module: module.training for module in network.modules()}
    momenta = {module: module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train(dropout)
        elif isinstance(module, nn.BatchNorm2d):
            module.train(batch_norm == "batch")
            module.momentum = 0.0  # leaves the running statistics as they are
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training
        for norm, momentum in momenta.items():
            norm.momentum = momentum


def depth_for(image_size: int) -> int:
    """Number of layers from an image to a 1x1 bottleneck.

    The size is a power of two.
    """
    return int(math.log2(image_size))


class UpConvolution(nn.ConvTranspose2d):
    """Transposed 4x4 convolution of stride 2 that doubles the sides.

    Near the bottleneck there are many weights and few positions. There, on a CPU, it is one matrix product over the
    weights as they lie in memory: the library's kernels reorder them first, which takes longer than the product. The
    sums are the same, in another order.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, *HALVING)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map x (B, in_channels, H, W) to (B, out_channels, 2 H, 2 W)."""
        batch, channels, height, width = x.shape
        if x.device.type != "cpu" or height * width > MOST_POSITIONS:
            return super().forward(x)
        assert self.bias is not None
        # A transposed convolution is a matrix product per position, whose 4x4 results are then added where they
        # overlap.
        positions = x.flatten(2).transpose(1, 2).reshape(-1, channels)
        shares = (positions @ self.weight.flatten(1)).view(batch, height * width, -1).transpose(1, 2)
        # fold returns a contiguous tensor, which matters: batch norm's backward pass on a CPU misreads other layouts.
        return functional.fold(shares, (2 * height, 2 * width), 4, padding=1, stride=2) + self.bias[:, None, None]


class GeneratorArchitecture(BaseModel):
    """Layers of a generator; part of its card.

    Attributes:
        input_channels: Channels of the input picture.
        output_channels: Channels of the output picture.
        depth: Number of layers on either side; 8 for 256x256.
        ngf: Width of the first layer; each next one doubles, up to 8 x ngf.
        skips: True for the U-Net, False for the encoder-decoder.
        bottleneck_norm: Batch normalisation at the bottleneck.
        dropout_blocks: Decoder blocks with dropout 0.5, counted from the bottleneck.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_channels: int
    output_channels: int
    depth: int
    ngf: int
    skips: bool
    bottleneck_norm: bool
    dropout_blocks: tuple[int, ...]


class Generator(nn.Module):
    """Image-to-image network: encoder and decoder, with or without skips.

    Pictures have values in [-1, 1] and sides that are multiples of 2**depth. The encoder's first layer has no BN; the
    bottleneck has none either unless `bottleneck_norm` (the paper's batch-1 runs had it, the released code dropped it).
    Skips concatenate (decoder, encoder), in that order.
    """

    def __init__(self, architecture: GeneratorArchitecture) -> None:
        super().__init__()
        depth, skips = architecture.depth, architecture.skips
        self.depth = depth
        self.skips = skips
        widths = [architecture.ngf * min(2**layer, WIDEST) for layer in range(depth)]

        self.encoder = nn.ModuleList([nn.Conv2d(architecture.input_channels, widths[0], *HALVING)])
        for layer in range(1, depth):
            block = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(widths[layer - 1], widths[layer], *HALVING))
            # The innermost layer is the bottleneck.
            if layer < depth - 1:
                block.append(nn.BatchNorm2d(widths[layer]))
            elif architecture.bottleneck_norm:
                block.append(BottleneckNorm(widths[layer]))
            self.encoder.append(block)

        self.decoder = nn.ModuleList()
        for index in range(depth):
            layer = depth - 1 - index  # the encoder layer whose size this block enlarges
            in_channels = widths[layer] * (2 if skips and index > 0 else 1)
            out_channels = widths[layer - 1] if layer > 0 else architecture.output_channels
            block = nn.Sequential(nn.ReLU(), UpConvolution(in_channels, out_channels))
            if layer == 0:
                block.append(nn.Tanh())
            else:
                block.append(nn.BatchNorm2d(out_channels))
                if index in architecture.dropout_blocks:
                    block.append(nn.Dropout(0.5))
            self.decoder.append(block)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to outputs (B, channels, H, W), both in [-1, 1]."""
        encoded = []
        for layer in self.encoder:
            x = layer(x)
            encoded.append(x)
        for index, block in enumerate(self.decoder):
            if self.skips and index > 0:
                # The encoder's outputs in reverse; the first decoder block gets the bottleneck alone.
                x = torch.cat([x, encoded[-1 - index]], dim=1)
            x = block(x)
        return x
