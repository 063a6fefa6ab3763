"""One step of training: the discriminator once, then the generator once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from p2pbench.config import RunConfig
from p2pbench.networks.init import zero_convolution_biases
from p2pbench.training.batches import Batch
from p2pbench.training.model import Model
from p2pbench.training.objective import adversarial, reconstruction

Losses = dict[str, float]
"""Losses by name, before their weights: G_GAN, G_L1, G_L2, D_real, D_fake, those that the objective has."""


class NonFiniteLoss(ArithmeticError):
    """A loss became infinite or no number; the networks were not updated with it."""


def training_step(model: Model, batch: Batch, config: RunConfig) -> Losses:
    """Update the networks on one batch.

    Raises:
        NonFiniteLoss: before the update that would have used the loss.
    """
    x, y = batch.input, batch.target
    if config.zero_conv_bias:
        for network in (model.generator, model.discriminator):
            if network is not None:
                zero_convolution_biases(network)

    output = model.generator(x)
    losses: Losses = {}
    asked_before: Tensor | None = None  # the generator's adversarial gradient at its output
    if model.discriminator is not None:
        asked_before = _discriminator_step(model, config, x, y, output, losses)

    terms: dict[str, Tensor] = {}
    if model.discriminator is not None and asked_before is None:
        model.discriminator.requires_grad_(False)  # its own gradients are not needed here, and cost time
        terms["G_GAN"] = adversarial(model.discriminator(_seen(config, x, output)), real=True)
        model.discriminator.requires_grad_(True)
    terms |= {f"G_{term}": reconstruction(term, output, y) for term in ("L1", "L2") if term in config.terms}
    losses |= _finite(terms)

    weights = {"G_GAN": 1.0, "G_L1": config.weight_l1, "G_L2": config.weight_l2}
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum() if terms else 0.0
    if asked_before is not None:
        total = total + (output * asked_before).sum()  # its gradient at the output is `asked_before`
    assert isinstance(total, Tensor)
    model.generator_adam.zero_grad()
    total.backward()
    model.generator_adam.step()
    return losses


def _discriminator_step(
    model: Model, config: RunConfig, x: Tensor, y: Tensor, output: Tensor, losses: Losses
) -> Tensor | None:
    """Update the discriminator. The generator's adversarial gradient where it is asked for before the update."""
    judge, adam = model.discriminator, model.discriminator_adam
    assert judge is not None
    assert adam is not None
    shown = output.detach()
    before = config.adversarial_gradient == "before-update"
    if before:
        shown.requires_grad_(True)
    on_fake = judge(_seen(config, x, shown))
    terms = {"D_real": adversarial(judge(_seen(config, x, y)), real=True), "D_fake": adversarial(on_fake, real=False)}
    gradient = None
    if before:
        generator_loss = adversarial(on_fake, real=True)
        losses |= _finite({"G_GAN": generator_loss})
        (gradient,) = torch.autograd.grad(generator_loss, shown, retain_graph=True)
    losses |= _finite(terms)
    adam.zero_grad()
    share = 0.5 if config.halve_discriminator_loss else 1.0
    ((terms["D_real"] + terms["D_fake"]) * share).backward()
    adam.step()
    return gradient


def _seen(config: RunConfig, x: Tensor, y: Tensor) -> Tensor:
    """What the discriminator sees: input and output stacked, input first, or the output alone."""
    return torch.cat([x, y], dim=1) if config.conditional else y


def _finite(terms: dict[str, Tensor]) -> Losses:
    """The terms as numbers, taken from the device in one go."""
    if not terms:
        return {}
    values: list[float] = torch.stack([value.detach() for value in terms.values()]).tolist()
    for name, value in zip(terms, values, strict=True):
        if not math.isfinite(value):
            raise NonFiniteLoss(f"{name} is {value}")
    return dict(zip(terms, values, strict=True))
