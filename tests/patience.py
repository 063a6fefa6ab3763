"""How long tests wait for what must come: long, as other work may have the processor."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 900.0
"""Seconds after which what did not come is taken for never coming. Only a test that fails waits for so long."""


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Look until something holds.

    Raises:
        AssertionError: it did not within PATIENCE.
    """
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE:.0f} s"
        time.sleep(0.01)
