"""Pairs of pictures without labels, in one file or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn.labels import IGNORE
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import (
    A_TO_B,
    B_TO_A,
    TEST_FOLDERS,
    Dataset,
    DatasetSample,
    Item,
    Split,
    first_folder,
    match,
    square,
    summary,
)
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError

# A map of class ids, unlike a picture, has no value above this, and this share of pixels equal to the left neighbour.
LARGEST_ID, LEVEL = 63, 0.8
PROBED = 5  # items that are checked for class ids


class PairedDataset(Dataset):
    """Pairs side by side in `SPLIT/NAME.jpg`: A left, B right.

    All pix2pix datasets are published so.
    """

    name = "paired"
    about = "A and B side by side in one picture, as pix2pix datasets are published"
    layout = "train/ and val/ or test/, each picture A|B side by side"
    kinds = ("pictures A|B",)
    directions = (A_TO_B, B_TO_A)

    def items(self, split: Split) -> list[Item]:
        """List the pictures of a folder and those below it."""
        found = self.find(self.split_folder(split))
        widths = [header.width for header in self.headers(found.values())]
        odd = [f"{path} is {width} wide" for path, width in zip(found.values(), widths, strict=True) if width % 2]
        if odd:
            raise UserError(
                summary(
                    "pictures of odd width, which cannot be A|B side by side",
                    odd,
                    "picture of odd width, which is no A|B",
                    "make it twice as wide as one half, or move it away",
                )
            )
        return [Item(id_, (path,)) for id_, path in found.items()]

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load the two halves, each resized."""
        both = pictures.read(item.files[0])
        middle = both.shape[1] // 2
        a, b = (square(half, size) for half in (both[:, :middle], both[:, middle:]))
        return directed(self.direction, a, b)


class Folders(Dataset):
    """Pairs in two folders A and B, matched by name.

    Names count below these folders, whatever the endings.
    """

    name = "folders"
    about = "A and B in two folders, matched by file stem"
    layout = "A/train/, B/train/, A/test/, B/test/ (or trainA/, trainB/, testA/, testB/)"
    directions = (A_TO_B, B_TO_A)
    kinds = ("A", "B")

    def items(self, split: Split) -> list[Item]:
        """List pairs of the same stem and size."""
        names = ("train",) if split == "train" else (self.test_split,) if self.test_split else TEST_FOLDERS
        sides = {side: self._side(side, names) for side in ("A", "B")}
        return match(self, self.find(sides["A"]), self.find(sides["B"]), "A", "B")

    def suspicions(self, items: Sequence[Item]) -> list[str]:
        """Check a few items for class ids where there should be pictures."""
        some = items[:: -(-len(items) // PROBED)]
        found = []
        for index, side in enumerate(self.kinds):
            try:
                ids = [_class_ids(pictures.read(item.files[index])) for item in some]
            except UserError:  # all files like it are named when all are decoded
                continue
            if all(values is not None for values in ids) and len(values := set().union(*filter(None, ids))) > 1:
                found.append(
                    f"{self.root}: {side} looks like maps of class ids (values {min(values)} to {max(values)} in one "
                    "channel), which networks see as nearly black and ids in a row as alike; give them as colours, or "
                    "use --dataset cityscapes or camvid, which colour them"
                )
        return found

    def _side(self, side: str, names: tuple[str, ...]) -> Path:
        folder = first_folder(self.root, [path for name in names for path in (f"{side}/{name}", f"{name}{side}")])
        if folder is None:
            raise self.no_folder(self.root / side / names[0])
        return self.root / folder

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load both pictures, resized."""
        a, b = (square(pictures.read(file), size) for file in item.files)
        return directed(self.direction, a, b)


def _class_ids(picture: Picture) -> set[int] | None:
    """Values of a picture without 255 (ignored), if it looks like a map of class ids; else None."""
    grey = picture[..., 0]
    ids = np.unique(grey[grey != IGNORE])
    level = (grey[:, 1:] == grey[:, :-1]).mean() if grey.shape[1] > 1 else 1.0
    if (picture != picture[..., :1]).any() or ids.max(initial=0) > LARGEST_ID or level < LEVEL:
        return None
    return set(ids.tolist())


def directed(direction: str, a: Picture, b: Picture) -> DatasetSample:
    """Make a sample with A and B in the direction's order."""
    return DatasetSample(a, b, None) if direction == A_TO_B else DatasetSample(b, a, None)
