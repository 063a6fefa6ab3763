"""Turns SIGINT and SIGTERM into a cooperative stop request."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Protocol, runtime_checkable

from p2pbench.errors import UserError


class Stopped(UserError):
    """A stop was requested; everything is saved, and the same command resumes."""


@runtime_checkable
class Stop(Protocol):
    """Stop flag; true once a stop is requested."""

    def __bool__(self) -> bool:
        """Whether a stop is requested."""


StopSource = Callable[[], AbstractContextManager[Stop]]
"""Opens a stop flag for the duration of a block, such as `stop_request`."""


def never_stopped() -> AbstractContextManager[Stop]:
    """Open a stop flag that nothing sets.

    For calls from Python, which leave the signal handlers of their process alone.
    """
    return nullcontext(False)


class StopRequest:
    """Stop flag that signals set; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Set the flag."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a stop request in the block."""
    request = StopRequest()
    previous = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
