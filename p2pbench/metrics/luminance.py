"""The luminance of a picture, on one scale for all depths and channel counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range, span, within

REC_601 = (0.299, 0.587, 0.114)
PROTOCOL = "Rec. 601 luma of RGB as stored, mean of the channels of all else; 8 and 16 bits on the scale 0..255"


def luminance(picture: Picture, ends: Range | None = None) -> NDArray[np.float64]:
    """Luminance (H, W), 0..255, of a picture (H, W, C) of 8 or 16 bits, or of the declared range of its values.

    RGB has the luma of ITU-R BT.601, of the values as stored. Where there are not three channels, nobody says what
    colours they are, so that all count alike.
    """
    channels = within(picture, ends)
    values = channels @ np.array(REC_601) if picture.shape[2] == 3 else channels.mean(axis=2)
    scaled: NDArray[np.float64] = values * (255.0 / span(picture.dtype, ends))
    return scaled
