"""One training step: objective, gradients, updates, non-finite losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from p2pbench.config import RunConfig
from p2pbench.networks.discriminator import zero_convolution_biases
from p2pbench.runtime.progress import Losses
from p2pbench.training.model import Model

if TYPE_CHECKING:
    from p2pbench.training.batches import Batch


Terms = dict[str, Tensor]
"""Losses by name on the device, each a scalar without its graph."""

LossCheck = Callable[[Terms], None]
"""Called before each update with the losses that the update is computed from."""


def adversarial(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of logits (B, 1, h, w), mean over patches.

    Against one label, real or fake.

    The generator's loss is that of `real=True` on its own outputs: it maximises log D, which does not saturate.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def reconstruction(term: str, output: Tensor, target: Tensor) -> Tensor:
    """Mean L1 or L2 difference of two batches in [-1, 1]."""
    return functional.l1_loss(output, target) if term == "L1" else functional.mse_loss(output, target)


class NonFiniteLoss(ArithmeticError):
    """Infinite or NaN loss; the networks were not updated with it.

    Args:
        text: names the loss.
        steps_ago: steps finished since, the bad one included; 0 if the bad step was not finished.
    """

    def __init__(self, text: str, steps_ago: int = 0) -> None:
        super().__init__(text)
        self.steps_ago = steps_ago


def training_step(model: Model, batch: Batch, config: RunConfig) -> Losses:
    """Update the networks on one batch.

    Raises:
        NonFiniteLoss: before the update that would have used the loss.
    """
    losses: Losses = {}
    take_step(model, batch, config, lambda terms: losses.update(to_numbers(terms)))
    return losses


def to_numbers(terms: Terms) -> Losses:
    """Losses as numbers, copied from the device at once.

    Raises:
        NonFiniteLoss: one is infinite or NaN; the first is named.
    """
    if not terms:
        return {}
    values: list[float] = torch.stack(list(terms.values())).tolist()
    for name, value in zip(terms, values, strict=True):
        if not math.isfinite(value):
            raise NonFiniteLoss(f"{name} is {value}")
    return dict(zip(terms, values, strict=True))


def take_step(model: Model, batch: Batch, config: RunConfig, check: LossCheck) -> Terms:
    """Update the networks on one batch and return the losses.

    With precision bf16 the networks compute in bfloat16, batch norm sums and all losses in float32.
    """
    if config.zero_conv_bias:
        for network in (model.generator, model.discriminator):
            if network is not None:
                zero_convolution_biases(network)

    # Losses are computed outside autocast, in float32.
    with _precision(config, batch.input):
        output = model.generator(batch.input)
    output = _at_least_single(output)
    losses: Terms = {}
    adversarial_grad = None
    if model.discriminator is not None:
        losses, adversarial_grad = _update_discriminator(model, batch, output, config, check)

    terms: Terms = {}
    if model.discriminator is not None and adversarial_grad is None:
        with _frozen(model.discriminator):
            terms["G_GAN"] = adversarial(_discriminate(model, batch.input, output, config), real=True)
    terms |= {f"G_{term}": reconstruction(term, output, batch.target) for term in ("L1", "L2") if term in config.terms}
    check(_detached(terms))

    weights = {"G_GAN": 1.0, "G_L1": config.weight_l1, "G_L2": config.weight_l2}
    # One sum of all terms, so that one backward pass goes through the generator.
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum() if terms else 0.0
    if adversarial_grad is not None:
        total = total + (output * adversarial_grad).sum()  # a scalar whose gradient at the output is that one
    assert isinstance(total, Tensor)
    model.generator_adam.zero_grad()
    total.backward()
    model.generator_adam.step()
    return losses | _detached(terms)


def loss_names(config: RunConfig) -> tuple[str, ...]:
    """Names of an objective's losses, in order of computation."""
    reconstructions = tuple(f"G_{term}" for term in ("L1", "L2") if term in config.terms)
    if not config.adversarial:
        return reconstructions
    if config.adversarial_gradient == "before-update":
        return ("G_GAN", "D_real", "D_fake", *reconstructions)
    return ("D_real", "D_fake", "G_GAN", *reconstructions)


class _DiscriminatorUpdate(NamedTuple):
    """Losses of a discriminator's update.

    `adversarial_grad` is dL_GAN / d output (B, C, S, S), computed before the update; None where the objective computes
    it after.
    """

    losses: Terms
    adversarial_grad: Tensor | None


def _update_discriminator(
    model: Model, batch: Batch, output: Tensor, config: RunConfig, check: LossCheck
) -> _DiscriminatorUpdate:
    """Update the discriminator on a real and a generated batch."""
    adam = model.discriminator_adam
    assert adam is not None
    # Detached: the discriminator's update sends no gradient into the generator.
    fake = output.detach()
    before_update = config.adversarial_gradient == "before-update"
    if before_update:
        fake.requires_grad_(True)
    fake_logits = _discriminate(model, batch.input, fake, config)
    terms = {
        "D_real": adversarial(_discriminate(model, batch.input, batch.target, config), real=True),
        "D_fake": adversarial(fake_logits, real=False),
    }
    losses: Terms = {}
    adversarial_grad = None
    if before_update:
        # Both gradients come from one forward pass on the fakes, so its graph is kept for the discriminator's.
        generator_loss = adversarial(fake_logits, real=True)
        losses = _detached({"G_GAN": generator_loss})
        check(losses)
        (adversarial_grad,) = torch.autograd.grad(generator_loss, fake, retain_graph=True)
    check(_detached(terms))
    adam.zero_grad()
    scale = 0.5 if config.halve_discriminator_loss else 1.0
    ((terms["D_real"] + terms["D_fake"]) * scale).backward()
    adam.step()
    return _DiscriminatorUpdate(losses | _detached(terms), adversarial_grad)


def _discriminate(model: Model, x: Tensor, y: Tensor, config: RunConfig) -> Tensor:
    """Logits of the discriminator on input and output stacked, input first, or on the output alone."""
    assert model.discriminator is not None
    with _precision(config, x):
        logits: Tensor = model.discriminator(torch.cat([x, y], dim=1) if config.conditional else y)
    return _at_least_single(logits)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Skip the gradients of a network's own weights, which the generator's update does not need."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _precision(config: RunConfig, x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, torch.bfloat16, enabled=config.precision == "bf16")


def _at_least_single(values: Tensor) -> Tensor:
    """bfloat16 values of autocast as float32; others unchanged."""
    return values.float() if values.dtype == torch.bfloat16 else values


def _detached(terms: Terms) -> Terms:
    return {name: value.detach() for name, value in terms.items()}


class NonFiniteGuard:
    """Stops updates after a non-finite loss, without waiting for the device.

    A `LossCheck`.

    A captured step cannot branch on a value. So a bad loss sets a flag on the device that both optimizers take as
    `found_inf`: from that update on no step changes a weight. The flag stays set, and the losses of that step are kept.
    """

    def __init__(self, model: Model, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._stopped = torch.zeros((), device=device)
        self._steps_since = torch.zeros((), dtype=torch.float64, device=device)
        self._latest = torch.zeros(len(names), dtype=torch.float64, device=device)
        for adam in model.adams():
            adam.found_inf = self._stopped

    def __call__(self, terms: Terms) -> None:
        """Set the flag if a term is not finite."""
        if terms:
            # No Python branch: reading the value would wait for the device, and a capture forbids it.
            bad = ~torch.isfinite(torch.stack(list(terms.values()))).all()
            self._stopped.copy_(torch.maximum(self._stopped, bad.float()))

    def end_step(self, losses: Terms) -> None:
        """Keep a step's losses, unless an earlier step was bad."""
        values = torch.stack([losses[name] for name in self._names]).double()
        self._latest.copy_(torch.where(self._steps_since == 0, values, self._latest))
        # Counts on the device from the bad step, so that `read`, which may come many steps later, can name it.
        self._steps_since.add_(self._stopped)

    def read(self) -> Losses:
        """Read the last step's losses; waits for the device, once.

        Raises:
            NonFiniteLoss: the flag is set; the error names the first loss that was not finite.
        """
        since, *values = torch.cat([self._steps_since.reshape(1), self._latest]).tolist()
        losses = dict(zip(self._names, values, strict=True))
        if since > 0:
            name, value = next((name, value) for name, value in losses.items() if not math.isfinite(value))
            raise NonFiniteLoss(f"{name} is {value}", steps_ago=int(since))
        return losses
