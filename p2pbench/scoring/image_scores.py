"""The image scores of a run: its outputs against their targets, and the colours of all of them against real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.datasets.contents import digest, picture_hash
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, declared
from p2pbench.errors import UserError
from p2pbench.metrics import images
from reports.store.names import counted
from reports.store.scores import Metric, Scores

SCORER = "image"


PIXEL_METRICS: dict[str, Callable[[Picture, Picture, Range | None], float]] = {
    "l1": images.l1,
    "psnr": images.psnr,
    "ssim": images.ssim,
    "gmsd": images.gmsd,
}


class _ItemScore(NamedTuple):
    pixel: list[float]
    energies: tuple[float, float]  # of output and target
    histograms: tuple[images.Histograms, images.Histograms] | None  # of output and target; see `_has_colours`
    truth: str  # a hash of the target


class ImageScores(NamedTuple):
    """What the image scorer says about a run.

    Attributes:
        scores: The scores.
        histograms: Pixel counts (3, BINS) over Lab of all outputs and of all targets; None where pictures are not all
            RGB of 8 bits, or of a declared range.
    """

    scores: Scores
    histograms: tuple[images.Histograms, images.Histograms] | None


Target = Callable[[str], Picture]


"""Finds an item's target picture by its id."""


def score_images(
    outputs: Mapping[str, Path],
    target: Target,
    n_expected: int,
    *,
    native: bool = False,
    ends: Range | None = None,
    origin: Mapping[str, object] | None = None,
    clusters: ItemClusters | None = None,
) -> ImageScores:
    """Score output pictures against their targets.

    Args:
        outputs: the output files by item id, at least one.
        target: finds the target of an item.
        n_expected: how many items the split has.
        native: targets have their own size and aspect, and outputs are resized to it; else sizes must be equal.
        ends: the values that are black and white; outputs and targets are clipped to them. None is all of the depth.
        origin: how the outputs were made, for the protocol.
        clusters: which items are drawn together, if any.

    Raises:
        UserError: a picture cannot be decoded, or differs from its target in size, channels or depth.
    """
    ids = sorted(outputs)
    with ThreadPoolExecutor() as pool:
        items = list(pool.map(lambda id_: _score_item(outputs[id_], target(id_), native, ends), ids))
    weights = weights_of(ids, clusters)
    metrics = {
        name: mean(np.array([item.pixel[place] for item in items]), weights) for place, name in enumerate(PIXEL_METRICS)
    }
    metrics["sharpness"] = _sharpness(np.array([item.energies for item in items]), weights)
    histograms = [item.histograms for item in items if item.histograms is not None]
    pooled = None
    if len(histograms) == len(items):
        fake, real = (np.stack(side) for side in zip(*histograms, strict=True))
        pooled = fake.sum(axis=0), real.sum(axis=0)
        metrics |= _colour_metrics(fake.astype(np.float32), real.astype(np.float32), weights)
    whole = {
        **protocol(native=native, ends=ends),
        **truth({id_: item.truth for id_, item in zip(ids, items, strict=True)}),
        **of_clusters(clusters, ids),
    }
    scores = Scores(SCORER, {**whole, **(origin or {})}, tuple(ids), n_expected, metrics)
    return ImageScores(scores, pooled)


def protocol(*, native: bool = False, ends: Range | None = None) -> dict[str, object]:
    """Every choice that changes an image score."""
    return {
        "l1": "mean absolute difference, values scaled to 0..1",
        "psnr": f"over all channels, mean over items, at most {images.IDENTICAL_PSNR:g} dB",
        "ssim": "Gaussian window, sigma 1.5, population covariance, mean over channels and items",
        "gmsd": f"Prewitt on luminance halved by 2x2 means, zeros beyond the border, c = {images.C:g}, mean over items",
        "sharpness": "mean square of the 4-neighbour Laplacian of luminance, borders repeated, plus "
        f"{images.ROUNDING:.4g} for rounding: sum over outputs over sum over targets",
        "luminance": images.LUMINANCE,
        "histogram": f"CIE Lab (D65), {images.BINS} bins, L 0..100, a and b -110..110, all pixels of all items pooled",
        "implementation": f"scikit-image {version('scikit-image')}, Pillow {version('pillow')}",
        "pictures": compared(native=native),
        **declared(ends),
    }


def truth(targets: Mapping[str, str]) -> dict[str, str]:
    """What outputs are compared with, for protocols, from a hash of each item's target."""
    return {"truth": digest(targets)}


def compared(*, native: bool) -> str:
    """At which size outputs meet their targets, for protocols."""
    if native:
        return "outputs resized to the target's own size (Pillow bilinear)"
    return "as generated, against the target under the same resizing"


def read_output(output_file: Path, target: Picture, *, native: bool) -> Picture:
    """An output as it is compared with its target: of the same size, channels and depth.

    Raises:
        UserError: it cannot be decoded, or differs from its target.
    """
    output = pictures.read(output_file)
    if native:
        output = transforms.resize(output, target.shape[1], target.shape[0])
    if output.shape != target.shape or output.dtype != target.dtype:
        raise UserError(
            f"{output_file}: found {_form(output)}, expected {_form(target)} as its target; "
            "generate at the size of the targets, or fill real/ anew"
        )
    return output


def _score_item(output_file: Path, target: Picture, native: bool, ends: Range | None) -> _ItemScore:
    output = read_output(output_file, target, native=native)
    histograms = None
    if _has_colours(output, ends):
        histograms = images.lab_histograms(output, ends), images.lab_histograms(target, ends)
    energies = images.gradient_energy(output, ends), images.gradient_energy(target, ends)
    values = [metric(output, target, ends) for metric in PIXEL_METRICS.values()]
    return _ItemScore(values, energies, histograms, picture_hash(target))


def _has_colours(picture: Picture, ends: Range | None) -> bool:
    """Whether values are known to be colours: RGB of 8 bits, or of any depth with a declared black and white."""
    return picture.shape[2] == 3 and (picture.dtype == np.uint8 or ends is not None)


def mean(values: NDArray[np.float64], weights: NDArray[np.float32]) -> Metric:
    """The mean over items (n,) with its replicates, from weights (replicates, n)."""
    return Metric(float(values.mean()), weights @ values / weights.sum(axis=1), values)


def _sharpness(energies: NDArray[np.float64], weights: NDArray[np.float32]) -> Metric:
    """The ratio of energies (n, 2) of outputs and targets, each summed over items.

    A mean of the items' ratios would be ruled by those whose target is all but flat.
    """
    outputs, targets = energies.T
    value = float(outputs.sum() / targets.sum())
    return Metric(value, (weights @ outputs) / (weights @ targets), outputs / targets)


def _colour_metrics(
    fake: NDArray[np.float32], real: NDArray[np.float32], weights: NDArray[np.float32]
) -> dict[str, Metric]:
    """Intersections of pooled histograms (items, 3, BINS); in a replicate both sides draw the same items."""
    metrics = {}
    for place, name in enumerate(images.CHANNELS):
        metrics[f"histogram_{name.lower()}"] = _overlap(fake[:, place], real[:, place], weights)
    return metrics


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32], weights: NDArray[np.float32]) -> Metric:
    value = float(images.intersection(one.sum(axis=0), other.sum(axis=0)))
    return Metric(value, images.intersection(weights @ one, weights @ other))


def _form(picture: Picture) -> str:
    height, width, channels = picture.shape
    return f"{width}x{height}, {counted(channels, 'channel')}, {picture.dtype}"
