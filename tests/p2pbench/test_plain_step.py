"""Five training steps against a second implementation in float64: outputs, losses, gradients, moments, weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.dataset import Channels
from p2pbench.training.batches import Batch
from p2pbench.training.model import Model, build
from p2pbench.training.optimizer import Adam
from p2pbench.training.step import loss_names, training_step
from tests.p2pbench.plain_step import PlainAdam, PlainDiscriminator, PlainGenerator, parameters, plain_step

STEPS = 5
EXACT = 1e-9  # largest difference, of the largest value of its tensor
VANISHED = 1e-12  # gradient of a bias that batch norm takes away, of the network's largest
RGB = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
CPU = torch.device("cpu")
SMALL = {"image_size": 32, "ngf": 4, "ndf": 4, "receptive_field": 34, "precision": "float32"}

RECONSTRUCTIONS = ("L1", "L2", "L1+L2")
ADVERSARIAL = ("GAN", "cGAN", "L1+GAN", "L1+cGAN", "L2+GAN", "L2+cGAN", "L1+L2+GAN", "L1+L2+cGAN")
BATCHES = (1, 4)
GENERATORS = ("unet", "encoder-decoder")
ORDERS = ("after-update", "before-update")


def combined(*choices: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(product(*choices))


def mostly_long(*choices: Iterable[Any]) -> list[Any]:
    """The same; a quick run makes a quarter of them, in which each value meets several of every other choice."""
    return [
        pytest.param(*(value for _, value in chosen), marks=[pytest.mark.long] * (sum(i for i, _ in chosen) % 4 > 0))
        for chosen in product(*map(enumerate, choices))
    ]


class Plain:
    """The second implementation, with the weights that a model of p2pbench starts from."""

    def __init__(self, model: Model, config: RunConfig, channels: Channels) -> None:
        depth = config.image_size.bit_length() - 1
        skips, norm = config.generator == "unet", config.bottleneck_norm
        rates = {"rate": config.learning_rate, "beta1": config.beta1, "beta2": config.beta2}
        self.config = config
        self.generator = PlainGenerator(
            channels.input, channels.output, depth=depth, ngf=config.ngf, skips=skips, bottleneck_norm=norm
        ).double()
        copy_weights(model.generator, self.generator)
        self.generator_adam = PlainAdam(self.generator, **rates)
        self.discriminator, self.discriminator_adam = None, None
        if model.discriminator is not None:
            seen = channels.output + (channels.input if "cGAN" in config.objective else 0)
            self.discriminator = PlainDiscriminator(
                seen, receptive_field=config.receptive_field, ndf=config.ndf
            ).double()
            copy_weights(model.discriminator, self.discriminator)
            self.discriminator_adam = PlainAdam(self.discriminator, **rates)

    def step(self, batch: Batch, masks: list[Tensor]) -> dict[str, Tensor]:
        terms = self.config.objective.split("+")
        return plain_step(
            self.generator,
            self.discriminator,
            self.generator_adam,
            self.discriminator_adam,
            batch.input,
            batch.target,
            masks,
            conditional="cGAN" in terms,
            lambda_l1=self.config.weight_l1 if "L1" in terms else 0,
            lambda_l2=self.config.weight_l2 if "L2" in terms else 0,
            before_update=self.config.adversarial_gradient == "before-update",
            halve=self.config.halve_discriminator_loss,
            zero_bias=self.config.zero_conv_bias,
        )


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        for ours, plain in zip(parameters(source), parameters(target), strict=True):
            plain.copy_(ours)


def batch_of(size: int, side: int, channels: Channels, seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(size, c, side, side, generator=random, dtype=torch.float64) * 2 - 1 for c in channels[:2])
    return Batch(x, y, None)


def masks_of(batch: Batch, config: RunConfig, seed: int) -> list[Tensor]:
    """What the library's dropout multiplies by in the first three decoder blocks of a step with this seed."""
    torch.manual_seed(seed)
    depth = config.image_size.bit_length() - 1
    widths = [config.ngf * min(2**i, 8) for i in range(depth)]
    shapes = [(len(batch.input), widths[depth - 2 - i], 2 ** (i + 1), 2 ** (i + 1)) for i in range(3)]
    return [functional.dropout(torch.ones(shape, dtype=torch.float64), 0.5) for shape in shapes]


def assert_same(ours: Tensor, plain: Tensor, what: str) -> None:
    assert torch.isfinite(plain).all(), what
    difference, scale = (ours - plain).abs().max().item(), plain.abs().max().item()
    assert difference <= EXACT * scale, f"{what}: {difference:.1e} apart, largest value {scale:.1e}"


def assert_same_network(
    name: str, ours: nn.Module, adam: Adam, plain: PlainGenerator | PlainDiscriminator, plain_adam: PlainAdam
) -> None:
    """Compare gradients, moments and weights; a bias before batch norm has the gradient 0 but for rounding."""
    largest = max(gradient.abs().max().item() for gradient in plain_adam.gradients)
    vanishing = {id(convolution.bias) for convolution in plain.normed()}
    for i, (parameter, expected) in enumerate(zip(parameters(ours), parameters(plain), strict=True)):
        assert parameter.grad is not None
        if id(expected) in vanishing:
            for gradient in (parameter.grad, plain_adam.gradients[i]):
                assert gradient.abs().max() <= VANISHED * largest, f"{name} {i}, bias before batch norm"
            continue
        state = adam.state[parameter]
        assert state["step"] == plain_adam.steps
        assert_same(parameter.grad, plain_adam.gradients[i], f"{name} {i}, gradient")
        assert_same(state["exp_avg"], plain_adam.first[i], f"{name} {i}, first moment")
        assert_same(state["exp_avg_sq"], plain_adam.second[i], f"{name} {i}, second moment")
        assert_same(parameter.detach(), expected.detach(), f"{name} {i}, weight")


def assert_same_statistics(name: str, ours: nn.Module, plain: PlainGenerator) -> None:
    """Compare what batch norm keeps for `test_batch_norm = "running"`."""
    pairs = list(zip(statistics(ours), statistics(plain), strict=True))
    assert pairs
    for i, ((mean, variance, _), (other_mean, other_variance, steps)) in enumerate(pairs):
        if steps:  # of one value per channel, nothing is kept: see plain_step.normalised
            assert_same(variance, other_variance, f"{name} {i}, running variance")
            apart = (mean - other_mean).abs() / other_variance.sqrt()
            assert apart.max() <= EXACT, f"{name} {i}, running mean"  # it holds the bias, which rounding alone moves


def statistics(network: nn.Module) -> list[list[Tensor]]:
    """Running mean, running variance and number of steps of each batch norm."""
    return [list(module.buffers()) for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def compare(sizes: Sequence[int], *, channels: Channels = RGB, **settings: Any) -> None:  # noqa: ANN401 (any setting)
    """Make a step on a batch of each size with both implementations, and hold them together after each."""
    config = run_config({**SMALL, **settings}, "test")
    model = build(config, channels, CPU)
    for network in (model.generator, model.discriminator):
        if network is not None:
            network.double()
    plain = Plain(model, config, channels)
    outputs: list[Tensor] = []
    model.generator.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    for step, size in enumerate(sizes):
        batch = batch_of(size, config.image_size, channels, step)
        masks = masks_of(batch, config, step)
        torch.manual_seed(step)
        losses = training_step(model, batch, config)
        expected = plain.step(batch, masks)
        assert_same(outputs[step], expected["output"], f"step {step}: output")
        assert losses == pytest.approx({name: expected[name].item() for name in loss_names(config)}, rel=EXACT)
        assert_same_network(
            f"step {step}: generator", model.generator, model.generator_adam, plain.generator, plain.generator_adam
        )
        assert_same_statistics(f"step {step}: generator", model.generator, plain.generator)
        if plain.discriminator is not None:
            assert model.discriminator is not None
            assert model.discriminator_adam is not None
            assert plain.discriminator_adam is not None
            assert_same_network(
                f"step {step}: discriminator",
                model.discriminator,
                model.discriminator_adam,
                plain.discriminator,
                plain.discriminator_adam,
            )


@pytest.mark.parametrize(("objective", "generator", "batch"), combined(RECONSTRUCTIONS, GENERATORS, BATCHES))
def test_reconstruction(objective: str, generator: str, batch: int) -> None:
    compare([batch] * STEPS, objective=objective, generator=generator)


@pytest.mark.parametrize(
    ("objective", "generator", "order", "batch"), mostly_long(ADVERSARIAL, GENERATORS, ORDERS, BATCHES)
)
def test_adversarial(objective: str, generator: str, order: str, batch: int) -> None:
    compare([batch] * STEPS, objective=objective, generator=generator, adversarial_gradient=order)


@pytest.mark.parametrize(("field", "objective", "batch"), combined((1, 16, 34, 70), ("GAN", "cGAN"), BATCHES))
def test_receptive_fields(field: int, objective: str, batch: int) -> None:
    compare([batch] * STEPS, objective=objective, receptive_field=field)


@pytest.mark.long
@pytest.mark.parametrize(("generator", "batch"), combined(GENERATORS, BATCHES))
@pytest.mark.parametrize(("field", "side"), [(142, 64), (286, 128)])
def test_wide_receptive_fields(field: int, side: int, generator: str, batch: int) -> None:
    compare([batch] * STEPS, receptive_field=field, image_size=side, generator=generator, ngf=2, ndf=2)


@pytest.mark.parametrize(
    ("generator", "order", "halve", "zero", "norm", "batch"),
    mostly_long(GENERATORS, ORDERS, (True, False), (True, False), (True, False), BATCHES),
)
def test_switches(generator: str, order: str, halve: bool, zero: bool, norm: bool, batch: int) -> None:
    compare(
        [batch] * STEPS,
        generator=generator,
        adversarial_gradient=order,
        halve_discriminator_loss=halve,
        zero_conv_bias=zero,
        bottleneck_norm=norm,
    )


@pytest.mark.parametrize("generator", GENERATORS)
def test_rates_and_weights_of_terms(generator: str) -> None:
    compare(
        [2] * STEPS,
        objective="L1+L2+cGAN",
        generator=generator,
        learning_rate=1e-3,
        beta1=0.9,
        beta2=0.99,
        weight_l1=10.0,
        weight_l2=7.0,
    )


@pytest.mark.parametrize("generator", GENERATORS)
def test_epochs_whose_last_batch_has_one_item(generator: str) -> None:
    compare([4, 4, 1, 4, 1], generator=generator)


@pytest.mark.parametrize(("input_channels", "output_channels"), [(1, 2), (4, 1)])
def test_channels(input_channels: int, output_channels: int) -> None:
    compare([1] * STEPS, channels=RGB._replace(input=input_channels, output=output_channels))
