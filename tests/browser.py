"""One browser for all tests in a row that need one."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

WHOLE = ("chromium", "chromium-browser", "google-chrome")
QUICK = ("chromium-headless-shell", *WHOLE)
"""First one that only shows pages, in a third of the time: none is ever behind another, and all pictures are loaded."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_open = ExitStack()
_playwright: list[Playwright] = []
_shared: dict[tuple[str, ...], Browser] = {}


def launch(playwright: Playwright, names: tuple[str, ...] = WHOLE) -> Browser:
    """Start the first of these browsers that the system has, without a window."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.fail("no chromium or google-chrome: run `make test`, which installs it")
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


def shared_browser(names: tuple[str, ...] = QUICK) -> Browser:
    """The browser of this process, started where there is none."""
    from playwright.sync_api import sync_playwright

    if not _playwright:
        _playwright.append(_open.enter_context(sync_playwright()))
    if names not in _shared:
        _shared[names] = _open.enter_context(launch(_playwright[0], names))
    return _shared[names]


def close_shared_browser() -> None:
    """Close it: its event loop is in the way of tests that have one of their own."""
    _shared.clear()
    _playwright.clear()
    _open.close()
