"""Training steps captured as CUDA graphs and replayed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

import torch
from torch import Tensor

from p2pbench.datasets import augmentation
from p2pbench.runtime.progress import Losses
from p2pbench.training.batches import Batch, Batches, CropQueue
from p2pbench.training.model import Model
from p2pbench.training.seeding import Purpose, default_generator, torch_seed
from p2pbench.training.step import NonFiniteGuard, loss_names, take_step, training_step

WARM_UP = 3  # plain calls before the capture: cuDNN chooses its kernels, optimizers allocate their state

Say = Callable[[str], None]


class CudaGraphStep:
    """Work captured as a CUDA graph, and replayed from then on.

    The work has no arguments; the first few calls are plain.

    A graph holds addresses, so the work must read and write the same tensors each time. Each call has its own noise
    seed, which a replay takes from the generator just as plain work does: both draw the same. Where capture is
    impossible, the work stays plain, and `say` gets the reason, once.
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
        """Do the work with the noise of a seed.

        On the current stream, which must not be the default one.
        """
        if self._graph is None and self._done >= WARM_UP and not self._refused:
            self._capture()
        self._noise.manual_seed(seed)  # after a capture too: it is then that a replay takes it
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
        self._done += 1

    def _capture(self) -> None:
        """Record the work as a graph, without computing anything."""
        gc.collect()  # a discarded graph that is freed during the capture would end it
        try:
            graph = torch.cuda.CUDAGraph()
            # On the stream of the plain calls: autograd adds gradients on the stream that first used their weights.
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                self._work()
        except RuntimeError as error:  # out of memory too: a capture has its own gradients, plain steps may fit
            self._refused = True
            self._say(f"steps cannot be captured here and are taken one by one, slower: {str(error).splitlines()[0]}")
            torch.cuda.synchronize()
            with suppress(RuntimeError):  # if it matters, the next draw raises it
                _release_generator()
        else:
            self._graph = graph


def _release_generator() -> None:
    """Release the noise generator: up to torch 2.12 a failed capture leaves it waiting for the capture's end."""
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin()  # a capture that succeeds ends both; `torch.cuda.graph` would empty caches
    torch.zeros(1, device="cuda")
    graph.capture_end()


class Steps(Protocol):
    """Training steps in order."""

    cheap_losses: bool
    """Whether reading losses costs nothing; else they should be read for logging alone."""

    def stream(self) -> AbstractContextManager[object]:
        """Select the stream on which all work on the model is done."""

    def take(self, step: int) -> int:
        """Take a step and return its number of items. May raise NonFiniteLoss."""

    def losses(self) -> Losses:
        """Read the last step's losses.

        May raise NonFiniteLoss, of an earlier step too.
        """


def open_steps(model: Model, batches: Batches, steps: range, say: Say) -> Steps:
    """Prepare consecutive steps of a training.

    `say` gets the reason where a GPU cannot capture them.
    """
    if batches.device.type == "cuda":
        return ReplayedSteps(model, batches, steps, say)
    return PlainSteps(model, batches, steps)


class PlainSteps:
    """Steps launched and waited for one by one."""

    cheap_losses = True

    def __init__(self, model: Model, batches: Batches, steps: range) -> None:
        self._model, self._config = model, batches.config
        self._noise = default_generator(batches.device)
        self._batches = batches.between(steps.start, steps.stop)
        self._losses: Losses = {}

    def stream(self) -> AbstractContextManager[object]:
        """Stay on the current stream."""
        return nullcontext()

    def take(self, step: int) -> int:
        """Take a step.

        Raises NonFiniteLoss before the update that would have used the loss.
        """
        batch = next(self._batches)
        self._noise.manual_seed(torch_seed(self._config.seed, Purpose.DROPOUT, step))
        self._losses = training_step(self._model, batch, self._config)
        return len(batch.input)

    def losses(self) -> Losses:
        """Return the last step's losses."""
        return self._losses


class ReplayedSteps:
    """Training steps on a GPU, as CUDA graphs.

    Crops, both updates and the check of the losses are captured once and replayed.

    Only `losses` waits for the device. After a non-finite loss no step changes a weight, and the next call of `losses`
    raises it. The smaller last batch of an epoch has its own capture.
    """

    cheap_losses = False

    def __init__(self, model: Model, batches: Batches, steps: range, say: Say) -> None:
        self._model, self._batches, self._config = model, batches, batches.config
        self._say = _once(say)
        self._noise = default_generator(batches.device)
        self._guard = NonFiniteGuard(model, loss_names(batches.config), batches.device)
        self._replays: dict[int, tuple[CudaGraphStep, Callable[[], None]]] = {}
        self._resident = batches.resident
        if self._resident is not None:
            self._crops = CropQueue(batches.draws(steps.start, steps.stop), batches.device)
        else:
            self._arriving: Iterator[Batch] = batches.between(steps.start, steps.stop)
        self._stream = torch.cuda.Stream(batches.device)
        # The networks were made on the current stream; without the wait, steps could read weights not yet written.
        self._stream.wait_stream(torch.cuda.current_stream(batches.device))

    def stream(self) -> AbstractContextManager[object]:
        """Select a separate stream, since the default one cannot be captured."""
        return torch.cuda.stream(self._stream)

    def take(self, step: int) -> int:
        """Launch a step."""
        size = self._batches.size_of(step)
        if size not in self._replays:
            self._replays[size] = self._prepare(size)
        replay, fill = self._replays[size]
        fill()
        replay(torch_seed(self._config.seed, Purpose.DROPOUT, step))
        if self._resident is not None:
            self._crops.draw_ahead()
        return size

    def losses(self) -> Losses:
        """Read the last step's losses.

        Raises NonFiniteLoss, with the number of steps since.
        """
        return self._guard.read()

    @property
    def captured(self) -> bool:
        """Whether every batch size so far has a capture."""
        return all(replay.captured for replay, _ in self._replays.values())

    def _prepare(self, size: int) -> tuple[CudaGraphStep, Callable[[], None]]:
        """Build a step of that many items, and the function that fills the tensors it reads."""
        if self._resident is not None:
            parts, crops, batches, side = self._resident, self._crops, self._batches, self._config.image_size
            rows = torch.empty(size, 4, dtype=torch.int64, device=batches.device)

            def cut() -> Batch:
                input_, target = (augmentation.gather(parts[name], rows, side) for name in ("input", "target"))
                return batches.finished(input_, target, None)

            return self._replay(cut), lambda: _fill(rows, crops.next())
        static: list[Batch] = []
        arriving = self._arriving

        def receive() -> None:
            arrived = next(arriving)
            if not static:
                static.append(Batch(arrived.input.clone(), arrived.target.clone(), None))
            _fill(static[0].input, arrived.input)
            _fill(static[0].target, arrived.target)

        return self._replay(lambda: static[0]), receive

    def _replay(self, batch: Callable[[], Batch]) -> CudaGraphStep:
        # Not `self`, which holds the replay: a reference cycle would keep its memory until Python collects cycles.
        model, config, guard = self._model, self._config, self._guard

        def work() -> None:
            guard.end_step(take_step(model, batch(), config, guard))

        return CudaGraphStep(work, self._noise, self._say)


def _fill(static: Tensor, values: Tensor) -> None:
    static.copy_(values, non_blocking=True)


def _once(say: Say) -> Say:
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once
