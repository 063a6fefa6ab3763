"""Label maps from pictures in a palette's colours (Table 6).

Source: docs/paper-protocol.md#label-maps.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.confusion import confusion
from fcn.labels import IGNORE, LabelTable
from p2pbench.datasets import transforms

At = Literal["output", "label"]
"""The size at which label maps are compared: the output's, as generated, or that of the dataset's own labels."""

_SIZES: dict[At, str] = {
    "output": "the output's size; true labels resized to it by nearest neighbour",
    "label": "the true labels' own size; the output's label map resized to it by nearest neighbour",
}
_BLOCK = 2**16  # pixels whose distances to all colours are in memory at a time: 8 MB


def nearest_labels(picture: NDArray[np.uint8], table: LabelTable) -> NDArray[np.uint8]:
    """Classify each pixel by the nearest palette colour.

    By squared Euclidean distance in RGB.

    The colours of void labels take part. Ties go to scored classes before void labels, and then to the first in the
    table; so where two labels have one colour (car and licence plate), it is the scored class's.

    Args:
        picture: (H, W, 3), RGB in 0..255.
        table: The palette.

    Returns:
        (H, W), class indices, and IGNORE where the nearest is a void label.
    """
    labels = sorted(table.labels, key=lambda label: label.index == IGNORE)
    indices: dict[tuple[int, int, int], int] = {}
    for label in labels:
        indices.setdefault(label.colour, label.index)
    # |p - c|^2 minus |p|^2, which is the same for all colours. All are integers below 2^24: exact in float32.
    colours = np.array(list(indices), np.float32)
    squares = (colours**2).sum(axis=1)
    classes = np.array(list(indices.values()), np.uint8)
    pixels = picture.reshape(-1, 3)
    nearest = np.empty(len(pixels), np.uint8)
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK].astype(np.float32)
        nearest[start : start + _BLOCK] = classes[(squares - 2 * block @ colours.T).argmin(axis=1)]
    return nearest.reshape(picture.shape[:2])


class LabelMaps(NamedTuple):
    """True and predicted class indices of an output.

    Both (H, W), IGNORE where there is none.
    """

    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]

    def matrix(self, classes: int) -> NDArray[np.int64]:
        """Count the confusion matrix.

        Predicted void is a separate channel beyond the classes.

        Args:
            classes: Number of scored classes.

        Returns:
            Pixel counts (classes + 1, classes + 1), as `fcn.confusion.confusion` makes them.
        """
        return confusion(self.truth, np.minimum(self.predicted, classes), classes, classes + 1)


def label_maps(predicted: NDArray[np.uint8], labels: NDArray[np.uint8], at: At) -> LabelMaps:
    """Resize the label maps of output and truth to one size.

    Args:
        predicted: The output's class indices, with IGNORE.
        labels: The true class indices, with IGNORE, of any size.
        at: At which size the two are compared.
    """
    if at == "output":
        labels = transforms.resize_labels(labels, predicted.shape[1], predicted.shape[0]).astype(np.uint8)
    else:
        predicted = transforms.resize_labels(predicted, labels.shape[1], labels.shape[0]).astype(np.uint8)
    return LabelMaps(labels, predicted)


def protocol(table: LabelTable, at: At, ids: str | None = None) -> dict[str, object]:
    """Protocol entries of all choices that change a label matrix.

    `ids` is the numbering of the outputs, None for colours.
    """
    return {
        "palette": table.name,
        "prediction": ids
        or "label of the nearest colour: squared Euclidean distance in RGB, void included; of colours "
        "as near, scored classes go first, then the palette's order",
        "predicted_void": f"channel {len(table.classes)}, beyond the classes",
        "compared_at": _SIZES[at],
    }
