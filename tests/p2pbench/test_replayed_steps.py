"""What a GPU replays, on a CPU: the same crops, the same updates, the same ends as steps taken one by one.

The CUDA graph itself is missing here; `benchmarks/cuda_step.py` checks it where there is a GPU.
"""

from __future__ import annotations

import csv
import gc
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fcn.segmenting import is_out_of_memory
from p2pbench.ablation.data import Data
from p2pbench.config import RunConfig
from p2pbench.datasets import augmentation
from p2pbench.errors import UserError
from p2pbench.runtime.precision import resolved
from p2pbench.training import batches as training_batches
from p2pbench.training import cuda_graph, trainer
from p2pbench.training.batches import Batch, Batches, CropQueue
from p2pbench.training.cuda_graph import WARM_UP, CudaGraphStep, ReplayedSteps, open_steps
from p2pbench.training.model import Model, build, needed_bytes, what_fits
from p2pbench.training.step import NonFiniteGuard, NonFiniteLoss, loss_names, take_step, training_step
from reports.store.layout import Run

CPU = torch.device("cpu")
Tiny = Callable[..., RunConfig]
BEFORE = {"adversarial_gradient": "before-update"}


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `ReplayedSteps` run without CUDA: no streams, no graphs, all samples at hand as if they lay on the device."""

    class Stream:
        def wait_stream(self, other: object) -> None:
            pass

    def no_graph() -> None:
        raise RuntimeError("no CUDA here\nand more lines")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", no_graph)


def resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device hold all samples; crops lie in memory as plain ones do, since sums of others round otherwise."""
    gather = augmentation.gather
    monkeypatch.setattr(augmentation, "gather", lambda *arguments: gather(*arguments).contiguous())
    monkeypatch.setattr(Batches, "resident", property(lambda batches: batches._samples.parts))


def replayed(*arguments: Any) -> ReplayedSteps:  # noqa: ANN401 (those of open_steps)
    return ReplayedSteps(*arguments)


def state(model: Model) -> Iterator[tuple[str, Tensor]]:
    for name, part in model.parts():
        if isinstance(part, torch.nn.Module):
            yield from ((f"{name}.{key}", value) for key, value in part.state_dict().items())
        else:
            for place, moments in part.state_dict()["state"].items():
                yield from ((f"{name}.{place}.{key}", value) for key, value in moments.items())


def assert_same_state(one: Model, other: Model) -> None:
    for (name, a), (_, b) in zip(state(one), state(other), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_gathered_at_once_are_those_cut_one_by_one(dtype: torch.dtype, channels: int) -> None:
    pictures = torch.randint(0, 256, (7, channels, 40, 40)).to(dtype)
    random = np.random.default_rng(3)
    for _ in range(20):
        count = int(random.integers(1, 6))
        items = random.integers(0, 7, count).tolist()
        drawn = augmentation.draw(random, count, load_side=40, image_size=32, mirror=True, crop_from_one=False)
        expected = augmentation.apply([pictures[item] for item in items], drawn, 32)
        rows = torch.tensor(augmentation.as_rows(items, drawn))
        assert torch.equal(augmentation.gather(pictures, rows, 32), expected)


def test_steps_drawn_ahead_are_those_drawn_one_by_one(
    tiny: Tiny, tiny_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_batches, "STEPS_AHEAD", 4)
    batches = Batches(tiny_data.dataset, tiny_data.train, tiny(batch_size=5, mirror=True), CPU)
    drawn = CropQueue(batches.draws(2, 15), CPU)
    for step, draw in enumerate(batches.draws(2, 15), 2):
        rows = drawn.next()
        assert rows.tolist() == augmentation.as_rows(*draw)
        assert len(rows) == batches.size_of(step) == (2 if step % 3 == 2 else 5)
        for _ in range(step % 4):
            drawn.draw_ahead()


@pytest.mark.long
@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("on_device", [True, False])
def test_what_a_training_held_is_free_once_it_ends(
    tiny: Tiny, tiny_data: Data, monkeypatch: pytest.MonkeyPatch, on_device: bool
) -> None:
    """At once, not when Python looks for circles: on a GPU the next run of a grid wants the memory."""
    if on_device:
        resident(monkeypatch)
    config = tiny()
    model = build(config, tiny_data.channels, CPU)
    batches = Batches(tiny_data.dataset, tiny_data.train, config, CPU)
    steps = replayed(model, batches, range(6), lambda text: None)
    for step in range(6):
        steps.take(step)
    held = weakref.ref(model.generator), weakref.ref(steps)
    gc.disable()
    try:
        del model, steps
        assert [each() for each in held] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "settings", [{}, {"objective": "L1"}, {"objective": "GAN"}, BEFORE, {"objective": "cGAN", **BEFORE}]
)
def test_a_guarded_step_is_the_step(tiny: Tiny, tiny_data: Data, settings: dict[str, Any]) -> None:
    config = tiny(**settings)
    guarded, plain = (build(config, tiny_data.channels, CPU) for _ in range(2))
    guard = NonFiniteGuard(guarded, loss_names(config), CPU)
    for step, batch in enumerate(Batches(tiny_data.dataset, tiny_data.train, config, CPU).between(0, 3)):
        torch.manual_seed(step)
        guard.end_step(take_step(guarded, batch, config, guard))
        torch.manual_seed(step)
        assert guard.read() == training_step(plain, batch, config)
    assert_same_state(guarded, plain)


@pytest.mark.parametrize(
    ("settings", "value", "named"),
    [
        ({}, math.nan, "D_real is nan"),
        ({"objective": "L1"}, math.inf, "G_L1 is inf"),
        (BEFORE, math.nan, "D_real is n"),
    ],
)
def test_after_a_bad_loss_nothing_is_updated(
    tiny: Tiny, tiny_data: Data, settings: dict[str, Any], value: float, named: str
) -> None:
    config = tiny(**settings)
    model, stopped = (build(config, tiny_data.channels, CPU) for _ in range(2))
    guard = NonFiniteGuard(model, loss_names(config), CPU)
    batches = list(Batches(tiny_data.dataset, tiny_data.train, config, CPU).between(0, 6))
    for step, batch in enumerate(batches):
        bad = batch._replace(target=batch.target + value) if step == 2 else batch
        if step < 2:
            torch.manual_seed(step)
            training_step(stopped, batch, config)
        torch.manual_seed(step)
        guard.end_step(take_step(model, bad, config, guard))
    with pytest.raises(NonFiniteLoss, match=named) as error:
        guard.read()
    assert error.value.steps_ago == 4  # of 6, the third
    # The means of batch norm go on, and are never saved; what is trained stands still, its optimizers too.
    for (name, a), (_, b) in zip(state(model), state(stopped), strict=True):
        assert "running" in name or "num_batches" in name or torch.equal(a, b), name


@pytest.mark.long
@pytest.mark.parametrize("on_device", [True, False])
def test_replayed_steps_are_plain_steps(
    tiny: Tiny, tiny_data: Data, on_cpu: None, monkeypatch: pytest.MonkeyPatch, on_device: bool
) -> None:
    if on_device:
        resident(monkeypatch)
    config = tiny(batch_size=5)
    models = [build(config, tiny_data.channels, CPU) for _ in range(2)]
    batches = Batches(tiny_data.dataset, tiny_data.train, config, CPU)
    said: list[str] = []
    plain = open_steps(models[0], batches, range(1, 14), said.append)
    fast = replayed(models[1], batches, range(1, 14), said.append)
    for step in range(1, 14):
        assert plain.take(step) == fast.take(step) == (2 if step % 3 == 2 else 5)
        if step % 3 == 0:
            assert plain.losses() == fast.losses()
    assert_same_state(*models)
    assert said == ["steps cannot be captured here and are taken one by one, slower: no CUDA here"]


def run(config: RunConfig, data: Data, folder: Path) -> list[list[str]]:
    """Train; losses.csv without the speed."""
    trainer.train(
        Run(folder, "a", 0),
        config,
        trainer.TrainingData(data.dataset, data.train, data.describe()),
        CPU,
        trainer.Callbacks(report=lambda progress: None, sample=lambda model, epoch: None, say=lambda text: None),
    )
    with Run(folder, "a", 0).losses.open(newline="") as file:
        return [row[:2] + row[3:] for row in csv.reader(file)]


@pytest.mark.long
def test_a_training_of_replayed_steps_logs_and_ends_as_one_of_plain_steps(
    tiny: Tiny, tiny_data: Data, tmp_path: Path, on_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(log_every=5, batch_size=5)
    failing = tiny(learning_rate=1e30, objective="L2", log_every=5, checkpoint_seconds=1000.0)
    expected = run(config, tiny_data, tmp_path / "plain")
    with pytest.raises(UserError) as plain_error:
        run(failing, tiny_data, tmp_path / "plain-bad")
    resident(monkeypatch)
    monkeypatch.setattr(trainer, "open_steps", replayed)
    assert run(config, tiny_data, tmp_path / "fast") == expected
    with pytest.raises(UserError) as error:
        run(failing, tiny_data, tmp_path / "fast-bad")
    assert str(error.value).replace("fast-bad", "plain-bad") == str(plain_error.value)
    assert not Run(tmp_path / "fast-bad", "a", 0).checkpoint.exists()
    states = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("plain", "fast")]
    for name, value in states[0]["generator"].items():
        assert torch.equal(value, states[1]["generator"][name]), name


@pytest.mark.long
def test_work_that_cannot_be_captured_is_done_plainly_with_the_same_noise(on_cpu: None) -> None:
    said: list[str] = []
    drawn: list[float] = []
    noise = torch.Generator()
    replay = CudaGraphStep(lambda: drawn.append(torch.rand(1, generator=noise).item()), noise, said.append)
    for seed in (5, 6, 7, 8, 9):
        replay(seed)
    assert not replay.captured
    assert drawn == [torch.rand(1, generator=torch.Generator().manual_seed(seed)).item() for seed in range(5, 10)]
    assert len(drawn) > WARM_UP
    assert said == ["steps cannot be captured here and are taken one by one, slower: no CUDA here"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            None,  # a real one
            "out of memory: batch_size = 1 at image",
        ),
        (torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"), "cpu stopped working (CUDA error: un"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "rerun the same command once it is back"),
    ],
)
def test_a_device_that_fails_leaves_the_checkpoint_and_one_line(
    tiny: Tiny, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError | None, said: str
) -> None:
    steps = 0

    def fail(model: Model, batch: Batch, config: RunConfig) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps > 7:
            torch.empty(2**50 if error is None else 0, dtype=torch.uint8)
            raise error or AssertionError("there was room")
        return training_step(model, batch, config)

    monkeypatch.setattr(cuda_graph, "training_step", fail)
    with pytest.raises(UserError) as raised:
        run(tiny(checkpoint_seconds=0.0), tiny_data, tmp_path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("The last checkpoint is as it was")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 7


def test_our_own_errors_are_not_taken_for_the_devices(
    tiny: Tiny, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(cuda_graph, "training_step", fail)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(tiny(), tiny_data, tmp_path)


def test_want_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50, dtype=torch.uint8)  # more than an address space holds
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


@pytest.mark.long
def test_what_fits_is_the_largest_that_does(tiny: Tiny, tiny_data: Data) -> None:
    config = tiny(image_size=128, batch_size=16, ngf=16, ndf=16)
    channels = tiny_data.channels
    needs = [needed_bytes(config, channels, size) for size in range(1, 17)]
    assert needs == sorted(needs)
    assert what_fits(config, channels, needs[4] + 1) == "batch_size = 5 would fit"
    smaller = what_fits(config, channels, needs[0] - 1)
    assert smaller == "image_size = 64 with batch_size = 1 would fit"
    assert "smaller ngf and ndf" in what_fits(config, channels, 1000)
    assert needed_bytes(config.model_copy(update={"precision": "bf16"}), channels, 16) < needs[15]


def test_auto_is_what_the_device_computes_in(tiny: Tiny) -> None:
    assert resolved(tiny(), CPU).precision == "float32"
    assert resolved(tiny(precision="bf16"), CPU).precision == "bf16"
    with pytest.raises(UserError, match="cpu has no tf32; expected auto, float32 or bf16"):
        resolved(tiny(precision="tf32"), CPU)


def test_bfloat16_is_near_float32(tiny: Tiny, tiny_data: Data) -> None:
    losses = []
    for precision in ("float32", "bf16"):
        config = tiny(precision=precision)
        model = build(config, tiny_data.channels, CPU)
        for step, batch in enumerate(Batches(tiny_data.dataset, tiny_data.train, config, CPU).between(0, 3)):
            torch.manual_seed(step)
            losses.append(training_step(model, batch, config))
        assert next(model.generator.parameters()).dtype == torch.float32
    for exact, near in zip(losses[:3], losses[3:], strict=True):
        assert near == pytest.approx(exact, rel=0.05, abs=0.02)
        assert near != exact
