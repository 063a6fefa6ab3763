"""Training steps captured as CUDA graphs and replayed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

import torch
from torch import Tensor

from p2pbench.config import RunConfig
from p2pbench.datasets import augmentation
from p2pbench.runtime.progress import Losses
from p2pbench.training.batches import Batch, Batches, Plan
from p2pbench.training.model import Model
from p2pbench.training.seeding import Purpose, default_generator, torch_seed
from p2pbench.training.step import Watch, loss_names, take_step, training_step

WARM_UP = 3  # times that the work is done plainly: kernels are chosen and optimizers get their state


Say = Callable[[str], None]


class Replay:
    """Work without arguments that changes tensors in place, captured as a CUDA graph after it was done a few times.

    What it reads and writes must be the same tensors each time. Each call draws noise from a seed of its own, which a
    replay takes from the generator as plain work does: both draw the same. Where capture is not possible, the work goes
    on being done plainly, and `say` hears why, once.
    """

    def __init__(self, work: Callable[[], None], noise: torch.Generator, say: Say) -> None:
        self._work, self._noise, self._say = work, noise, say
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._refused = False

    @property
    def captured(self) -> bool:
        """Whether the next call replays."""
        return self._graph is not None

    def __call__(self, seed: int) -> None:
        """Do the work with noise of a seed, on the current stream, which must not be the default one."""
        if self._graph is None and self._done >= WARM_UP and not self._refused:
            self._capture()
        self._noise.manual_seed(seed)  # after a capture too: it is then that a replay takes it
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
        self._done += 1

    def _capture(self) -> None:
        """Note down the work. Nothing is computed meanwhile."""
        gc.collect()  # another graph that was thrown away meanwhile would end the capture
        try:
            graph = torch.cuda.CUDAGraph()
            # The stream that warmed up: gradients are added on the stream that their weights were first used on.
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                self._work()
        except RuntimeError as error:  # out of memory too: a capture has gradients of its own, plain steps may fit
            self._refused = True
            self._say(f"steps cannot be captured here and are taken one by one, slower: {str(error).splitlines()[0]}")
            torch.cuda.synchronize()
            with suppress(RuntimeError):  # if it matters, the next draw says so
                _draw_plainly_again()
        else:
            self._graph = graph


def _draw_plainly_again() -> None:
    """Let noise be drawn: up to torch 2.12 a capture that failed leaves the generator waiting for its end."""
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin()  # a capture that succeeds ends both; `torch.cuda.graph` would empty caches
    torch.zeros(1, device="cuda")
    graph.capture_end()


class Steps(Protocol):
    """Takes steps in order."""

    read_each: bool
    """Whether losses cost nothing to read; else only what is logged should be read."""

    def on(self) -> AbstractContextManager[object]:
        """Where all work on the model is done while steps are taken."""

    def take(self, step: int) -> int:
        """Take a step; how many items it saw. May raise NonFiniteLoss."""

    def losses(self) -> Losses:
        """Those of the last step. May raise NonFiniteLoss, of an earlier step too."""


def open_steps(
    model: Model, batches: Batches, config: RunConfig, device: torch.device, start: int, stop: int, say: Say
) -> Steps:
    """Steps start .. stop - 1 of a training.

    `say` hears why steps cannot be captured on a GPU, should that be so.
    """
    if device.type == "cuda":
        return ReplayedSteps(model, batches, config, device, start, stop, say)
    return PlainSteps(model, batches, config, device, start, stop)


class PlainSteps:
    """Each step told and waited for."""

    read_each = True

    def __init__(
        self, model: Model, batches: Batches, config: RunConfig, device: torch.device, start: int, stop: int
    ) -> None:
        self._model, self._config = model, config
        self._noise = default_generator(device)
        self._batches = batches.between(start, stop)
        self._losses: Losses = {}

    def on(self) -> AbstractContextManager[object]:
        """Anywhere."""
        return nullcontext()

    def take(self, step: int) -> int:
        """Take a step. Raises NonFiniteLoss before the update that would have used the loss."""
        batch = next(self._batches)
        self._noise.manual_seed(torch_seed(self._config.seed, Purpose.DROPOUT, step))
        self._losses = training_step(self._model, batch, self._config)
        return len(batch.input)

    def losses(self) -> Losses:
        """Those of the last step."""
        return self._losses


class ReplayedSteps:
    """Steps of a GPU: crops, both updates and the watch over losses are captured once and replayed.

    Nothing waits for the device but `losses`. After a loss that is not finite no step changes a weight, and the next
    call of `losses` says so. The last batch of an epoch, where it is smaller, has a capture of its own.
    """

    read_each = False

    def __init__(
        self, model: Model, batches: Batches, config: RunConfig, device: torch.device, start: int, stop: int, say: Say
    ) -> None:
        self._model, self._batches, self._config, self._device = model, batches, config, device
        self._say = _once(say)
        self._noise = default_generator(device)
        self._watch = Watch(model, loss_names(config), device)
        self._replays: dict[int, tuple[Replay, Callable[[], None]]] = {}
        self._resident = batches.resident
        if self._resident is not None:
            self._plan = Plan(batches.draws(start, stop), device)
        else:
            self._arriving: Iterator[Batch] = batches.between(start, stop)
        self._stream = torch.cuda.Stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))  # the networks were made there

    def on(self) -> AbstractContextManager[object]:
        """A stream of its own, since the default one cannot be captured."""
        return torch.cuda.stream(self._stream)

    def take(self, step: int) -> int:
        """Take a step, or rather tell the device to."""
        size = self._batches.size_of(step)
        if size not in self._replays:
            self._replays[size] = self._prepare(size)
        replay, fill = self._replays[size]
        fill()
        replay(torch_seed(self._config.seed, Purpose.DROPOUT, step))
        if self._resident is not None:
            self._plan.draw_ahead()
        return size

    def losses(self) -> Losses:
        """Those of the last step. Raises NonFiniteLoss, which says how many steps ago it was."""
        return self._watch.read()

    @property
    def captured(self) -> bool:
        """Whether every size of a batch that came so far has a capture."""
        return all(replay.captured for replay, _ in self._replays.values())

    def _prepare(self, size: int) -> tuple[Replay, Callable[[], None]]:
        """The replay of steps of that many items, and what fills the tensors that it reads."""
        if self._resident is not None:
            parts, plan, batches, side = self._resident, self._plan, self._batches, self._config.image_size
            rows = torch.empty(size, 4, dtype=torch.int64, device=self._device)

            def cut() -> Batch:
                input_, target = (augmentation.gather(parts[name], rows, side) for name in ("input", "target"))
                return batches.finished(input_, target, None)

            return self._replay(cut), lambda: _fill(rows, plan.next())
        static: list[Batch] = []
        arriving = self._arriving

        def receive() -> None:
            arrived = next(arriving)
            if not static:
                static.append(Batch(arrived.input.clone(), arrived.target.clone(), None))
            _fill(static[0].input, arrived.input)
            _fill(static[0].target, arrived.target)

        return self._replay(lambda: static[0]), receive

    def _replay(self, batch: Callable[[], Batch]) -> Replay:
        # Not `self`, which holds the replay: what goes in a circle keeps its memory until Python looks for circles.
        model, config, watch = self._model, self._config, self._watch

        def work() -> None:
            watch.end_step(take_step(model, batch(), config, watch))

        return Replay(work, self._noise, self._say)


def _fill(static: Tensor, values: Tensor) -> None:
    static.copy_(values, non_blocking=True)


def _once(say: Say) -> Say:
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once
