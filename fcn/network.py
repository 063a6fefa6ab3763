"""FCN-32s, 16s and 8s: network, banded pooling, initial weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fcn.errors import FcnError
from fcn.preprocessing import MEAN_BGR

ROWS = 32  # of the last convolution per band, even


def pooled(x: Tensor, layers: Sequence[nn.Conv2d]) -> Tensor:
    """Apply convolutions with ReLU and a 2x2 max-pool, without gradients.

    The convolutions have stride 1, and the pool rounds sizes up.

    Computed in bands of rows, whose maps stay in a CPU's cache; whole maps of a large image go through memory.

    Args:
        x: (B, C, H, W).
        layers: 3x3 convolutions with a padding of 0 or 1.
    """
    height, width = (side + sum(2 * _padding(layer) - 2 for layer in layers) for side in x.shape[-2:])
    shape = (x.shape[0], layers[-1].out_channels, -(-height // 2), -(-width // 2))
    # Allocated once: joining bands at the end would copy the whole map.
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for first in range(0, height, ROWS):
        # ROWS is even, so the pool's windows never straddle two bands.
        band = _rows(x, layers, first, min(first + ROWS, height))
        result[..., first // 2 : (first + ROWS) // 2, :] = functional.max_pool2d(band, 2, ceil_mode=True)
    return result


def _rows(x: Tensor, layers: Sequence[nn.Conv2d], first: int, last: int) -> Tensor:
    """Compute the rows `first` to `last` of the layers' output, from the input rows that they depend on."""
    if not layers:
        return x[..., first:last, :]
    *before, layer = layers
    padding = _padding(layer)
    height = x.shape[-2] + sum(2 * _padding(other) - 2 for other in before)
    # A 3x3 convolution needs one more row on either side, those beyond the map being its padding.
    top, bottom = first - padding, last - padding + 2
    begin, end = max(top, 0), min(bottom, height)
    rows = _rows(x, before, begin, end)
    if (begin, end) != (top, bottom):  # at the edge of the map: the layer's own padding
        rows = functional.pad(rows, (0, 0, begin - top, bottom - end))
    convolved = functional.conv2d(rows, layer.weight, layer.bias, padding=(0, padding))
    return functional.relu(convolved, inplace=True)


def _padding(layer: nn.Conv2d) -> int:
    padding = layer.padding[0]
    assert isinstance(padding, int)
    return padding


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
LARGE = 2**15  # pixels from which a map exceeds a CPU's cache
CONTEXT = 7  # side of fc6_cs's kernel, in cells of 32 pixels


@dataclass(frozen=True)
class FcnArchitecture:
    """Size and layers of a network.

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
    """Scores (B, channels, H, W) for images (B, 3, H, W): float32, BGR, less the mean.

    H and W from 32 up.
    """

    def __init__(self, architecture: FcnArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        padded = a.padding == "input"
        before = 3
        for stage, widths in enumerate(STAGES, 1):
            for layer, width in enumerate(map(a.scaled, widths), 1):
                padding = 0 if padded and (stage, layer) == (1, 1) else 1  # the image is padded before it
                self.add_module(f"conv{stage}_{layer}", nn.Conv2d(before, width, 3, padding=padding))
                before = width
        # "Fully connected" layers of VGG-16 as convolutions, so that an image of any size has a map of scores.
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
        """Compute the scores.

        Raises:
            FcnError: The image is smaller than 32x32.
        """
        height, width = image.shape[-2:]
        if min(height, width) < SMALLEST_IMAGE:
            raise FcnError(f"an image is {width}x{height}; expected at least {SMALLEST_IMAGE}x{SMALLEST_IMAGE} pixels")
        padded = self.architecture.padding == "input"
        fine = {}
        x = functional.pad(image, (INPUT_PADDING,) * 4) if padded else image
        for stage in range(1, len(STAGES) + 1):
            x = self._stage(x, stage)
            if any(pool == stage for _, _, pool in self.skips):
                fine[stage] = x
        x = functional.relu(self.fc6_cs(x), inplace=True)
        x = functional.relu(self.fc7_cs(x), inplace=True)
        x = self.score_fr(x)
        # Scores of several strides are aligned by the centres of their cells. With a padded input, the first
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

    def _stage(self, x: Tensor, stage: int) -> Tensor:
        """Apply a stage's convolutions, each with a ReLU, and its pool, which rounds up as Caffe's do."""
        layers = [self.get_submodule(f"conv{stage}_{layer}") for layer in range(1, len(STAGES[stage - 1]) + 1)]
        plain = [layer for layer in layers if isinstance(layer, nn.Conv2d)]  # without the batch norm of a training
        large = x.device.type == "cpu" and x.shape[-2] * x.shape[-1] > LARGE
        if large and len(plain) == len(layers) and not torch.is_grad_enabled():
            return pooled(x, plain)
        for layer in layers:
            x = functional.relu(layer(x), inplace=True)
        return functional.max_pool2d(x, 2, ceil_mode=True)


def _deconvolution(a: FcnArchitecture, stride: int) -> nn.ConvTranspose2d:
    padding = stride // 2 if a.padding == "layers" else 0
    return nn.ConvTranspose2d(a.channels, a.channels, 2 * stride, stride=stride, padding=padding, bias=False)


def _crop(x: Tensor, offset: int, reference: Tensor) -> Tensor:
    """Crop x from an offset to the height and width of the reference."""
    height, width = reference.shape[-2:]
    if (offset, height, width) == (0, *x.shape[-2:]):
        return x  # a slice of all would cost its gradient a copy
    return x[..., offset : offset + height, offset : offset + width]


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB in 0..1, of torchvision's weights


def draw_weights(network: FCN, generator: torch.Generator) -> None:
    """He's initialisation (He et al., 2015); deconvolutions begin as bilinear enlargement."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(_bias(layer))
            elif isinstance(layer, nn.ConvTranspose2d):
                layer.weight.copy_(_bilinear(layer))


def vgg16_layers() -> dict[str, str]:
    """Map the layers of torchvision's VGG-16 to ours, by name."""
    names = {}
    index = 0
    for stage, widths in enumerate(STAGES, 1):
        for layer in range(1, len(widths) + 1):
            names[f"features.{index}"] = f"conv{stage}_{layer}"
            index += 2  # the layer and its ReLU
        index += 1  # the pool
    return names | {"classifier.0": "fc6_cs", "classifier.3": "fc7_cs"}


def take_vgg16(network: FCN, weights: Mapping[str, Tensor]) -> None:
    """Load torchvision's `vgg16` weights into all layers but the scores.

    torchvision's network expects normalised RGB in 0..1; ours BGR in 0..255 minus a mean. The first layer is rewritten
    so that both compute the same.

    Raises:
        FcnError: An entry is missing or misshaped, as in another network or at another width.
    """
    own = network.state_dict()
    with torch.no_grad():
        for theirs, ours in vgg16_layers().items():
            for part in ("weight", "bias"):
                target = own[f"{ours}.{part}"]
                value = weights.get(f"{theirs}.{part}")
                # Fully connected layers are matrices there, of the same values in the same order.
                if value is None or value.shape not in (target.shape, (len(target), target[0].numel())):
                    found = "nothing" if value is None else f"shape {tuple(value.shape)}"
                    raise FcnError(
                        f"VGG-16 weights: found {found} at {theirs}.{part}, expected {tuple(target.shape)} for {ours}; "
                        "take torchvision's vgg16 and a width of 1"
                    )
                target.copy_(value.reshape(target.shape))
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        weight, bias = own["conv1_1.weight"], own["conv1_1.bias"]
        # With y = (x / 255 - mean) / std the first layer gives w y + b, which is w / (255 std) applied to x plus a
        # constant. Ours sees x minus another mean, so the bias takes up the difference.
        weight /= 255 * std[None, :, None, None]
        bias += (weight * (torch.tensor(MEAN_BGR).flip(0) - 255 * mean)[None, :, None, None]).sum((1, 2, 3))
        # The channels last, as torchvision's are RGB and ours BGR.
        weight.copy_(weight.flip(1))


def with_batch_norm(network: FCN) -> None:
    """Follow each convolution that has a ReLU by batch norm."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Conv2d) and not name.startswith("score"):
            setattr(network, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))


def folded(network: FCN) -> FCN:
    """Fold batch norms into a copy of plain convolutions.

    Its scores are those of the network in `eval` mode.
    """
    # A copy, since training continues with the batch norms.
    plain = FCN(network.architecture).to(network.score_fr.weight.device)
    own = plain.state_dict()
    training = network.training
    network.eval()  # only so can layers be fused
    for name, layer in network.named_children():
        if isinstance(layer, nn.Sequential):
            conv, norm = layer
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            layer = fuse_conv_bn_eval(conv, norm)
        for part, value in layer.state_dict().items():
            own[f"{name}.{part}"].copy_(value)
    network.train(training)
    return plain.eval()


def _bilinear(layer: nn.ConvTranspose2d) -> Tensor:
    """Weights (channels, channels, k, k) of the deconvolution that enlarges each channel bilinearly."""
    side = layer.kernel_size[0]
    ramp = 1 - (torch.arange(side) - (side - 1) / 2).abs() / math.ceil(side / 2)
    return torch.eye(layer.in_channels)[..., None, None] * (ramp[:, None] * ramp)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
