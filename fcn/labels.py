"""Label tables: classes and colours of the values in label pictures.

A label map holds class indices 0 .. classes-1 and IGNORE everywhere else, whatever the files of a dataset hold.
Sources: the label definitions published with Cityscapes; the 11-class SegNet edition of CamVid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IGNORE = 255

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Label:
    """Value of a label picture: name, colour, class index or IGNORE."""

    value: int
    name: str
    colour: Colour
    index: int


@dataclass(frozen=True)
class LabelTable:
    """All values that a dataset's label pictures may hold."""

    name: str
    labels: tuple[Label, ...]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the scored classes, by class index."""
        return tuple(label.name for label in self._scored)

    @cached_property
    def class_colours(self) -> NDArray[np.uint8]:
        """Colours (classes, 3) of the scored classes, RGB in 0..255."""
        return np.array([label.colour for label in self._scored], np.uint8)

    @cached_property
    def values_of_classes(self) -> tuple[int, ...]:
        """The values of the scored classes, by class index."""
        return tuple(label.value for label in self._scored)

    @cached_property
    def values(self) -> frozenset[int]:
        """The values a label picture may hold."""
        return frozenset(label.value for label in self.labels)

    def to_indices(self, picture: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Class indices of a label picture (H, W).

        All its values must be in the table.
        """
        return self._lookup[picture.astype(np.intp)]

    def to_colours(self, picture: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Colours (H, W, 3) of a label picture (H, W).

        All its values must be in the table.
        """
        return self._palette[picture.astype(np.intp)]

    @property
    def _scored(self) -> list[Label]:
        return sorted((label for label in self.labels if label.index != IGNORE), key=lambda label: label.index)

    # Negative values (Cityscapes' licence plate is -1) index these from the end, which holds them.
    @cached_property
    def _lookup(self) -> NDArray[np.uint8]:
        lookup = np.full(self._length, IGNORE, np.uint8)
        for label in self.labels:
            lookup[label.value] = label.index
        return lookup

    @cached_property
    def _palette(self) -> NDArray[np.uint8]:
        palette = np.zeros((self._length, 3), np.uint8)
        for label in self.labels:
            palette[label.value] = label.colour
        return palette

    @property
    def _length(self) -> int:
        return max(self.values) + 1 - min(0, min(self.values))


CITYSCAPES = LabelTable(
    "cityscapes label ids",
    (
        Label(0, "unlabeled", (0, 0, 0), IGNORE),
        Label(1, "ego vehicle", (0, 0, 0), IGNORE),
        Label(2, "rectification border", (0, 0, 0), IGNORE),
        Label(3, "out of roi", (0, 0, 0), IGNORE),
        Label(4, "static", (0, 0, 0), IGNORE),
        Label(5, "dynamic", (111, 74, 0), IGNORE),
        Label(6, "ground", (81, 0, 81), IGNORE),
        Label(7, "road", (128, 64, 128), 0),
        Label(8, "sidewalk", (244, 35, 232), 1),
        Label(9, "parking", (250, 170, 160), IGNORE),
        Label(10, "rail track", (230, 150, 140), IGNORE),
        Label(11, "building", (70, 70, 70), 2),
        Label(12, "wall", (102, 102, 156), 3),
        Label(13, "fence", (190, 153, 153), 4),
        Label(14, "guard rail", (180, 165, 180), IGNORE),
        Label(15, "bridge", (150, 100, 100), IGNORE),
        Label(16, "tunnel", (150, 120, 90), IGNORE),
        Label(17, "pole", (153, 153, 153), 5),
        Label(18, "polegroup", (153, 153, 153), IGNORE),
        Label(19, "traffic light", (250, 170, 30), 6),
        Label(20, "traffic sign", (220, 220, 0), 7),
        Label(21, "vegetation", (107, 142, 35), 8),
        Label(22, "terrain", (152, 251, 152), 9),
        Label(23, "sky", (70, 130, 180), 10),
        Label(24, "person", (220, 20, 60), 11),
        Label(25, "rider", (255, 0, 0), 12),
        Label(26, "car", (0, 0, 142), 13),
        Label(27, "truck", (0, 0, 70), 14),
        Label(28, "bus", (0, 60, 100), 15),
        Label(29, "caravan", (0, 0, 90), IGNORE),
        Label(30, "trailer", (0, 0, 110), IGNORE),
        Label(31, "train", (0, 80, 100), 16),
        Label(32, "motorcycle", (0, 0, 230), 17),
        Label(33, "bicycle", (119, 11, 32), 18),
        Label(-1, "license plate", (0, 0, 142), IGNORE),
    ),
)

CAMVID = LabelTable(
    "camvid indices, 11 classes",
    (
        Label(0, "sky", (128, 128, 128), 0),
        Label(1, "building", (128, 0, 0), 1),
        Label(2, "pole", (192, 192, 128), 2),
        Label(3, "road", (128, 64, 128), 3),
        Label(4, "pavement", (60, 40, 222), 4),
        Label(5, "tree", (128, 128, 0), 5),
        Label(6, "sign symbol", (192, 128, 128), 6),
        Label(7, "fence", (64, 64, 128), 7),
        Label(8, "car", (64, 0, 128), 8),
        Label(9, "pedestrian", (64, 64, 0), 9),
        Label(10, "bicyclist", (0, 128, 192), 10),
        Label(11, "unlabelled", (0, 0, 0), IGNORE),
    ),
)
