"""Weights to begin a training with: drawn, or ImageNet's VGG-16; and the batch norm that a training from scratch needs.

A network as deep as VGG-16 does not begin to learn from drawn weights alone. While it is trained its convolutions are
followed by batch norm, which is folded into them at the end: what comes out is the published architecture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fcn.errors import FcnError
from fcn.network import FCN, STAGES
from fcn.preprocessing import MEAN_BGR

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
    """Our layers by their names in torchvision's VGG-16."""
    names = {}
    place = 0
    for number, stage in enumerate(STAGES, 1):
        for index in range(1, len(stage) + 1):
            names[f"features.{place}"] = f"conv{number}_{index}"
            place += 2  # the layer and its ReLU
        place += 1  # the pool
    return names | {"classifier.0": "fc6_cs", "classifier.3": "fc7_cs"}


def take_vgg16(network: FCN, weights: Mapping[str, Tensor]) -> None:
    """Set all layers but the scores from a state dict of torchvision's `vgg16`; the scores stay as they are.

    torchvision's network sees RGB in 0..1, normalised; ours BGR in 0..255 less a mean. The first layer is rewritten so
    that both see the same.

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
        weight /= 255 * std[None, :, None, None]
        bias += (weight * (torch.tensor(MEAN_BGR).flip(0) - 255 * mean)[None, :, None, None]).sum((1, 2, 3))
        weight.copy_(weight.flip(1))


def with_batch_norm(network: FCN) -> None:
    """Follow each convolution that has a ReLU by batch norm."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Conv2d) and not name.startswith("score"):
            setattr(network, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))


def folded(network: FCN) -> FCN:
    """A network of plain convolutions that gives the same scores in `eval` mode; it shares no weights."""
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
    """The deconvolution (channels, channels, k, k) that enlarges each channel bilinearly."""
    side = layer.kernel_size[0]
    ramp = 1 - (torch.arange(side) - (side - 1) / 2).abs() / math.ceil(side / 2)
    return torch.eye(layer.in_channels)[..., None, None] * (ramp[:, None] * ramp)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
