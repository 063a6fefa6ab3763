"""FCN-8s as it was trained on Cityscapes for the FCN-score; coarser and finer ones fall out of the same code.

Layers bear the names of the published Caffe network, so that its weights fall into place: VGG-16 with a padding of 100
and pools that round up, fully connected layers as convolutions, and learned dense deconvolutions that bring the scores
back to the size of the image. Sources: docs/paper-protocol.md#network-file; Long, Shelhamer and Darrell, Fully
Convolutional Networks for Semantic Segmentation, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fcn import bands
from fcn.errors import FcnError

SMALLEST_IMAGE = 32
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
STRIDES = (32, 16, 8, 4, 2)
# Each deconvolution by 2, the scores that are added to what it gives, and the pool that those come from.
SKIPS = (
    ("upscore2", "score_pool4", 4),
    ("upscore_pool4", "score_pool3", 3),
    ("upscore_pool3", "score_pool2", 2),
    ("upscore_pool2", "score_pool1", 1),
)
INPUT_PADDING = 100
LARGE = 2**15  # pixels from which a map goes through memory rather than a CPU's cache
CONTEXT = 7  # side of fc6_cs's kernel, in cells of 32 pixels


@dataclass(frozen=True)
class Architecture:
    """What a network is built from.

    Attributes:
        channels: Score channels; the published network has 20 for 19 classes.
        width: Share of the published network's channels in the layers conv1_1 to conv5_3, above 0.
        hidden: Channels of fc6_cs and fc7_cs.
        stride: Of the finest scores, 8 for FCN-8s; 16 and 32 leave out skips, 4 and 2 add finer ones.
        padding: "input" pads the image by 100 pixels on each side, as published. "layers" pads every layer by half its
            kernel, which spares a small image of 64x64 nine tenths of the work.
    """

    channels: int
    width: float = 1.0
    hidden: int = 4096
    stride: Literal[2, 4, 8, 16, 32] = 8
    padding: Literal["input", "layers"] = "input"

    def scaled(self, channels: int) -> int:
        """A layer's channels at this width."""
        return max(1, round(channels * self.width))


class FCN(nn.Module):
    """Scores (B, channels, H, W) for images (B, 3, H, W): float32, BGR, less the mean; H and W from 32 up."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        padded = a.padding == "input"
        before = 3
        for number, stage in enumerate(STAGES, 1):
            for place, width in enumerate(map(a.scaled, stage), 1):
                padding = 0 if padded and (number, place) == (1, 1) else 1  # the image is padded before it
                self.add_module(f"conv{number}_{place}", nn.Conv2d(before, width, 3, padding=padding))
                before = width
        self.fc6_cs = nn.Conv2d(before, a.hidden, CONTEXT, padding=0 if padded else CONTEXT // 2)
        self.fc7_cs = nn.Conv2d(a.hidden, a.hidden, 1)
        self.score_fr = nn.Conv2d(a.hidden, a.channels, 1)
        self.skips = SKIPS[: STRIDES.index(a.stride)]
        for upscore, score, pool in self.skips:
            self.add_module(upscore, _deconvolution(a, 2))
            self.add_module(score, nn.Conv2d(a.scaled(STAGES[pool - 1][-1]), a.channels, 1))
        self.add_module(self._last, _deconvolution(a, a.stride))

    @property
    def _last(self) -> str:
        """The deconvolution to the size of the image."""
        return f"upscore{self.architecture.stride}" if self.architecture.stride > 2 else "upscore_pool1"

    def forward(self, image: Tensor) -> Tensor:
        """The scores.

        Raises:
            FcnError: The image is smaller than 32x32.
        """
        height, width = image.shape[-2:]
        if min(height, width) < SMALLEST_IMAGE:
            raise FcnError(f"an image is {width}x{height}; expected at least {SMALLEST_IMAGE}x{SMALLEST_IMAGE} pixels")
        padded = self.architecture.padding == "input"
        fine = {}
        x = functional.pad(image, (INPUT_PADDING,) * 4) if padded else image
        for number in range(1, len(STAGES) + 1):
            x = self._stage(x, number)
            if any(pool == number for _, _, pool in self.skips):
                fine[number] = x
        x = functional.relu(self.fc6_cs(x), inplace=True)
        x = functional.relu(self.fc7_cs(x), inplace=True)
        x = self.score_fr(x)
        # Scores of several strides lie over each other by the centres of their cells. With a padded input, the first
        # cell of fc6 lies 3 cells inside pool5, hence 5, 9, 17, ... inside the finer pools, whose scores are cropped.
        # Padded layers all begin where the image does, and a deconvolution may reach beyond a pool that was rounded up.
        inside = CONTEXT // 2
        for upscore, score, pool in self.skips:
            inside = 2 * inside - 1
            x, scores = self.get_submodule(upscore)(x), self.get_submodule(score)(fine[pool])
            x = x + _crop(scores, inside, x) if padded else _crop(x, 0, scores) + scores
        stride = self.architecture.stride
        x = self.get_submodule(self._last)(x)
        begin = stride // 2 - stride * inside + INPUT_PADDING - 1 if padded else 0  # 31 for FCN-8s
        return _crop(x, begin, image)

    def _stage(self, x: Tensor, number: int) -> Tensor:
        """A stage's convolutions, each with a ReLU, and its pool, which rounds up as Caffe's do."""
        layers = [self.get_submodule(f"conv{number}_{place}") for place in range(1, len(STAGES[number - 1]) + 1)]
        plain = [layer for layer in layers if isinstance(layer, nn.Conv2d)]  # without the batch norm of a training
        large = x.device.type == "cpu" and x.shape[-2] * x.shape[-1] > LARGE
        if large and len(plain) == len(layers) and not torch.is_grad_enabled():
            return bands.pooled(x, plain)
        for layer in layers:
            x = functional.relu(layer(x), inplace=True)
        return functional.max_pool2d(x, 2, ceil_mode=True)


def _deconvolution(a: Architecture, stride: int) -> nn.ConvTranspose2d:
    padding = stride // 2 if a.padding == "layers" else 0
    return nn.ConvTranspose2d(a.channels, a.channels, 2 * stride, stride=stride, padding=padding, bias=False)


def _crop(x: Tensor, offset: int, reference: Tensor) -> Tensor:
    """The part of x that begins at an offset and has the height and width of the reference."""
    height, width = reference.shape[-2:]
    if (offset, height, width) == (0, *x.shape[-2:]):
        return x  # a slice of all would cost its gradient a copy
    return x[..., offset : offset + height, offset : offset + width]
