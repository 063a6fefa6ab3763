"""Colour distributions: marginal histograms of L, a and b, and their intersection (paper, Figure 7).

The paper's number and range of bins are not published (docs/paper-protocol.md#colour-histograms); ours are part of the
protocol.
"""

from __future__ import annotations

import csv
import io

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range, span, within

CHANNELS = ("L", "a", "b")
RANGES = ((0.0, 100.0), (-110.0, 110.0), (-110.0, 110.0))
BINS = 100
HEADER = b"channel,low,high,output,target\n"  # of `histogram_csv`

Histograms = NDArray[np.float64]


def lab_histograms(picture: Picture, ends: Range | None = None) -> Histograms:
    """Pixel counts (3, BINS) of an RGB picture (H, W, 3), over L, a and b; `ends` are its black and white."""
    lab = rgb2lab(picture if ends is None else within(picture, ends) / span(picture.dtype, ends))
    return np.stack(
        [
            np.histogram(lab[..., channel], bins=BINS, range=ends)[0].astype(np.float64)
            for channel, ends in enumerate(RANGES)
        ]
    )


def intersection(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """The overlap, 0..1, of counts (..., BINS) along the last axis, each divided by its total."""
    shares = [counts / counts.sum(axis=-1, keepdims=True) for counts in (one, other)]
    overlap: NDArray[np.float64] = np.minimum(*shares).sum(axis=-1)
    return overlap


def histogram_csv(output: NDArray[np.floating], target: NDArray[np.floating]) -> str:
    """Pixel counts (3, BINS) of outputs and targets as CSV: a line a channel and bin, with the bin's edges."""
    text = io.StringIO()
    text.write(HEADER.decode())
    lines = csv.writer(text, lineterminator="\n")
    for channel, ends, *counts in zip(CHANNELS, RANGES, output, target, strict=True):
        edges = [f"{edge:g}" for edge in np.linspace(*ends, BINS + 1)]
        pixels = (side.astype(np.int64).tolist() for side in counts)
        lines.writerows((channel, *line) for line in zip(edges[:-1], edges[1:], *pixels, strict=True))
    return text.getvalue()
