"""One training step: objective, gradients, updates, non-finite losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from p2pbench.config import RunConfig
from p2pbench.networks.discriminator import zero_convolution_biases
from p2pbench.runtime.progress import Losses
from p2pbench.training.batches import Batch
from p2pbench.training.model import Model


def adversarial(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits (B, 1, h, w) against one answer, averaged over the patches.

    The generator takes it with `real=True` on its own outputs: it maximises log D, which does not saturate.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def reconstruction(term: str, output: Tensor, target: Tensor) -> Tensor:
    """The mean absolute (L1) or squared (L2) difference of two batches in [-1, 1]."""
    return functional.l1_loss(output, target) if term == "L1" else functional.mse_loss(output, target)


Terms = dict[str, Tensor]


"""The same on the device, each a scalar without its graph."""


Guard = Callable[[Terms], None]


"""Called before each update with the losses that it rests on."""


class NonFiniteLoss(ArithmeticError):
    """A loss became infinite or no number; the networks were not updated with it.

    Args:
        text: which loss it was.
        steps_ago: how many steps were finished since, the bad one included; 0 if it never was.
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
    take_step(model, batch, config, lambda terms: losses.update(finite(terms)))
    return losses


def finite(terms: Terms) -> Losses:
    """The terms as numbers, taken from the device in one go.

    Raises:
        NonFiniteLoss: one is infinite or no number; the first is named.
    """
    if not terms:
        return {}
    values: list[float] = torch.stack(list(terms.values())).tolist()
    for name, value in zip(terms, values, strict=True):
        if not math.isfinite(value):
            raise NonFiniteLoss(f"{name} is {value}")
    return dict(zip(terms, values, strict=True))


def take_step(model: Model, batch: Batch, config: RunConfig, guard: Guard) -> Terms:
    """Update the networks on one batch; the losses.

    With precision bf16 the networks compute in bfloat16, batch norm sums and all losses in float32.
    """
    x, y = batch.input, batch.target
    if config.zero_conv_bias:
        for network in (model.generator, model.discriminator):
            if network is not None:
                zero_convolution_biases(network)

    with _precision(config, x):
        output = model.generator(x)
    output = _at_least_single(output)
    losses: Terms = {}
    asked_before: Tensor | None = None  # the generator's adversarial gradient at its output
    if model.discriminator is not None:
        asked_before = _discriminator_step(model, config, x, y, output, losses, guard)

    terms: Terms = {}
    if model.discriminator is not None and asked_before is None:
        with _frozen(model.discriminator):
            terms["G_GAN"] = adversarial(_judge(model, config, x, output), real=True)
    terms |= {f"G_{term}": reconstruction(term, output, y) for term in ("L1", "L2") if term in config.terms}
    guard(_note(terms, losses))

    weights = {"G_GAN": 1.0, "G_L1": config.weight_l1, "G_L2": config.weight_l2}
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum() if terms else 0.0
    if asked_before is not None:
        total = total + (output * asked_before).sum()  # its gradient at the output is `asked_before`
    assert isinstance(total, Tensor)
    model.generator_adam.zero_grad()
    total.backward()
    model.generator_adam.step()
    return losses


def loss_names(config: RunConfig) -> tuple[str, ...]:
    """The losses of an objective, in the order in which a step makes them."""
    reconstructions = tuple(f"G_{term}" for term in ("L1", "L2") if term in config.terms)
    if not config.adversarial:
        return reconstructions
    if config.adversarial_gradient == "before-update":
        return ("G_GAN", "D_real", "D_fake", *reconstructions)
    return ("D_real", "D_fake", "G_GAN", *reconstructions)


def _discriminator_step(
    model: Model, config: RunConfig, x: Tensor, y: Tensor, output: Tensor, losses: Terms, guard: Guard
) -> Tensor | None:
    """Update the discriminator. The generator's adversarial gradient where it is asked for before the update."""
    adam = model.discriminator_adam
    assert adam is not None
    shown = output.detach()
    before = config.adversarial_gradient == "before-update"
    if before:
        shown.requires_grad_(True)
    on_fake = _judge(model, config, x, shown)
    terms = {
        "D_real": adversarial(_judge(model, config, x, y), real=True),
        "D_fake": adversarial(on_fake, real=False),
    }
    gradient = None
    if before:
        generator_loss = adversarial(on_fake, real=True)
        guard(_note({"G_GAN": generator_loss}, losses))
        (gradient,) = torch.autograd.grad(generator_loss, shown, retain_graph=True)
    guard(_note(terms, losses))
    adam.zero_grad()
    share = 0.5 if config.halve_discriminator_loss else 1.0
    ((terms["D_real"] + terms["D_fake"]) * share).backward()
    adam.step()
    return gradient


def _judge(model: Model, config: RunConfig, x: Tensor, y: Tensor) -> Tensor:
    """Logits on what the discriminator sees: input and output stacked, input first, or the output alone."""
    assert model.discriminator is not None
    with _precision(config, x):
        logits: Tensor = model.discriminator(torch.cat([x, y], dim=1) if config.conditional else y)
    return _at_least_single(logits)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """A network whose own gradients are not needed, and cost time."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _precision(config: RunConfig, x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, torch.bfloat16, enabled=config.precision == "bf16")


def _at_least_single(values: Tensor) -> Tensor:
    """Values that autocast made in bfloat16, in float32; others as they are."""
    return values.float() if values.dtype == torch.bfloat16 else values


def _note(terms: Terms, losses: Terms) -> Terms:
    """Add the terms, without their graphs, to the losses."""
    noted = {name: value.detach() for name, value in terms.items()}
    losses |= noted
    return noted


class Watch:
    """A `p2pbench.training.step.Guard` for a device that is not waited for.

    A loss that is not finite raises a flag which both optimizers take as `found_inf`: from the update that would have
    used it on, no step changes a weight. The flag stays up, and the losses of that step are kept.
    """

    def __init__(self, model: Model, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._stopped = torch.zeros((), device=device)
        self._steps_since = torch.zeros((), dtype=torch.float64, device=device)
        self._latest = torch.zeros(len(names), dtype=torch.float64, device=device)
        for adam in model.adams():
            adam.found_inf = self._stopped

    def __call__(self, terms: Terms) -> None:
        """Raise the flag if a term is not finite."""
        if terms:
            bad = ~torch.isfinite(torch.stack(list(terms.values()))).all()
            self._stopped.copy_(torch.maximum(self._stopped, bad.float()))

    def end_step(self, losses: Terms) -> None:
        """Keep a step's losses, unless they come after a bad step."""
        values = torch.stack([losses[name] for name in self._names]).double()
        self._latest.copy_(torch.where(self._steps_since == 0, values, self._latest))
        self._steps_since.add_(self._stopped)

    def read(self) -> Losses:
        """The last step's losses. Waits for the device, once.

        Raises:
            NonFiniteLoss: the flag is up; the error names the first loss that was not finite.
        """
        since, *values = torch.cat([self._steps_since.reshape(1), self._latest]).tolist()
        losses = dict(zip(self._names, values, strict=True))
        if since > 0:
            name, value = next((name, value) for name, value in losses.items() if not math.isfinite(value))
            raise NonFiniteLoss(f"{name} is {value}", steps_ago=int(since))
        return losses
