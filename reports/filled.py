"""How pictures fill a value range: one that is not theirs is refused, one that clips some of their values is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reports import grids
from reports.errors import ReportError
from reports.grids import Range, Ranges, shown
from reports.layout import Grid
from reports.names import counted
from reports.picture import stored

LOOKED_AT = 16  # pictures, evenly spaced
LEAST_INSIDE = 0.01  # of all values; below, a range is not the data's

T = TypeVar("T")


class Values(NamedTuple):
    """The values of some pictures of one depth.

    Attributes:
        low: The least.
        high: The greatest.
        inside: The share, 0..1, that lies within a range, its ends included.
        bits: 8 or 16.
    """

    low: float
    high: float
    inside: float
    bits: int

    @property
    def whole(self) -> Range:
        """All values of their depth."""
        return 0.0, 2.0**self.bits - 1


def measure(pictures: Iterable[NDArray[np.generic]], ends: Range | None) -> Values:
    """The values of pictures of 8 or 16 bits, at least one, and how many of them lie within a range."""
    return joined([_measured(picture, ends) for picture in pictures])


def joined(each: Sequence[Values]) -> Values:
    """The values of all; pictures count alike, whatever their size."""
    return Values(
        min(values.low for values in each),
        max(values.high for values in each),
        math.fsum(values.inside for values in each) / len(each),
        min(values.bits for values in each),
    )


def spread(some: Sequence[T], most: int = LOOKED_AT) -> list[T]:
    """At most so many of them, evenly spaced, the first and the last included."""
    places = np.unique(np.linspace(0, len(some) - 1, min(most, len(some))).round().astype(int))
    return [some[place] for place in places.tolist()]


def clipped(name: str, ends: Range, values: Values, whose: str, mend: str) -> Iterator[str]:
    """A line on the values beyond a range, if there are any.

    Args:
        name: The file or setting that declares the range.
        ends: The range.
        values: Those of the pictures.
        whose: What they are of, for messages.
        mend: What to do about a range that is refused.

    Raises:
        ReportError: The range is beyond the depth of the pictures, or holds under 1 % of their values.
    """
    if ends[0] < values.whole[0] or ends[1] > values.whole[1]:
        raise ReportError(
            f"{name}: found {shown(ends)}, expected it within {shown(values.whole)}, as {whose} have {values.bits} "
            f"bits; {mend}"
        )
    of_data = shown((values.low, values.high))
    if values.inside < LEAST_INSIDE:
        raise ReportError(
            f"{name}: found {shown(ends)}, within which {_share(values.inside)} of {whose} ({of_data}) lie, expected "
            f"most of them; {mend}"
        )
    if values.inside < 1:
        yield (
            f"{name}: {_share(1 - values.inside)} of {whose} ({of_data}) lie beyond {shown(ends)} and become black or "
            "white"
        )


def ranges(grid: Grid, say: Callable[[str], None] = lambda line: None) -> Ranges:
    """The value ranges that a grid declares, held to 16 of its pictures in `input/` and `real/`.

    Args:
        grid: The grid.
        say: Called with a line where a range clips some of the values.

    Raises:
        ReportError: As `clipped` and `grids.read`; or a picture cannot be read.
    """
    declared = grids.ranges(grid)
    for name, ends, run in (("input_range", declared.input, grid.input), ("output_range", declared.output, grid.real)):
        files = spread(list(run.pictures().values())) if ends is not None else []
        if ends is None or not files:
            continue
        values = measure(map(stored, files), ends)
        whose = f"the values of {counted(len(files), 'picture')} of {run.images}"
        mend = "train the grid anew, elsewhere, with the data's own range"
        for line in clipped(f"{grid.json}: {name}", ends, values, whose, mend):
            say(line)
    return declared


def _measured(picture: NDArray[np.generic], ends: Range | None) -> Values:
    values = np.asarray(picture)
    inside = 1.0 if ends is None else float(np.mean((values >= ends[0]) & (values <= ends[1])))
    return Values(float(values.min()), float(values.max()), inside, 8 if values.dtype.itemsize == 1 else 16)


def _share(share: float) -> str:
    """A share in percent that is rounded to none or all only where it is that."""
    if share in (0, 1):
        return "none" if share == 0 else "all"
    return "under 0.1%" if share < 0.001 else "over 99.9%" if share > 0.999 else f"{share:.1%}"
