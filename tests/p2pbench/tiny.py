"""Settings and pictures so small that a training takes a second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.p2pbench.forked import Started

Command = Callable[..., Started]

TINY = {"dataset": "folders", "image_size": 32, "ngf": 4, "ndf": 4, "receptive_field": 34, "epochs": 2}


def picture(seed: int, side: int = 40) -> NDArray[np.uint8]:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
