"""One browser for all tests in a row that need one."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_open = ExitStack()
_shared: list[Browser] = []


def launch(playwright: Playwright) -> Browser:
    """Start the system's browser without a window."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.fail("no chromium or google-chrome: run `make test`, which installs it")
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


def shared_browser() -> Browser:
    """The browser of this process, started where there is none."""
    from playwright.sync_api import sync_playwright

    if not _shared:
        _shared.append(_open.enter_context(launch(_open.enter_context(sync_playwright()))))
    return _shared[0]


def close_shared_browser() -> None:
    """Close it: its event loop is in the way of tests that have one of their own."""
    _shared.clear()
    _open.close()
