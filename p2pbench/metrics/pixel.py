"""Distances of an output to its target: L1, PSNR, SSIM. Pictures are (H, W, C) of 8 or 16 bits, both alike.

`ends` is the range of values that the pictures use: both are clipped to it, and differences are measured by its length.
None is all of the depth.
"""

from __future__ import annotations

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range, span, within

IDENTICAL_PSNR = 100.0  # dB; the PSNR of equal pictures is infinite, and one such item would make any mean so


def l1(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Mean absolute difference, values scaled to 0..1."""
    return float(np.abs(within(output, ends) - within(target, ends)).mean() / span(target.dtype, ends))


def psnr(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels, at most 100."""
    found, expected = within(output, ends), within(target, ends)
    if np.array_equal(found, expected):
        return IDENTICAL_PSNR
    value = peak_signal_noise_ratio(expected, found, data_range=span(target.dtype, ends))
    return float(min(value, IDENTICAL_PSNR))


def ssim(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Structural similarity, -1..1, with the Gaussian window (sigma 1.5) of Wang et al. 2004, mean over channels."""
    return float(
        structural_similarity(
            within(target, ends),
            within(output, ends),
            data_range=span(target.dtype, ends),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
