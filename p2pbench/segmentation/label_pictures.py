"""Label maps as pictures to look at: what a scorer saw in an output, and the truth.

A palette PNG whose pixels are class indices in the classes' colours, and IGNORE, in black, where there is no class. It
says in itself what it was made from, so that one that is out of date, or is no picture of ours, is known.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fcn.labels import IGNORE, LabelTable
from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from reports import atomic

LONGEST_SIDE = 512  # pixels; more is not seen on a page
_KEYWORD = "p2pbench label map"


def write(path: Path, labels: NDArray[np.uint8], table: LabelTable, source: str) -> None:
    """Write a label map as a picture, by nearest neighbour at most `LONGEST_SIDE` long; the same one stays as it is.

    Args:
        path: ITEM.png.
        labels: Class indices (H, W), or channels beyond the classes, which become IGNORE as IGNORE stays it.
        table: The classes' colours.
        source: What `source_of` gives back: a hash of all that the map depends on, or a word.

    Raises:
        ReportError: The file cannot be written.
        UserError: Another's picture is there.
    """
    content = _png(labels, table, source)
    if path.is_file() and path.read_bytes() == content:
        return
    check_free(path)
    atomic.write(path, content)


def check_free(path: Path) -> None:
    """Refuse to write over a picture that is no label map of ours.

    Raises:
        UserError: There is one.
    """
    if path.exists() and source_of(path) is None:
        raise UserError(
            f"{path}: found a picture that was not written by this program, expected none or one of its segmentations; "
            "move it away"
        )


def source_of(path: Path) -> str | None:
    """What the picture of a label map was made from; None where there is no picture, or another than ours."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = image.info.get(_KEYWORD)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return None if found is None else str(found)


def remove_others(folder: Path, ids: Collection[str]) -> None:
    """Remove the pictures of label maps in a folder that are of none of these items; whatever else is there stays."""
    for path in folder.glob("*.png"):
        if path.stem not in ids and source_of(path) is not None:
            path.unlink(missing_ok=True)


def _png(labels: NDArray[np.uint8], table: LabelTable, source: str) -> bytes:
    height, width = labels.shape
    shrunk = min(1.0, LONGEST_SIDE / max(height, width))
    small = pictures.resize_labels(labels, max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    indices = np.where(small < len(table.classes), small, IGNORE).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(table.classes)] = table.class_colours
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette(palette.tobytes())
    note = PngImagePlugin.PngInfo()
    note.add_text(_KEYWORD, source)
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1, pnginfo=note)
    return content.getvalue()
