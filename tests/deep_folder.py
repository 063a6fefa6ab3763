"""A folder that nobody can open by its whole path, root neither."""

from __future__ import annotations

import os
from pathlib import Path


def deep_folder(folder: Path) -> Path:
    """Make folders in folders until their path is longer than the system takes; the topmost of them."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return folder / ("d" * 250)
