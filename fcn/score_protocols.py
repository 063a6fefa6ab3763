"""Scores from confusion matrices, by two protocols.

`official` is what the published script computes, bug for bug (docs/paper-protocol.md#quirks). `strict` counts
predictions outside the classes as errors of their true class and drops no image; its IoU equals that of Cityscapes'
own script (cityscapesScripts 2.3, evalPixelLevelSemanticLabeling) to the last bit: a class is left out of the mean
where neither truth nor prediction has it, and counts 0 where it is predicted alone. That script has no class
accuracy. Here it is the mean over the classes of the truth: of other classes no pixel could be found, and predicting
them is an error of the classes that are there. In both, matrices are summed over the images first, and ignored pixels
are left out whatever is predicted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Protocol = Literal["official", "strict"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
EPSILON = 1e-12  # in each denominator of the published script
RULES: dict[Protocol, dict[str, str]] = {
    "official": {
        "protocol": "official: as the published script computes it",
        "beyond_the_classes": "cell classes*truth + prediction: counted in the next class's row; an image where that "
        "exceeds the matrix is dropped",
        "absent_classes": "0, and in the mean",
    },
    "strict": {
        "protocol": "strict: IoU as Cityscapes' own script computes it",
        "beyond_the_classes": "an error of the true class",
        "absent_classes": "left out of the means: of IoU where TP + FP + FN = 0, of accuracy where TP + FN = 0",
    },
}

Counts = NDArray[np.integer | np.floating]


class FcnScores(NamedTuple):
    """Three means, each (...,), and their values per class, each (..., classes).

    All fractions 0..1.

    Scores without a pixel to compute them from are NaN: all of them where no pixel counts, such as where every image is
    dropped; by the strict protocol also single classes.
    """

    pixel_accuracy: NDArray[np.float64]
    class_accuracy: NDArray[np.float64]
    class_iou: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    ious: NDArray[np.float64]


def counted(matrices: Counts, protocol: Protocol) -> Counts:
    """Count each image's pixels by a protocol's rules.

    The counts may be summed over images and are then given to `scores`.

    Args:
        matrices: One per image, (..., classes + 1, channels), as `fcn.confusion.confusion` makes them.
        protocol: The rules.

    Returns:
        (..., classes, classes) by the official protocol, zero for a dropped image; (..., classes, channels) by strict.
    """
    truth = matrices[..., :-1, :]
    if protocol == "strict":
        return truth
    classes = truth.shape[-2]
    kept = truth * ~dropped(matrices)[..., None, None]
    # Cell classes*truth + prediction: a prediction beyond the classes lands in the next row.
    flat = np.zeros((*truth.shape[:-2], classes * classes), matrices.dtype)
    for channel in range(truth.shape[-1]):
        cells = classes * np.arange(classes) + channel
        inside = cells < classes * classes
        flat[..., cells[inside]] += kept[..., inside, channel]
    return flat.reshape(*truth.shape[:-2], classes, classes)


def dropped(matrices: Counts) -> NDArray[np.bool_]:
    """Images (...,) that the published script drops whole.

    One pixel beyond the last cell of its matrix is enough.
    """
    truth = matrices[..., :-1, :]
    classes, channels = truth.shape[-2:]
    beyond = classes * np.arange(classes)[:, None] + np.arange(channels) >= classes * classes
    return np.asarray((truth * beyond).any(axis=(-2, -1)))


def scores(summed: Counts, protocol: Protocol) -> FcnScores:
    """Compute the scores of summed counts (..., classes, classes or channels).

    Counts in float32 stay so, which is enough for resampled ones.
    """
    counts = summed if summed.dtype == np.float32 else summed.astype(np.float64)
    classes = counts.shape[-2]
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    rows = counts.sum(axis=-1)
    unions = rows + counts[..., :classes].sum(axis=-2) - right
    total = rows.sum(axis=-1)
    if protocol == "official":
        nothing = np.where(total > 0, 0.0, np.nan)  # the script itself prints 0 where no pixel counts
        accuracies, ious = (right / (pixels + EPSILON) + nothing[..., None] for pixels in (rows, unions))
        pixel = right.sum(axis=-1) / (total + EPSILON) + nothing
        return FcnScores(pixel, accuracies.mean(axis=-1), ious.mean(axis=-1), accuracies, ious)
    with np.errstate(invalid="ignore"):
        accuracies, ious, pixel = right / rows, right / unions, right.sum(axis=-1) / total
        return FcnScores(pixel, _mean_of_defined(accuracies), _mean_of_defined(ious), accuracies, ious)


def _mean_of_defined(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean (...,) over the values (..., classes) that are not NaN.

    Summed in sequence, as Cityscapes' script does: numpy's own sum differs from that in the last bit.
    """
    return np.asarray(np.nancumsum(values, axis=-1)[..., -1] / (~np.isnan(values)).sum(axis=-1))


def published_text(values: FcnScores, classes: Sequence[str]) -> str:
    """Format the official scores as the published script's evaluation_results.txt.

    Scores are 0 where nothing counts.
    """
    values = FcnScores(*map(np.nan_to_num, values))
    lines = [
        f"Mean pixel accuracy: {values.pixel_accuracy:f}",
        f"Mean class accuracy: {values.class_accuracy:f}",
        f"Mean class IoU: {values.class_iou:f}",
        "************ Per class numbers below ************",
    ]
    rows = zip(classes, values.accuracies, values.ious, strict=True)
    lines += [f"{name:<15}: acc = {accuracy:f}, iou = {iou:f}" for name, accuracy, iou in rows]
    return "\n".join(lines) + "\n"
