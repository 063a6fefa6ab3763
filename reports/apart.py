"""Outputs kept apart from inputs, so that nothing overwrites what it reads, or is read by the next call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reports.errors import ReportError


def check(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is, holds or lies in one of the inputs; links and `..` are followed.

    Args:
        output: The file or folder to be written, whether or not it exists.
        inputs: Files and folders that are read.

    Raises:
        ReportError: It is, holds or lies in one; that one is named.
    """
    written = Path(os.path.realpath(output))
    for input_ in inputs:
        read = Path(os.path.realpath(input_))
        if written == read:
            relation = "is the same as"
        elif read.is_relative_to(written):
            relation = "holds"
        elif written.is_relative_to(read):
            relation = "lies in"
        else:
            continue
        raise ReportError(f"{output}: {relation} {input_}, which is read; expected a place apart; write elsewhere")
