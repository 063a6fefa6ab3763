"""The paper's own fooling rates: Tables 4 and 5, percent of trials in which an output was taken for real."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """A row of one of the tables: what was judged, the rate and the +- beside it, both in percent."""

    name: str
    rate: float
    plus_minus: float


FOOLING: dict[str, tuple[Rate, ...]] = {
    "Table 4, map to aerial photo": (Rate("L1", 0.8, 0.3), Rate("L1+cGAN", 18.9, 2.5)),
    "Table 4, aerial photo to map": (Rate("L1", 2.8, 1.0), Rate("L1+cGAN", 6.1, 1.3)),
    "Table 5, colorization": (
        Rate("L2 regression (Zhang et al. 2016)", 16.3, 2.4),
        Rate("Zhang et al. 2016", 27.8, 2.7),
        Rate("L1+cGAN", 22.5, 1.6),
    ),
}
