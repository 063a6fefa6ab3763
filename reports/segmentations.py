"""What the scorer of label maps saw in the outputs, the true labels, and where the two differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from reports.gallery import Column
from reports.store.errors import ReportError
from reports.store.layout import Grid

IGNORED = 255
RIGHT, WRONG, UNLABELLED = range(3)
_PALETTE = bytes.fromhex("363b42ff6a4dc4c4be")  # dark where right, red where wrong, pale where nobody has said


@dataclass(frozen=True)
class Seen:
    """Which items have label maps in the report's assets, by number, as in the gallery's rows.

    The files are `TRUTH`, `SEGMENTATION` and `ERRORS` with the numbers of column and item put in.

    Attributes:
        truth: The items with true labels.
        segmented: For each column of the gallery the items with a segmentation, and with an error map where the true
            labels are there as well.
        damages: The files that cannot be used, one line each.
    """

    truth: frozenset[int]
    segmented: tuple[frozenset[int], ...]
    damages: tuple[str, ...]


TRUTH, SEGMENTATION, ERRORS = "t-{item:04}.png", "s{column:02}-{item:04}.png", "e{column:02}-{item:04}.png"


def write(grid: Grid, columns: Sequence[Column], items: Sequence[str], folder: Path) -> Seen | None:
    """Copy the label maps of a grid's runs, and draw where they differ from the truth; None where there are none.

    Args:
        grid: Where they are.
        columns: Those of the gallery.
        items: The ids of the gallery's rows.
        folder: An existing folder.
    """
    if not grid.labels.is_dir() and not any(column.run.segmentations.is_dir() for column in columns):
        return None
    damages: list[str] = []

    def item(number: int) -> tuple[bool, list[bool]]:
        truth = _load(grid.labels / f"{items[number]}.png", damages)
        if truth:
            (folder / TRUTH.format(item=number)).write_bytes(truth.content)
        segmented = []
        for place, column in enumerate(columns):
            source = column.run.segmentations / f"{items[number]}.png"
            seen = _load(source, damages)
            if seen and truth and seen.values.shape != truth.values.shape:
                damages.append(
                    f"{source}: found {seen.size}, expected {truth.size} as the true labels; move it away and score "
                    "the run again"
                )
                seen = None
            if seen:
                (folder / SEGMENTATION.format(column=place, item=number)).write_bytes(seen.content)
            if seen and truth:
                _write_errors(errors(truth.values, seen.values), folder / ERRORS.format(column=place, item=number))
            segmented.append(seen is not None)
        return truth is not None, segmented

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(item, range(len(items))))
    return Seen(
        truth=frozenset(number for number, (labelled, _) in enumerate(found) if labelled),
        segmented=tuple(
            frozenset(number for number, (_, there) in enumerate(found) if there[place])
            for place in range(len(columns))
        ),
        damages=tuple(sorted(damages)),
    )


def errors(truth: NDArray[np.uint8], seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RIGHT, WRONG or UNLABELLED for each pixel of two label maps (H, W)."""
    wrong = np.where(truth == seen, np.uint8(RIGHT), np.uint8(WRONG))
    wrong[truth == IGNORED] = UNLABELLED
    return wrong


class _LabelMap(NamedTuple):
    """A file of the results, read once: as it lies there, and its class indices (H, W)."""

    content: bytes
    values: NDArray[np.uint8]

    @property
    def size(self) -> str:
        return f"{self.values.shape[1]}x{self.values.shape[0]}"


def _load(path: Path, damages: list[str]) -> _LabelMap | None:
    """A label map; None where there is none, or none that can be read, which is then named."""
    try:
        return _read(path) if path.is_file() else None
    except ReportError as error:
        damages.append(str(error))
        return None


def read(path: Path) -> NDArray[np.uint8]:
    """A label map (H, W) from a palette PNG: class indices, IGNORED where there is none.

    Raises:
        ReportError: The file is damaged, or no palette PNG.
    """
    return _read(path).values


def _read(path: Path) -> _LabelMap:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.mode != "P":
                raise ValueError(f"a picture of mode {picture.mode}")
            return _LabelMap(content, np.asarray(picture))
    except UnidentifiedImageError as error:  # which names a place in memory
        raise _no_label_map(path, "no PNG") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _no_label_map(path, str(error)) from error


def _no_label_map(path: Path, why: str) -> ReportError:
    what = f"found no label map ({why}), expected a palette PNG"
    return ReportError(f"{path}: {what}; move it away and score the run again")


def _write_errors(values: NDArray[np.uint8], path: Path) -> None:
    picture = Image.frombytes("P", values.shape[::-1], values.tobytes())
    picture.putpalette(_PALETTE)
    picture.save(path, bits=2, compress_level=1)
