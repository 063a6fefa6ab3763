"""Metrics of an output and its target.

L1, PSNR, SSIM, GMSD, sharpness, Lab histograms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, span, within
from reports.store.atomic import csv_text

REC_601 = (0.299, 0.587, 0.114)
LUMINANCE = "Rec. 601 luma of RGB as stored, mean of the channels of all else; 8 and 16 bits on the scale 0..255"


def luminance(picture: Picture, ends: Range | None = None) -> NDArray[np.float64]:
    """Luminance (H, W), 0..255, of a picture (H, W, C).

    The picture has 8 or 16 bits, or a declared range of values.

    RGB has the luma of ITU-R BT.601, of the values as stored. Other channels have unknown colours, and are averaged.
    """
    channels = within(picture, ends)
    values = channels @ np.array(REC_601) if picture.shape[2] == 3 else channels.mean(axis=2)
    # One scale for all depths, so that constants such as GMSD's C mean the same.
    scaled: NDArray[np.float64] = values * (255.0 / span(picture.dtype, ends))
    return scaled


IDENTICAL_PSNR = 100.0  # dB; the PSNR of equal pictures is infinite, and one such item would make any mean so


def l1(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Mean absolute difference, values scaled to 0..1."""
    return float(np.abs(within(output, ends) - within(target, ends)).mean() / span(target.dtype, ends))


def psnr(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels, at most 100."""
    found, expected = within(output, ends), within(target, ends)
    if np.array_equal(found, expected):
        return IDENTICAL_PSNR
    # Capped for pictures that differ in one grey level of one pixel, as for equal ones.
    value = peak_signal_noise_ratio(expected, found, data_range=span(target.dtype, ends))
    return float(min(value, IDENTICAL_PSNR))


def ssim(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """Structural similarity, -1..1, mean over channels.

    With the Gaussian window (sigma 1.5) of Wang et al. 2004.
    """
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


# A flat target has no energy to divide by. Rounding to integer grey levels has a variance of 1/12, and the Laplacian's
# weights (4 and four times 1) squared sum to 20: this is the energy of rounding alone.
ROUNDING = 20 / 12


def gradient_energy(picture: Picture, ends: Range | None = None) -> float:
    """Mean square of the Laplacian of the luminance (0..255).

    Plus `ROUNDING`, so it is above 0 for any picture.

    The Laplacian has four neighbours; pixels beyond the border repeat those on it, so a flat picture has none.
    `ends` is the range of values that pictures use, None all of their depth.
    """
    return float(np.square(laplace(luminance(picture, ends), mode="reflect")).mean() + ROUNDING)


C = 170.0  # of the paper, for luminance 0..255; keeps flat pictures from dividing by zero


def gmsd(output: Picture, target: Picture, ends: Range | None = None) -> float:
    """GMSD: standard deviation over pixels of the similarity of two gradient magnitudes.

    0 for equal pictures.

    Pictures (H, W, C) of any size are halved first by the mean of 2x2 pixels; beyond their borders lies black.
    `ends` is the range of values that they use, None all of their depth.
    """
    one, other = (_gradient_magnitude(_halve(luminance(picture, ends))) for picture in (output, target))
    return float(((2 * one * other + C) / (one**2 + other**2 + C)).std())


def _halve(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each 2x2 pixels; an odd side gets a black line, as in the authors' program."""
    even = np.pad(plane, [(0, side % 2) for side in plane.shape])
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _gradient_magnitude(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """By Prewitt's filters, each weight a third."""
    padded = np.pad(plane, 1)
    across, down = padded[:, 2:] - padded[:, :-2], padded[2:] - padded[:-2]
    horizontal = (across[:-2] + across[1:-1] + across[2:]) / 3
    vertical = (down[:, :-2] + down[:, 1:-1] + down[:, 2:]) / 3
    magnitude: NDArray[np.float64] = np.sqrt(horizontal**2 + vertical**2)
    return magnitude


CHANNELS = ("L", "a", "b")
RANGES = ((0.0, 100.0), (-110.0, 110.0), (-110.0, 110.0))
BINS = 100
HISTOGRAM_HEADER = b"channel,low,high,output,target\n"  # of `histogram_csv`

Histograms = NDArray[np.float64]


def lab_histograms(picture: Picture, ends: Range | None = None) -> Histograms:
    """Lab histograms (3, BINS) of an RGB picture (H, W, 3).

    Over L, a and b; `ends` are its black and white.
    """
    lab = rgb2lab(picture if ends is None else within(picture, ends) / span(picture.dtype, ends))
    return np.stack(
        [
            np.histogram(lab[..., channel], bins=BINS, range=ends)[0].astype(np.float64)
            for channel, ends in enumerate(RANGES)
        ]
    )


def intersection(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Overlap, 0..1, of normalised counts (..., BINS)."""
    shares = [counts / counts.sum(axis=-1, keepdims=True) for counts in (one, other)]
    overlap: NDArray[np.float64] = np.minimum(*shares).sum(axis=-1)
    return overlap


def histogram_csv(output: NDArray[np.floating], target: NDArray[np.floating]) -> str:
    """Format histograms (3, BINS) of outputs and targets as CSV.

    One line per channel and bin, with its edges.
    """
    lines: list[tuple[object, ...]] = []
    for channel, ends, *counts in zip(CHANNELS, RANGES, output, target, strict=True):
        edges = [f"{edge:g}" for edge in np.linspace(*ends, BINS + 1)]
        pixels = (side.astype(np.int64).tolist() for side in counts)
        lines += ((channel, *line) for line in zip(edges[:-1], edges[1:], *pixels, strict=True))
    return HISTOGRAM_HEADER.decode() + csv_text(lines)
