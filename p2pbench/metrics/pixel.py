"""Distances of an output to its target: L1, PSNR, SSIM. Pictures are (H, W, C) of 8 or 16 bits, both alike."""

from __future__ import annotations

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from p2pbench.datasets.pictures import Picture

IDENTICAL_PSNR = 100.0  # dB; the PSNR of equal pictures is infinite, and one such item would make any mean so


def l1(output: Picture, target: Picture) -> float:
    """Mean absolute difference, values scaled to 0..1."""
    return float(np.abs(output.astype(np.float64) - target.astype(np.float64)).mean() / _peak(target))


def psnr(output: Picture, target: Picture) -> float:
    """Peak signal-to-noise ratio in dB over all channels, at most 100."""
    if np.array_equal(output, target):
        return IDENTICAL_PSNR
    return float(min(peak_signal_noise_ratio(target, output, data_range=_peak(target)), IDENTICAL_PSNR))


def ssim(output: Picture, target: Picture) -> float:
    """Structural similarity, -1..1, with the Gaussian window (sigma 1.5) of Wang et al. 2004, mean over channels."""
    return float(
        structural_similarity(
            target,
            output,
            data_range=_peak(target),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _peak(picture: Picture) -> float:
    return float(np.iinfo(picture.dtype).max)
