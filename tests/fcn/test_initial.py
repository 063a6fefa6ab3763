"""First weights: drawn ones, torchvision's VGG-16 by its own names, and batch norm folded away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import vgg16
from torchvision.models.vgg import make_layers
from torchvision.transforms.functional import normalize

from fcn.errors import FcnError
from fcn.network import (
    FCN,
    STAGES,
    STRIDES,
    FcnArchitecture,
    draw_weights,
    folded,
    take_vgg16,
    vgg16_layers,
    with_batch_norm,
)
from fcn.preprocessing import to_tensor

NARROW = FcnArchitecture(channels=5, width=1 / 32, hidden=8, padding="layers")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, height: int = 64, width: int = 96, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), generator=random(seed)).float() - 76


@pytest.fixture
def network() -> FCN:
    network = FCN(NARROW)
    draw_weights(network, random())
    return network


@pytest.fixture
def trained(network: FCN) -> FCN:
    """A network with batch norm after some steps, in training mode."""
    with_batch_norm(network)
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for step in range(10):
        labels = torch.randint(0, 5, (2, 64, 96), generator=random(step))
        optimiser.zero_grad()
        functional.cross_entropy(network(images(2, seed=step)), labels).backward()
        optimiser.step()
    return network


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_folded_network_gives_the_same_scores(trained: FCN) -> None:
    state = trained.state_dict()
    variances = [value for name, value in state.items() if name.endswith("running_var")]
    assert len(variances) == 15
    assert all((value - 1).abs().max() > 0.01 for value in variances)
    assert all(value.abs().max() > 0 for name, value in state.items() if name.endswith(("running_mean", "1.bias")))
    plain = folded(trained)
    assert not plain.training
    assert plain.state_dict().keys() == FCN(NARROW).state_dict().keys()
    photos = images(3, seed=99).double()  # so that processors, which round differently in float32, agree
    with torch.inference_mode():
        expected, found = trained.eval().double()(photos), plain.double()(photos)
    assert expected.std() > 0.01
    assert (found - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize("training", [True, False])
def test_folding_leaves_the_network_as_it_is(training: bool, trained: FCN) -> None:
    trained.train(training)
    before = copied(trained)
    plain = folded(trained)
    with torch.no_grad():
        for value in plain.parameters():
            value.zero_()
    assert all(value.equal(before[name]) for name, value in trained.state_dict().items())
    assert all(layer.training == training for layer in trained.modules())


def test_without_batch_norm_folding_copies(network: FCN) -> None:
    plain = folded(network).state_dict()
    assert all(value.equal(plain[name]) for name, value in network.state_dict().items())
    assert plain.keys() == network.state_dict().keys()


def test_batch_norm_follows_the_layers_that_have_a_relu(network: FCN) -> None:
    names = [name for name, _ in network.named_children()]
    with_batch_norm(network)
    assert [name for name, _ in network.named_children()] == names
    followed = [name for name, layer in network.named_children() if isinstance(layer, nn.Sequential)]
    assert followed == [name for name in names if name.startswith(("conv", "fc"))]


def theirs() -> dict[str, nn.Module]:
    """The layers of torchvision's VGG-16 that have weights, all but the last, which knows ImageNet's classes."""
    with torch.device("meta"):
        layers = dict(vgg16().named_modules())
    return {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer, nn.Conv2d | nn.Linear) and name != "classifier.6"
    }


def vgg16_weights(network: FCN, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under torchvision's names and in its shapes, as narrow as a network."""
    weights = {}
    ours = (layer for name, layer in network.named_children() if name.startswith(("conv", "fc")))
    for (name, their), our in zip(theirs().items(), ours, strict=True):
        assert isinstance(our, nn.Conv2d)
        fan_in = our.weight[0].numel()
        shape = (our.out_channels, fan_in) if isinstance(their, nn.Linear) else our.weight.shape
        weights[f"{name}.weight"] = torch.randn(shape, generator=random(seed + fan_in)) * (2 / fan_in) ** 0.5
        weights[f"{name}.bias"] = torch.randn(our.out_channels, generator=random(seed + fan_in + 1)) * 0.3
    return weights


def test_every_layer_of_torchvision_s_network_is_one_of_ours() -> None:
    names = vgg16_layers()
    assert list(names) == list(theirs())
    with torch.device("meta"):
        published = FCN(FcnArchitecture(channels=20))
    assert list(names.values()) == [name for name, _ in published.named_children() if name.startswith(("conv", "fc"))]
    for name, layer in theirs().items():
        ours = published.get_submodule(names[name])
        assert isinstance(ours, nn.Conv2d)
        shape = ours.weight.flatten(1).shape if isinstance(layer, nn.Linear) else ours.weight.shape
        assert layer.get_parameter("weight").shape == shape


def test_all_other_layers_are_copied_and_scores_stay(network: FCN) -> None:
    before, weights = copied(network), vgg16_weights(network)
    given = {name: value.clone() for name, value in weights.items()}
    take_vgg16(network, weights)
    assert all(value.equal(given[name]) for name, value in weights.items())
    after = network.state_dict()
    for their, our in vgg16_layers().items():
        for part in ("weight", "bias"):
            if our != "conv1_1":
                assert after[f"{our}.{part}"].flatten().equal(weights[f"{their}.{part}"].flatten())
    scores = [name for name in after if name.startswith(("score", "upscore"))]
    assert len(scores) == 9
    assert all(after[name].equal(before[name]) for name in scores)


def features(weights: dict[str, Tensor], architecture: FcnArchitecture) -> nn.Sequential:
    """Torchvision's convolutions, as narrow as an architecture."""
    layout: list[str | int] = []
    for stage in STAGES:
        layout += [*map(architecture.scaled, stage), "M"]
    stack: nn.Sequential = make_layers(layout)
    prefix = "features."
    stack.load_state_dict({name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)})
    return stack.eval()


def test_a_photo_prepared_our_way_gives_what_torchvision_s_gives(network: FCN) -> None:
    weights = vgg16_weights(network)
    take_vgg16(network, weights)
    photo = np.random.default_rng(0).integers(0, 256, (288, 288, 3), dtype=np.uint8)
    stack = features(weights, NARROW)
    prepared = normalize(
        torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    seen: list[Tensor] = []
    network.fc6_cs.register_forward_hook(lambda _, given, made: seen.append(given[0]))
    with torch.inference_mode():
        first, expected = network.get_submodule("conv1_1")(to_tensor(photo)), stack[0](prepared)
        network(to_tensor(photo))
        pools = stack(prepared)
    inner = slice(1, -1)  # at the border we pad with our mean, and they with theirs
    assert (first - expected)[..., inner, inner].abs().max() < 1e-4
    assert expected.std() > 0.1
    inner = slice(3, -3)  # of 9 cells of 32 pixels, those that see no border
    assert (seen[0] - pools)[..., inner, inner].abs().max() < 1e-4 * pools.std()
    assert pools[..., inner, inner].std() > 0.01


def test_fc6_is_torchvision_s_linear_layer() -> None:
    network = FCN(FcnArchitecture(channels=5, width=1 / 32, hidden=8))
    weights = vgg16_weights(network)
    take_vgg16(network, weights)
    pool = torch.randn((2, 16, 7, 7), generator=random())
    expected = functional.linear(pool.flatten(1), weights["classifier.0.weight"], weights["classifier.0.bias"])
    made = network.fc6_cs(pool)
    assert made.shape == (2, 8, 1, 1)
    assert (made.flatten(1) - expected).abs().max() < 1e-5


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor | None], str]] = {
    "features.0.weight": (lambda value: None, "found nothing at features.0.weight, expected (2, 3, 3, 3) for conv1_1"),
    "classifier.3.bias": (lambda value: None, "found nothing at classifier.3.bias, expected (8,) for fc7_cs"),
    "features.28.bias": (lambda value: value[1:], "found shape (15,) at features.28.bias, expected (16,) for conv5_3"),
    "classifier.0.weight": (lambda value: value[:, :-7], "found shape (8, 777) at classifier.0.weight"),
    "features.5.weight": (lambda value: value.transpose(0, 1), "found shape (2, 4, 3, 3) at features.5.weight"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_networks_are_refused(name: str, network: FCN) -> None:
    weights = vgg16_weights(network)
    change, said = CHANGES[name]
    changed = change(weights.pop(name))
    if changed is not None:
        weights[name] = changed
    with pytest.raises(FcnError) as caught:
        take_vgg16(network, weights)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_the_same_seed_draws_the_same_weights() -> None:
    networks = []
    for others, seed in enumerate((3, 3, 4)):
        torch.manual_seed(others)
        networks.append(FCN(NARROW))
        draw_weights(networks[-1], random(seed))
    first, second, other = (network.state_dict() for network in networks)
    assert all(value.equal(second[name]) for name, value in first.items())
    assert not first["conv3_2.weight"].equal(other["conv3_2.weight"])


def test_convolutions_keep_the_size_of_what_passes_through() -> None:
    network = FCN(FcnArchitecture(channels=5, width=1 / 4, hidden=64))
    draw_weights(network, random())
    large = 0
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            assert layer.bias.count_nonzero() == 0
            if layer.weight.numel() > 1000:
                large += 1
                expected = (2 / layer.weight[0].numel()) ** 0.5
                assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
    assert large > 10


@pytest.mark.parametrize("padding", ["input", "layers"])
@pytest.mark.parametrize("stride", STRIDES)
def test_deconvolutions_begin_as_bilinear_enlargement(stride: int, padding: str) -> None:
    network = FCN(FcnArchitecture(3, 1 / 64, 2, stride, padding))  # type: ignore[arg-type]
    draw_weights(network, random())
    layers = [layer for layer in network.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert len(layers) == STRIDES.index(stride) + 1
    scores = torch.randn((2, 3, 6, 7), generator=random())
    for layer in layers:
        by = layer.stride[0]
        expected = functional.interpolate(scores, scale_factor=by, mode="bilinear", align_corners=False)
        with torch.inference_mode():
            made, constant = layer(scores), layer(torch.full((1, 3, 6, 7), 2.5))
        if padding == "input":  # where nothing is cut off, the first cell's own pixels begin half a cell inside
            begin = by // 2
            made, constant = (x[..., begin : begin + 6 * by, begin : begin + 7 * by] for x in (made, constant))
        assert made.shape == expected.shape
        inner = slice(by, -by)
        assert (made - expected)[..., inner, inner].abs().max() < 1e-5
        assert (constant[..., inner, inner] - 2.5).abs().max() < 1e-5
