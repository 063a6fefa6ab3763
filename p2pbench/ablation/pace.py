"""How long training steps take here, on made-up pictures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Channels
from p2pbench.training.batches import Batch
from p2pbench.training.freed_memory import keep_freed_memory
from p2pbench.training.interrupt import Stop, Stopped
from p2pbench.training.model import Model, build
from p2pbench.training.precision import set_up
from p2pbench.training.randomness import default_generator
from p2pbench.training.replay import Replay
from p2pbench.training.step import loss_names, take_step, training_step
from p2pbench.training.watch import Watch

WARM_UP, MEASURED = 4, 5  # a GPU's steps are captured at the fourth
BLOCK_SECONDS = 0.05  # between two looks at the clock, for which a GPU has to be waited for

Timer = Callable[[int], float]
"""Takes so many steps and waits for the device; the seconds that they took."""


def step_timer(config: RunConfig, channels: Channels, device: torch.device) -> Timer:
    """Takes steps as a training does: replayed on a GPU. Its weights stay as they are, whatever the learning rate."""
    keep_freed_memory()
    set_up(config, device)
    model = build(config, channels, device)
    model.set_learning_rate(0.0)  # the same work, and no loss becomes infinite
    shape = (config.batch_size, config.image_size, config.image_size)
    input_, target = (
        torch.rand(shape[0], count, *shape[1:], device=device) * 2 - 1 for count in (channels.input, channels.output)
    )
    take = _taker(model, Batch(input_, target, None), config, device)

    def timer(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            take()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return timer


def measure_step(config: RunConfig, channels: Channels, device: torch.device) -> float:
    """Seconds of one training step: the median of a few, after a few that are not counted."""
    timer = step_timer(config, channels, device)
    timer(WARM_UP)
    return statistics.median(timer(1) for _ in range(MEASURED))


def warm_up(timer: Timer, stop: Stop) -> float:
    """Take the steps that do not count; seconds of one more.

    Raises:
        Stopped: `stop` was asked for.
    """
    for _ in range(WARM_UP):
        _check(stop)
        timer(1)
    return timer(1)


def sustained(timer: Timer, step: float, seconds: float, stop: Stop) -> float:
    """Seconds of a step over that long a time, of which one step takes about `step` seconds.

    Steps are taken until the time is over, so that those who measure at once never have the machine to themselves, and
    only those that ended within it count; the first counts in any case.

    Raises:
        Stopped: `stop` was asked for.
    """
    block = max(1, int(BLOCK_SECONDS / step))
    start = time.perf_counter()
    steps, spent = 0, 0.0
    while True:
        _check(stop)
        timer(block)
        now = time.perf_counter() - start
        if steps > 0 and now > seconds:
            return spent / steps
        steps, spent = steps + block, now


def _check(stop: Stop) -> None:
    if stop:
        raise Stopped("stopped while steps were measured")


def _taker(model: Model, batch: Batch, config: RunConfig, device: torch.device) -> Callable[[], object]:
    if device.type != "cuda":
        return lambda: training_step(model, batch, config)
    watch = Watch(model, loss_names(config), device)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    replay = Replay(
        lambda: watch.end_step(take_step(model, batch, config, watch)), default_generator(device), lambda text: None
    )

    def take() -> None:
        with torch.cuda.stream(stream):
            replay(0)

    return take
