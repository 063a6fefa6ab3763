"""Files that a command makes and never replaces."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from p2pbench.errors import UserError
from reports.made import digest


def write_once(out: Path, write: Callable[[Path], None]) -> bool:
    """Write `out`, which `write` does at the path it is given, unless it is there already with the same content.

    Returns:
        Whether it was written.

    Raises:
        UserError: Something else is there.
    """
    if not os.path.lexists(out):
        write(out)
        return True
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "again")
        write(again)
        if digest(again) != digest(out):
            raise UserError(f"{out}: found something else there, expected nothing; move it away or name another file")
    return False
