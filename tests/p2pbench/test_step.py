"""One training step against a plain one, and what each setting changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from p2pbench.ablation.data import Data
from p2pbench.config import RunConfig
from p2pbench.runtime.progress import Losses
from p2pbench.training.batches import Batch, Batches
from p2pbench.training.model import Model, build
from p2pbench.training.optimizer import learning_rate
from p2pbench.training.step import NonFiniteLoss, training_step

CPU = torch.device("cpu")
Tiny = Callable[..., RunConfig]


def batches(data: Data, config: RunConfig, count: int) -> list[Batch]:
    return list(Batches(data.dataset, data.train, config, CPU).between(0, count))


def plain_step(model: Model, batch: Batch, config: RunConfig) -> Losses:
    """The step as the paper tells it, for L1+cGAN, with the losses written out."""
    generator, discriminator, (x, y, _) = model.generator, model.discriminator, batch
    assert discriminator is not None
    assert model.discriminator_adam is not None
    output = generator(x)
    real = discriminator(torch.cat([x, y], 1)).sigmoid()
    fake = discriminator(torch.cat([x, output.detach()], 1)).sigmoid()
    d_real, d_fake = -real.log().mean(), -(1 - fake).log().mean()
    model.discriminator_adam.zero_grad()
    (d_real / 2 + d_fake / 2).backward()
    model.discriminator_adam.step()
    g_gan = -discriminator(torch.cat([x, output], 1)).sigmoid().log().mean()
    g_l1 = (output - y).abs().mean()
    model.generator_adam.zero_grad()
    (g_gan + 100 * g_l1).backward()
    model.generator_adam.step()
    return {"D_real": d_real.item(), "D_fake": d_fake.item(), "G_GAN": g_gan.item(), "G_L1": g_l1.item()}


def test_three_steps_equal_three_plain_ones(tiny: Tiny, tiny_data: Data) -> None:
    config = tiny()
    ours, plain = (build(config, tiny_data.channels, CPU) for _ in range(2))
    for step, batch in enumerate(batches(tiny_data, config, 3)):
        torch.manual_seed(step)
        got = training_step(ours, batch, config)
        torch.manual_seed(step)
        expected = plain_step(plain, batch, config)
        assert got == pytest.approx(expected, rel=2e-3)
    for (name, a), b in zip(ours.generator.named_parameters(), plain.generator.parameters(), strict=True):
        if "encoder.0" in name:  # without a norm behind it, its gradient is not rounding noise that Adam blows up
            assert torch.allclose(a, b, atol=2e-5), name


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ("L1", {"G_L1"}),
        ("L2", {"G_L2"}),
        ("GAN", {"G_GAN", "D_real", "D_fake"}),
        ("cGAN", {"G_GAN", "D_real", "D_fake"}),
        ("L1+L2", {"G_L1", "G_L2"}),
        ("L1+L2+cGAN", {"G_L1", "G_L2", "G_GAN", "D_real", "D_fake"}),
        ("GAN+L2", {"G_L2", "G_GAN", "D_real", "D_fake"}),
    ],
)
def test_an_objective_is_the_sum_of_its_terms(tiny: Tiny, tiny_data: Data, objective: str, names: set[str]) -> None:
    config = tiny(objective=objective)
    model = build(config, tiny_data.channels, CPU)
    before = [parameter.clone() for parameter in model.generator.parameters()]
    (batch,) = batches(tiny_data, config, 1)
    torch.manual_seed(0)
    losses = training_step(model, batch, config)
    assert set(losses) == names
    assert any(not torch.equal(a, b) for a, b in zip(before, model.generator.parameters(), strict=True))
    fresh = build(config, tiny_data.channels, CPU).generator
    torch.manual_seed(0)
    output = fresh(batch.input)
    if "G_L1" in losses:
        assert losses["G_L1"] == pytest.approx((output - batch.target).abs().mean().item(), rel=1e-4)
    if "G_L2" in losses:
        assert losses["G_L2"] == pytest.approx((output - batch.target).square().mean().item(), rel=1e-4)


def test_weights_of_the_terms_weigh_their_gradients(tiny: Tiny, tiny_data: Data) -> None:
    gradients = {}
    for objective, weights in (("L1", {}), ("L2", {}), ("L1+L2", {"weight_l1": 3.0, "weight_l2": 7.0})):
        config = tiny(objective=objective, **{"weight_l1": 1.0, "weight_l2": 1.0, **weights})
        model = build(config, tiny_data.channels, CPU)
        torch.manual_seed(0)
        training_step(model, batches(tiny_data, config, 1)[0], config)
        gradients[objective] = model.generator.encoder[0].weight.grad
    expected = 3 * gradients["L1"] + 7 * gradients["L2"]  # type: ignore[operator]
    assert torch.allclose(gradients["L1+L2"], expected, rtol=1e-3, atol=1e-5)  # type: ignore[arg-type]


def test_the_discriminator_sees_the_input_only_if_conditional(tiny: Tiny, tiny_data: Data) -> None:
    for objective, channels in (("GAN", 3), ("cGAN", 6)):
        model = build(tiny(objective=objective), tiny_data.channels, CPU)
        assert model.discriminator is not None
        assert model.discriminator[0].in_channels == channels  # type: ignore[index]


def test_asked_before_the_update_the_gradient_is_of_the_old_discriminator(tiny: Tiny, tiny_data: Data) -> None:
    config = tiny(objective="cGAN", adversarial_gradient="before-update")
    model, reference = (build(config, tiny_data.channels, CPU) for _ in range(2))
    (batch,) = batches(tiny_data, config, 1)
    torch.manual_seed(0)
    losses = training_step(model, batch, config)
    torch.manual_seed(0)
    assert reference.discriminator is not None
    logits = reference.discriminator(torch.cat([batch.input, reference.generator(batch.input)], 1))
    loss = functional.softplus(-logits).mean()
    loss.backward()
    assert losses["G_GAN"] == pytest.approx(loss.item(), rel=1e-4)
    got, expected = (m.generator.encoder[0].weight.grad for m in (model, reference))
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]


def test_halving_halves_the_discriminators_gradient_alone(tiny: Tiny, tiny_data: Data) -> None:
    gradients = []
    for halve in (True, False):
        config = tiny(halve_discriminator_loss=halve)
        model = build(config, tiny_data.channels, CPU)
        torch.manual_seed(0)
        training_step(model, batches(tiny_data, config, 1)[0], config)
        assert model.discriminator is not None
        gradients.append(model.discriminator[0].weight.grad)  # type: ignore[index]
    assert torch.allclose(2 * gradients[0], gradients[1], rtol=1e-4)


def test_zeroed_biases_stay_zero_through_a_step(tiny: Tiny, tiny_data: Data) -> None:
    config = tiny(zero_conv_bias=True)
    model = build(config, tiny_data.channels, CPU)
    first, second = batches(tiny_data, config, 2)
    training_step(model, first, config)
    moved = model.generator.encoder[0].bias.clone()  # type: ignore[operator]
    assert moved.abs().max() > 0
    seen: list[float] = []
    hook = model.generator.encoder[0].register_forward_pre_hook(
        lambda module, inputs: seen.append(module.bias.abs().max().item())
    )
    training_step(model, second, config)
    hook.remove()
    assert seen == [0.0]


def test_a_loss_that_is_not_finite_stops_before_the_update(tiny: Tiny, tiny_data: Data) -> None:
    config = tiny()
    model = build(config, tiny_data.channels, CPU)
    (batch,) = batches(tiny_data, config, 1)
    before = [p.clone() for p in (*model.generator.parameters(), *model.discriminator.parameters())]  # type: ignore[union-attr]
    with pytest.raises(NonFiniteLoss, match="D_real is nan"):
        training_step(model, batch._replace(target=batch.target * float("nan")), config)
    after = [*model.generator.parameters(), *model.discriminator.parameters()]  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    l1 = tiny(objective="L1")
    model = build(l1, tiny_data.channels, CPU)
    with pytest.raises(NonFiniteLoss, match="G_L1 is inf"):
        training_step(model, batch._replace(target=batch.target + float("inf")), l1)


def test_the_rate_is_constant_or_falls_to_zero(tiny: Tiny) -> None:
    assert {learning_rate(tiny(epochs=10), epoch) for epoch in range(10)} == {2e-4}
    falling = [learning_rate(tiny(epochs=6, decay_epochs=3, learning_rate=4.0), epoch) for epoch in range(6)]
    assert falling == [4.0, 4.0, 4.0, 3.0, 2.0, 1.0]
