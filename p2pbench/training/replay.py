"""Work for a GPU that is told once and then replayed.

A step is over a thousand kernels, most of them so short that telling takes longer than computing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress

import torch

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
