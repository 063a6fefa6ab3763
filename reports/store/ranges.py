"""Value ranges of pictures: which values are black and white."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reports.store.errors import ReportError

LOOKED_AT = 16  # pictures, evenly spaced
LEAST_INSIDE = 0.01  # of all values; with less, a range does not belong to the data
T = TypeVar("T")

Range = tuple[float, float]
"""The values of black and white in a picture; those beyond are clipped."""
LARGEST = 65535  # value of a picture, at 16 bits


class Values(NamedTuple):
    """Extremes of the values of pictures, and the share within a range.

    Attributes:
        low: Minimum.
        high: Maximum.
        inside: Share within a range, 0..1, its ends included.
        bits: 8 or 16.
    """

    low: float
    high: float
    inside: float
    bits: int

    @property
    def whole(self) -> Range:
        """Full range of the bit depth."""
        return 0.0, 2.0**self.bits - 1


def measure(pictures: Iterable[NDArray[np.generic]], ends: Range | None) -> Values:
    """Measure the values of at least one picture against a range."""
    return joined([_measured(picture, ends) for picture in pictures])


def joined(each: Sequence[Values]) -> Values:
    """Combine measurements; pictures count equally, whatever their size."""
    return Values(
        min(values.low for values in each),
        max(values.high for values in each),
        # fsum rounds once, so that the share does not depend on the order of pictures.
        math.fsum(values.inside for values in each) / len(each),
        min(values.bits for values in each),
    )


def spread(some: Sequence[T], most: int = LOOKED_AT) -> list[T]:
    """At most `most` evenly spaced elements, the first and last included."""
    places = np.unique(np.linspace(0, len(some) - 1, min(most, len(some))).round().astype(int))
    return [some[place] for place in places.tolist()]


def clipped(name: str, ends: Range, values: Values, whose: str, mend: str) -> Iterator[str]:
    """Line on values beyond a range, if there are any.

    Args:
        name: File or setting that declares the range.
        ends: The range.
        values: Values of the pictures.
        whose: Name of the values in messages.
        mend: Fix named in the message of a refusal.

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


def _measured(picture: NDArray[np.generic], ends: Range | None) -> Values:
    values = np.asarray(picture)
    inside = 1.0 if ends is None else float(np.mean((values >= ends[0]) & (values <= ends[1])))
    return Values(float(values.min()), float(values.max()), inside, 8 if values.dtype.itemsize == 1 else 16)


def _share(share: float) -> str:
    """Percentage, rounded to none or all only where exact."""
    if share in (0, 1):
        return "none" if share == 0 else "all"
    return "under 0.1%" if share < 0.001 else "over 99.9%" if share > 0.999 else f"{share:.1%}"


def as_range(value: object) -> Range:
    """Validate a range of picture values from a document.

    Raises:
        ValueError: It is not two whole numbers from 0 to 65535, the lower first.
    """
    ends = tuple(value) if isinstance(value, (list, tuple)) else ()
    numbers = len(ends) == 2 and all(type(end) in (int, float) and 0 <= end <= LARGEST and end % 1 == 0 for end in ends)
    if not numbers or not ends[0] < ends[1]:
        raise ValueError(
            f"expected two whole numbers from 0 to {LARGEST} (of pictures of 8 bits, to 255), the lower first, such as "
            f"[1000, 1400], found {list(ends) or value!r}"
        )
    return float(ends[0]), float(ends[1])


def shown(ends: Range) -> str:
    """A range in messages, such as 1000..1400."""
    return "..".join(f"{end:.10g}" for end in ends)
