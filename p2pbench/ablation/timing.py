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

# The CUDA graph is captured at the fourth step (see `training.cuda_graph`): later ones are replays, as in training.
WARM_UP, MEASURED = 4, 5
# Reading the clock needs a synchronisation, which drains the GPU's queue, so it is done once per block of steps.
BLOCK_SECONDS = 0.05

Timer = Callable[[int], float]
"""Takes the given number of steps and waits for the device; returns the seconds they took."""


def step_timer(config: RunConfig, channels: Channels, device: torch.device) -> Timer:
    """Timer of training steps, on a GPU as a CUDA graph.

    The weights do not change.
    """
    keep_freed_memory()
    set_up(config, device)
    model = build(config, channels, device)
    model.set_learning_rate(0.0)  # the same work, but on random pictures no loss can diverge
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
    """Seconds per training step: median of a few steps after a warm-up."""
    timer = step_timer(config, channels, device)
    timer(WARM_UP)
    return statistics.median(timer(1) for _ in range(MEASURED))


def warm_up(timer: Timer, stop: Stop) -> float:
    """Take the warm-up steps; returns the seconds of one more.

    Raises:
        Stopped: A stop was requested.
    """
    for _ in range(WARM_UP):
        _check(stop)
        timer(1)
    return timer(1)


def sustained(timer: Timer, step: float, seconds: float, stop: Stop) -> float:
    """Mean seconds per step over a period.

    One step takes about `step` seconds.

    Steps are taken until the period is over, so that no process that measures concurrently ever has the machine to
    itself. Only steps that end within the period count, but always the first block.

    Raises:
        Stopped: A stop was requested.
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
    # As in `ReplayedSteps`: the default stream cannot be captured.
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    replay = CudaGraphStep(
        lambda: guard.end_step(take_step(model, batch, config, guard)), default_generator(device), lambda text: None
    )

    def take() -> None:
        with torch.cuda.stream(stream):
            replay(0)

    return take


NO_GAIN = 1.0  # ratio of concurrent to sequential throughput up to which runs are run sequentially
SEQUENTIAL = "so they run sequentially"
SECONDS, LEAST_STEPS = 1.0, 3  # of a measurement, whichever is longer


class NotMeasured(Exception):
    """Concurrent runs could not be measured; the message is the reason."""


class Rates(NamedTuple):
    """Images per second of one run: alone, and while the others run."""

    alone: float
    concurrent: float


class Totals(NamedTuple):
    """Images per second of several runs, concurrent and sequential."""

    concurrent: float
    sequential: float

    @property
    def gain(self) -> float:
        """Ratio of concurrent to sequential throughput."""
        return self.concurrent / self.sequential

    @property
    def raised(self) -> bool:
        """Whether concurrency raises throughput."""
        return self.gain > NO_GAIN


def throughput(rates: Sequence[Rates]) -> Totals:
    """Total throughput of runs, which may differ in speed."""
    # In one second of concurrent work run i makes c_i images, for which it would need c_i / a_i seconds alone.
    concurrent = sum(rate.concurrent for rate in rates)
    return Totals(concurrent, concurrent / sum(rate.concurrent / rate.alone for rate in rates))


def verdict(count: int, totals: Totals) -> str:
    """Line with the measured throughput of concurrent runs, and the consequence."""
    return (
        f"{count} concurrent runs: {totals.concurrent:.1f} images/s in total, against {totals.sequential:.1f} "
        f"sequentially ({totals.gain:.2f} times){'' if totals.raised else f', {SEQUENTIAL}'}"
    )


def enough_seconds(step: float) -> float:
    """Duration of a measurement of steps that take `step` seconds each."""
    return max(SECONDS, LEAST_STEPS * step)
