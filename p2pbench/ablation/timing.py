"""Speed of training steps, alone and concurrently."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from p2pbench.config import RunConfig
from p2pbench.datasets.dataset import Channels
from p2pbench.runtime.device import keep_freed_memory
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import set_up
from p2pbench.training.batches import Batch
from p2pbench.training.cuda_graph import CudaGraphStep
from p2pbench.training.model import Model, build
from p2pbench.training.seeding import default_generator
from p2pbench.training.step import NonFiniteGuard, loss_names, take_step, training_step

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
    guard = NonFiniteGuard(model, loss_names(config), device)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    replay = CudaGraphStep(
        lambda: guard.end_step(take_step(model, batch, config, guard)), default_generator(device), lambda text: None
    )

    def take() -> None:
        with torch.cuda.stream(stream):
            replay(0)

    return take


NO_GAIN = 1.0  # times as many images, up to which runs go one after the other


IN_TURN = "so they go one after the other"


SECONDS = 1.0  # of steps that are measured


LEAST_STEPS = 3  # that are measured where a step is slow


class NotMeasured(Exception):
    """Runs at once could not be measured; the message is why."""


class Rates(NamedTuple):
    """Images a second of one run: by itself, and beside the others."""

    alone: float
    beside: float


class Totals(NamedTuple):
    """Images a second of several runs: of all at once, and of the same images one run after the other."""

    at_once: float
    in_turn: float

    @property
    def gain(self) -> float:
        """How many times as many images there are at once."""
        return self.at_once / self.in_turn

    @property
    def raised(self) -> bool:
        """Whether that is more."""
        return self.gain > NO_GAIN


def weigh(rates: Sequence[Rates]) -> Totals:
    """Add up runs, which may differ: what each does in a second beside the others takes it beside / alone in turn."""
    at_once = sum(rate.beside for rate in rates)
    return Totals(at_once, at_once / sum(rate.beside / rate.alone for rate in rates))


def verdict(count: int, totals: Totals) -> str:
    """What was measured of so many runs, and what follows."""
    return (
        f"{count} runs at once: {totals.at_once:.1f} images/s in all, against {totals.in_turn:.1f} one after the other "
        f"({totals.gain:.2f} times){'' if totals.raised else f', {IN_TURN}'}"
    )


def enough_seconds(step: float) -> float:
    """How long to measure steps of so many seconds."""
    return max(SECONDS, LEAST_STEPS * step)
