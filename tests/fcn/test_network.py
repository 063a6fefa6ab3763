"""The network: the published sizes, any size, where scores lie, and the same scores as an independent Caffe reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fcn.errors import FcnError
from fcn.network import FCN, STRIDES, FcnArchitecture
from tests.fcn import caffe

NARROW = FcnArchitecture(channels=5, width=1 / 32, hidden=64)
PADDINGS = ("input", "layers")


def meta(architecture: FcnArchitecture) -> FCN:
    """Shapes without values: neither memory nor time."""
    with torch.device("meta"):
        return FCN(architecture)


def photo(height: int, width: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, height, width), generator=random).float() - 76


def test_the_published_parameters() -> None:
    assert sum(value.numel() for value in meta(FcnArchitecture(channels=20)).parameters()) == 134_473_084


def test_the_published_sizes() -> None:
    # docs/paper-protocol.md#network-file; a pool has the size that the next layer is given
    outputs = {
        "conv1_1": (1222, 2246),
        "conv1_2": (1222, 2246),
        "conv2_2": (611, 1123),
        "conv3_3": (306, 562),
        "conv4_3": (153, 281),
        "conv5_3": (77, 141),
        "fc6_cs": (33, 65),
        "fc7_cs": (33, 65),
        "score_fr": (33, 65),
        "upscore2": (68, 132),
        "upscore_pool4": (138, 266),
        "upscore8": (1112, 2136),
    }
    inputs = {
        "conv2_1": (611, 1123),
        "conv3_1": (306, 562),
        "conv4_1": (153, 281),
        "score_pool3": (153, 281),
        "conv5_1": (77, 141),
        "score_pool4": (77, 141),
        "fc6_cs": (39, 71),
        "upscore2": (33, 65),
        "upscore_pool4": (68, 132),
        "upscore8": (138, 266),
    }
    network = meta(FcnArchitecture(channels=20))
    seen: dict[str, tuple[torch.Size, torch.Size]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        return lambda _, given, made: seen.update({name: (given[0].shape[-2:], made.shape[-2:])})

    for name, layer in network.named_children():
        layer.register_forward_hook(note(name))
    scores = network(torch.empty(1, 3, 1024, 2048, device="meta"))
    assert scores.shape == (1, 20, 1024, 2048)
    assert {name: seen[name][1] for name in outputs} == outputs
    assert {name: seen[name][0] for name in inputs} == inputs


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", STRIDES)
def test_any_size_from_32_up(stride: int, padding: str) -> None:
    network = meta(FcnArchitecture(channels=3, width=1 / 32, hidden=8, stride=stride, padding=padding))  # type: ignore[arg-type]
    for height, width in ((32, 32), (33, 47), (63, 65), (64, 64), (97, 32), (250, 333), (255, 257)):
        assert network(torch.empty(2, 3, height, width, device="meta")).shape == (2, 3, height, width)


def test_a_smaller_image_is_refused() -> None:
    with pytest.raises(FcnError, match="40x31; expected at least 32x32"):
        FCN(NARROW)(torch.zeros(1, 3, 31, 40))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", STRIDES)
def test_scores_lie_over_their_pixels(stride: int, padding: str) -> None:
    """A mirrored network gives a mirrored image the mirrored scores, where the borders on both sides are the same."""
    network = caffe.random_network(FcnArchitecture(5, 1 / 32, 64, stride, padding))  # type: ignore[arg-type]
    mirrored = caffe.random_network(network.architecture)
    mirrored.load_state_dict(
        {name: value.flip(2, 3) if value.ndim == 4 else value for name, value in network.state_dict().items()}
    )
    # 26 more than a multiple of 32: with a padding of 100 no pool rounds
    image = photo(250, 282) if padding == "input" else photo(128, 96)
    with torch.inference_mode():
        scores, expected = network(image), mirrored(image.flip(2, 3)).flip(2, 3)
    assert (scores - expected).abs().max() < 1e-4 * scores.std()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", STRIDES)
def test_a_shifted_image_has_shifted_scores(stride: int, padding: str) -> None:
    network = caffe.random_network(FcnArchitecture(5, 1 / 32, 64, stride, padding))  # type: ignore[arg-type]
    image, by, border = photo(608, 576), 32, 224  # beyond the border, no pixel sees the image's edge
    with torch.inference_mode():
        scores, shifted = network(image)[..., by:, by:], network(image[..., by:, by:])
    inner = slice(border, -border)
    difference = scores[..., inner, inner] - shifted[..., inner, inner]
    assert difference.numel() > 0
    assert difference.abs().max() < 1e-4 * scores.std()


@pytest.mark.parametrize("legacy", [False, True], ids=["layer", "layers"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (250, 333), (256, 512)])
def test_the_same_scores_as_an_independent_reader(height: int, width: int, legacy: bool, tmp_path: Path) -> None:
    network = caffe.random_network(FcnArchitecture(channels=20, width=1 / 16, hidden=256))
    (tmp_path / "net.caffemodel").write_bytes(caffe.encode(caffe.layers(network), legacy))
    (tmp_path / "net.prototxt").write_text(caffe.prototxt(network.architecture, height, width))
    reader = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    image = photo(height, width)
    reader.setInput(image.numpy())
    with torch.inference_mode():
        ours, theirs = network(image).numpy(), reader.forward()
    assert len(np.unique(ours.argmax(1))) == 20  # no channel that is always beaten
    assert np.abs(ours - theirs).max() < 1e-3 * ours.std()
    differing = ours.argmax(1) != theirs.argmax(1)
    assert differing.sum() <= max(1, 1e-4 * differing.size)  # of 64x64 pixels, one whose two best are equal may differ
    second, best = np.sort(ours, axis=1)[:, -2:].transpose(1, 0, 2, 3)
    assert (best - second)[differing].max(initial=0) < 1e-4 * ours.std()
