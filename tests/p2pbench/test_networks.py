"""The networks against docs/paper-protocol.md#networks: parameters, sizes, receptive fields, initial weights."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from p2pbench.config import ReceptiveField, smallest_image
from p2pbench.networks.discriminator import (
    initialise,
    patch_gan,
    zero_convolution_biases,
)
from p2pbench.networks.generator import BottleneckNorm, UpConvolution
from p2pbench.networks.generator import test_mode as set_test_mode
from tests.p2pbench.generating import generator_of

RECEPTIVE_FIELDS = get_args(ReceptiveField)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.long
@pytest.mark.parametrize(
    ("skips", "bottleneck_norm", "expected"),
    [(True, False, 54_419_459), (True, True, 54_419_459 + 1_024), (False, False, 39_080_963)],
)
def test_generators_have_the_papers_parameters(skips: bool, bottleneck_norm: bool, expected: int) -> None:
    generator = generator_of(depth=8, ngf=64, skips=skips, bottleneck_norm=bottleneck_norm)
    assert parameters(generator) == expected


@pytest.mark.parametrize(
    ("receptive_field", "conditional", "unconditional", "side"),
    [
        (1, 9_153, 8_961, 256),
        (16, 139_713, 136_641, 126),
        (70, 2_769_601, 2_766_529, 30),
        (286, 11_161_281, 11_158_209, 6),
    ],
)
def test_discriminators_have_the_papers_parameters_and_sizes(
    receptive_field: ReceptiveField, conditional: int, unconditional: int, side: int
) -> None:
    discriminator = patch_gan(6, receptive_field=receptive_field, ndf=64)
    assert parameters(discriminator) == conditional
    assert parameters(patch_gan(3, receptive_field=receptive_field, ndf=64)) == unconditional
    with torch.inference_mode():
        assert discriminator(torch.zeros(1, 6, 256, 256)).shape == (1, 1, side, side)


@pytest.mark.parametrize("receptive_field", RECEPTIVE_FIELDS)
def test_receptive_field_is_what_its_name_says(receptive_field: ReceptiveField) -> None:
    """Measured: the pixels that move one value of the output, far from the border."""
    discriminator = patch_gan(1, receptive_field=receptive_field, ndf=2).eval()
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)  # nothing cancels, and no leaky ReLU hides a pixel
    picture = torch.rand(1, 1, 700, 700, dtype=torch.float64, requires_grad=True)
    output = discriminator.double()(picture)
    middle = output.shape[-1] // 2
    output[0, 0, middle, middle].backward()
    assert picture.grad is not None
    rows = picture.grad[0, 0].abs().sum(dim=1).nonzero()
    columns = picture.grad[0, 0].abs().sum(dim=0).nonzero()
    assert rows.max() - rows.min() + 1 == receptive_field
    assert columns.max() - columns.min() + 1 == receptive_field


@pytest.mark.parametrize("receptive_field", RECEPTIVE_FIELDS)
def test_smallest_image_gives_an_output_and_half_of_it_none(receptive_field: ReceptiveField) -> None:
    discriminator = patch_gan(3, receptive_field=receptive_field, ndf=2).eval()
    side = smallest_image(receptive_field)
    assert discriminator(torch.zeros(1, 3, side, side)).numel() >= 1
    if side > 1:
        with pytest.raises(RuntimeError):
            discriminator(torch.zeros(1, 3, side // 2, side // 2))


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("size", [32, 64, 128, 512])
def test_generators_of_any_depth_keep_the_size(size: int, skips: bool) -> None:
    depth = size.bit_length() - 1
    generator = generator_of(input_channels=5, output_channels=2, depth=depth, ngf=2, skips=skips)
    seen = []
    generator.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-2:]))
    output = generator(torch.zeros(1, 5, size, size))
    assert output.shape == (1, 2, size, size)
    assert output.abs().max() <= 1
    assert seen == [(1, 1)]


def test_skips_are_what_tells_the_generators_apart() -> None:
    """The U-Net's output depends on the input with a dead bottleneck; the encoder-decoder's does not."""
    x = torch.rand(2, 3, 32, 32)
    for skips in (True, False):
        generator = generator_of(depth=5, ngf=4, skips=skips).eval()
        nn.init.zeros_(generator.encoder[-1][1].weight)  # type: ignore[index]
        nn.init.zeros_(generator.encoder[-1][1].bias)  # type: ignore[index]
        outputs = generator(x)
        assert torch.equal(outputs[0], outputs[1]) is not skips


def test_first_layer_and_bottleneck_have_no_norm_and_dropout_is_in_the_first_three_decoder_blocks() -> None:
    generator = generator_of(depth=8, ngf=2, skips=True)

    def has(block: nn.Module, kind: type[nn.Module]) -> bool:
        return any(isinstance(module, kind) for module in block.modules())

    assert [has(block, nn.BatchNorm2d) for block in generator.encoder] == [False, *[True] * 6, False]
    assert [has(block, nn.BatchNorm2d) for block in generator.decoder] == [*[True] * 7, False]
    assert [has(block, nn.Dropout) for block in generator.decoder] == [*[True] * 3, *[False] * 5]
    order = [type(module) for module in generator.decoder[0].children()]
    assert order == [nn.ReLU, UpConvolution, nn.BatchNorm2d, nn.Dropout]


def test_norm_of_a_single_value_is_its_shift() -> None:
    norm = BottleneckNorm(3)
    nn.init.constant_(norm.bias, 0.25)
    x = torch.randn(1, 3, 1, 1, requires_grad=True)
    output = norm(x)
    output.sum().backward()
    assert torch.equal(output, torch.full((1, 3, 1, 1), 0.25))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))
    many = torch.randn(2, 3, 1, 1)
    assert torch.equal(norm(many), nn.functional.batch_norm(many, None, None, norm.weight, norm.bias, training=True))


def test_initial_weights_are_the_papers() -> None:
    generator = generator_of(depth=7, ngf=32, skips=True)
    initialise(generator, torch.Generator().manual_seed(0))
    weights = torch.cat([m.weight.flatten() for m in generator.modules() if isinstance(m, nn.Conv2d)])
    scales = torch.cat([m.weight for m in generator.modules() if isinstance(m, nn.BatchNorm2d)])
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert scales.mean().item() == pytest.approx(1, abs=0.005)
    assert scales.std().item() == pytest.approx(0.02, rel=0.15)
    again = generator_of(depth=7, ngf=32, skips=True)
    initialise(again, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), again.parameters(), strict=True))


def test_zeroed_biases_leave_norms_alone() -> None:
    generator = generator_of(depth=5, ngf=2, skips=True)
    for parameter in generator.parameters():
        nn.init.ones_(parameter)
    zero_convolution_biases(generator)
    for kind in (nn.Conv2d, nn.BatchNorm2d):
        assert any(isinstance(module, kind) for module in generator.modules())
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is not None
            assert module.bias.abs().sum() == 0
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.bias, torch.ones_like(module.bias))


def test_the_test_mode_moves_dropout_and_norm_apart_and_puts_all_back() -> None:
    generator = generator_of(depth=5, ngf=8, skips=True).train()
    x = torch.rand(1, 3, 32, 32)
    for _ in range(3):
        generator(torch.rand(4, 3, 32, 32))
    before = {name: value.clone() for name, value in generator.state_dict().items() if "running" in name}
    outputs = {}
    for dropout in (True, False):
        for batch_norm in ("batch", "running"):
            with torch.no_grad(), set_test_mode(generator, dropout=dropout, batch_norm=batch_norm):
                torch.manual_seed(0)
                first = generator(x)
                torch.manual_seed(1)
                assert torch.equal(first, generator(x)) is not dropout
                outputs[dropout, batch_norm] = first
    distinct = list(outputs.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(distinct) for b in distinct[i + 1 :])
    with torch.no_grad():
        assert torch.equal(outputs[False, "running"], generator.eval()(x))
    state = generator.state_dict()
    assert all(torch.equal(state[name], value) for name, value in before.items())
    assert all(module.momentum == 0.1 for module in generator.modules() if isinstance(module, nn.BatchNorm2d))
    generator.train()
    assert all(module.training for module in generator.modules())
