"""The image scores of a run: L1, PSNR and SSIM against the targets, and colour distributions against real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures
from p2pbench.datasets.pictures import Picture
from p2pbench.errors import UserError
from p2pbench.metrics import colour, pixel
from reports import bootstrap
from reports.scores import Metric, Scores

SCORER = "image"
PIXEL_METRICS: dict[str, Callable[[Picture, Picture], float]] = {
    "l1": pixel.l1,
    "psnr": pixel.psnr,
    "ssim": pixel.ssim,
}


class _ItemScore(NamedTuple):
    pixel: list[float]
    histograms: tuple[colour.Histograms, colour.Histograms] | None  # of output and target; RGB alone has them


Target = Callable[[str], Picture]
"""Finds an item's target picture by its id."""


def score_images(
    outputs: Mapping[str, Path],
    target: Target,
    n_expected: int,
    *,
    native: bool = False,
    origin: Mapping[str, object] | None = None,
) -> Scores:
    """Score output pictures against their targets.

    Args:
        outputs: the output files by item id, at least one.
        target: finds the target of an item.
        n_expected: how many items the split has.
        native: targets have their own size and aspect, and outputs are resized to it; else sizes must be equal.
        origin: how the outputs were made, for the protocol.

    Raises:
        UserError: a picture cannot be decoded, or differs from its target in size, channels or depth.
    """
    ids = sorted(outputs)
    with ThreadPoolExecutor() as pool:
        items = list(pool.map(lambda id_: _score_item(outputs[id_], target(id_), native), ids))
    weights = bootstrap.item_weights(ids)
    metrics = {
        name: _mean(np.array([item.pixel[place] for item in items]), weights)
        for place, name in enumerate(PIXEL_METRICS)
    }
    histograms = [item.histograms for item in items if item.histograms is not None]
    if len(histograms) == len(items):
        fake, real = (np.stack(side).astype(np.float32) for side in zip(*histograms, strict=True))
        metrics |= _colour_metrics(fake, real, weights)
    return Scores(SCORER, {**protocol(native=native), **(origin or {})}, tuple(ids), n_expected, metrics)


def protocol(*, native: bool = False) -> dict[str, object]:
    """Every choice that changes an image score."""
    return {
        "l1": "mean absolute difference, values scaled to 0..1",
        "psnr": f"over all channels, mean over items, at most {pixel.IDENTICAL_PSNR:g} dB",
        "ssim": "Gaussian window, sigma 1.5, population covariance, mean over channels and items",
        "histogram": f"CIE Lab (D65), {colour.BINS} bins, L 0..100, a and b -110..110, all pixels of all items pooled",
        "implementation": f"scikit-image {version('scikit-image')}, Pillow {version('pillow')}",
        "pictures": (
            "outputs resized to the target's own size (Pillow bilinear)"
            if native
            else "as generated, against the target under the same resizing"
        ),
    }


def _score_item(output_file: Path, target: Picture, native: bool) -> _ItemScore:
    output = pictures.read(output_file)
    if native:
        output = pictures.resize(output, target.shape[1], target.shape[0])
    if output.shape != target.shape or output.dtype != target.dtype:
        raise UserError(
            f"{output_file}: found {_form(output)}, expected {_form(target)} as its target; "
            "generate at the size of the targets, or fill real/ anew"
        )
    histograms = None
    if output.shape[2] == 3 and output.dtype == np.uint8:
        histograms = colour.lab_histograms(output.astype(np.uint8)), colour.lab_histograms(target.astype(np.uint8))
    return _ItemScore([metric(output, target) for metric in PIXEL_METRICS.values()], histograms)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float32]) -> Metric:
    return Metric(float(values.mean()), weights @ values / len(values), values)


def _colour_metrics(
    fake: NDArray[np.float32], real: NDArray[np.float32], weights: NDArray[np.float32]
) -> dict[str, Metric]:
    """Intersections of pooled histograms (items, 3, BINS); in a replicate both sides draw the same items."""
    metrics = {}
    for place, name in enumerate(colour.CHANNELS):
        one, other = fake[:, place], real[:, place]
        value = colour.intersection(one.sum(axis=0), other.sum(axis=0))
        metrics[f"histogram_{name.lower()}"] = Metric(
            float(value), colour.intersection(weights @ one, weights @ other), None
        )
    return metrics


def _form(picture: Picture) -> str:
    height, width, channels = picture.shape
    return f"{width}x{height}, {channels} channel{'s' if channels > 1 else ''}, {picture.dtype}"
