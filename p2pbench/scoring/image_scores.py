"""Image scores: outputs compared with their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.clusters import of_clusters, weights_of
from p2pbench.datasets.contents import digest, picture_hash
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, declared
from p2pbench.errors import UserError
from p2pbench.metrics import image_metrics
from p2pbench.scoring.scorer import Outputs, Scored
from reports.store import ledger, made
from reports.store.layout import Run
from reports.store.names import counted
from reports.store.scores import Metric, Scores

IMAGE = "image"

PIXEL_METRICS: dict[str, Callable[[Picture, Picture, Range | None], float]] = {
    "l1": image_metrics.l1,
    "psnr": image_metrics.psnr,
    "ssim": image_metrics.ssim,
    "gmsd": image_metrics.gmsd,
}


class _ItemScore(NamedTuple):
    pixel: list[float]
    energies: tuple[float, float]  # of output and target
    histograms: Histograms | None  # of output and target; see `_has_colours`
    truth: str  # a hash of the target


class ImageScorer:
    """Distances to the targets, sharpness and colours; needs no network."""

    def check_free(self, run: Run) -> None:
        """Refuse a user's file where scores or the colour histograms go.

        See `Scorer`.
        """
        ledger.check_free(run, IMAGE)
        made.check_free(run.lab_histograms, image_metrics.HISTOGRAM_HEADER)

    def score(self, runs: Sequence[Outputs]) -> Iterator[Scored]:
        """Score each run, and write its colour histograms; see `Scorer`."""
        for outputs in runs:
            scores, histograms = image_scores(outputs)
            # Histograms first: an interruption leaves a run without scores, which is scored again, never scores
            # beside histograms of older outputs.
            _write_histograms(outputs.run, histograms)
            ledger.write(outputs.run, scores)
            yield Scored(outputs, [scores])


Histograms = tuple[image_metrics.Histograms, image_metrics.Histograms]
"""Pixel counts (3, BINS) over Lab of all outputs and of all targets."""


class ImageScores(NamedTuple):
    """Image scores of a run, and its colour histograms.

    Attributes:
        scores: The scores.
        histograms: Of outputs and targets; None unless all pictures are RGB of 8 bits, or of a declared range.
    """

    scores: Scores
    histograms: Histograms | None


def image_scores(outputs: Outputs) -> ImageScores:
    """Compute the image scores of outputs.

    Raises:
        UserError: A picture cannot be decoded, or differs from its target in size, channels or depth.
    """
    targets, ends = outputs.against_targets(), outputs.ends
    ids = sorted(outputs.files)
    with ThreadPoolExecutor() as pool:
        items = list(
            pool.map(lambda id_: _score_item(outputs.files[id_], targets.read(id_), targets.native, ends), ids)
        )
    weights = weights_of(ids, outputs.clusters)
    metrics = {name: mean(np.array([item.pixel[i] for item in items]), weights) for i, name in enumerate(PIXEL_METRICS)}
    metrics["sharpness"] = _sharpness(np.array([item.energies for item in items]), weights)
    histograms = [item.histograms for item in items if item.histograms is not None]
    pooled = None
    if len(histograms) == len(items):
        fake, real = (np.stack(side) for side in zip(*histograms, strict=True))
        pooled = fake.sum(axis=0), real.sum(axis=0)
        metrics |= _colour_metrics(fake.astype(np.float32), real.astype(np.float32), weights)
    whole = {
        **protocol(native=targets.native, ends=ends),
        **truth({id_: item.truth for id_, item in zip(ids, items, strict=True)}),
        **of_clusters(outputs.clusters, ids),
        **outputs.origin,
    }
    scores = Scores(IMAGE, whole, tuple(ids), outputs.n_expected, metrics)
    return ImageScores(scores, pooled)


def _write_histograms(run: Run, histograms: Histograms | None) -> None:
    made.check_free(run.lab_histograms, image_metrics.HISTOGRAM_HEADER)
    if histograms is None:
        run.lab_histograms.unlink(missing_ok=True)
    else:
        made.put(run.lab_histograms, image_metrics.histogram_csv(*histograms).encode(), image_metrics.HISTOGRAM_HEADER)


def protocol(*, native: bool = False, ends: Range | None = None) -> dict[str, object]:
    """Every choice that changes an image score."""
    return {
        "l1": "mean absolute difference, values scaled to 0..1",
        "psnr": f"over all channels, mean over items, at most {image_metrics.IDENTICAL_PSNR:g} dB",
        "ssim": "Gaussian window, sigma 1.5, population covariance, mean over channels and items",
        "gmsd": f"Prewitt on luminance halved by 2x2 means, zeros beyond the border, c = {image_metrics.C:g}, "
        "mean over items",
        "sharpness": "mean square of the 4-neighbour Laplacian of luminance, borders repeated, plus "
        f"{image_metrics.ROUNDING:.4g} for rounding: sum over outputs over sum over targets",
        "luminance": image_metrics.LUMINANCE,
        "histogram": f"CIE Lab (D65), {image_metrics.BINS} bins, L 0..100, a and b -110..110, "
        "all pixels of all items pooled",
        "implementation": f"scikit-image {version('scikit-image')}, Pillow {version('pillow')}",
        "pictures": compared(native=native),
        **declared(ends),
    }


def truth(targets: Mapping[str, str]) -> dict[str, str]:
    """Protocol entry for the targets, from a hash of each item's target."""
    return {"truth": digest(targets)}


def compared(*, native: bool) -> str:
    """Protocol entry for the size at which outputs and targets are compared."""
    if native:
        return "outputs resized to the target's own size (Pillow bilinear)"
    return "as generated, against the target under the same resizing"


def read_output(output_file: Path, target: Picture, *, native: bool) -> Picture:
    """Read an output for comparison with its target.

    Raises:
        UserError: It cannot be decoded, or differs from its target in size, channels or depth.
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
        histograms = image_metrics.lab_histograms(output, ends), image_metrics.lab_histograms(target, ends)
    energies = image_metrics.gradient_energy(output, ends), image_metrics.gradient_energy(target, ends)
    values = [metric(output, target, ends) for metric in PIXEL_METRICS.values()]
    return _ItemScore(values, energies, histograms, picture_hash(target))


def _has_colours(picture: Picture, ends: Range | None) -> bool:
    """Whether a picture has colours: RGB of 8 bits, or of any depth with a declared range."""
    return picture.shape[2] == 3 and (picture.dtype == np.uint8 or ends is not None)


def mean(values: NDArray[np.float64], weights: NDArray[np.float32]) -> Metric:
    """Mean over items (n,) with its replicates, from weights (replicates, n)."""
    return Metric(float(values.mean()), weights @ values / weights.sum(axis=1), values)


def _sharpness(energies: NDArray[np.float64], weights: NDArray[np.float32]) -> Metric:
    """Ratio of the summed energies (n, 2) of outputs and targets.

    A mean of the items' ratios would be dominated by items with a nearly flat target.
    """
    outputs, targets = energies.T
    value = float(outputs.sum() / targets.sum())
    return Metric(value, (weights @ outputs) / (weights @ targets), outputs / targets)


def _colour_metrics(
    fake: NDArray[np.float32], real: NDArray[np.float32], weights: NDArray[np.float32]
) -> dict[str, Metric]:
    """Intersections of pooled histograms (items, 3, BINS); in a replicate both sides draw the same items."""
    metrics = {}
    for i, name in enumerate(image_metrics.CHANNELS):
        metrics[f"histogram_{name.lower()}"] = _overlap(fake[:, i], real[:, i], weights)
    return metrics


def _overlap(fake: NDArray[np.float32], real: NDArray[np.float32], weights: NDArray[np.float32]) -> Metric:
    value = float(image_metrics.intersection(fake.sum(axis=0), real.sum(axis=0)))
    return Metric(value, image_metrics.intersection(weights @ fake, weights @ real))


def _form(picture: Picture) -> str:
    height, width, channels = picture.shape
    return f"{width}x{height}, {counted(channels, 'channel')}, {picture.dtype}"
