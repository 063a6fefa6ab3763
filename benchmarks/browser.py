"""The browser that some benchmarks need."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

LACKING = "no Chromium, or no playwright"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The system's Chromium; None where that or playwright, which drives it, is missing."""
    return next(filter(None, map(shutil.which, NAMES)), None) if find_spec("playwright") else None
