"""Pairs of pictures without labels: side by side in one file, or in two folders."""

from __future__ import annotations

from pathlib import Path

from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import (
    A_TO_B,
    B_TO_A,
    TEST_FOLDERS,
    Dataset,
    Item,
    Sample,
    Split,
    first_folder,
    match,
    square,
    summary,
)
from p2pbench.datasets.pictures import Picture
from p2pbench.errors import UserError


class Paired(Dataset):
    """`SPLIT/NAME.jpg` with A in the left half and B in the right one, as all pix2pix datasets are published."""

    name = "paired"
    about = "A and B side by side in one picture, as pix2pix datasets are published"
    layout = "train/ and val/ or test/, each picture A|B side by side"
    directions = (A_TO_B, B_TO_A)

    def items(self, split: Split) -> list[Item]:
        """The pictures of a folder."""
        found = pictures.find(self.split_folder(split))
        odd = [f"{path} is {pictures.size(path)[0]} wide" for path in found.values() if pictures.size(path)[0] % 2]
        if odd:
            raise UserError(summary("pictures of odd width, which cannot be A|B side by side", odd))
        return [Item(id_, (path,)) for id_, path in found.items()]

    def load(self, item: Item, size: int | None) -> Sample:
        """The two halves, each resized."""
        both = pictures.read(item.files[0])
        middle = both.shape[1] // 2
        a, b = (square(half, size) for half in (both[:, :middle], both[:, middle:]))
        return directed(self.direction, a, b)


class Folders(Dataset):
    """A and B in folders of their own, matched by stem."""

    name = "folders"
    about = "A and B in two folders, matched by file stem"
    layout = "A/train/, B/train/, A/test/, B/test/ (or trainA/, trainB/, testA/, testB/)"
    directions = (A_TO_B, B_TO_A)

    def items(self, split: Split) -> list[Item]:
        """Pairs of the same stem and size."""
        names = ("train",) if split == "train" else (self.test_split,) if self.test_split else TEST_FOLDERS
        sides = {side: self._side(side, names) for side in ("A", "B")}
        return match(pictures.find(sides["A"]), pictures.find(sides["B"]), "A", "B")

    def _side(self, side: str, names: tuple[str, ...]) -> Path:
        folder = first_folder(self.root, [path for name in names for path in (f"{side}/{name}", f"{name}{side}")])
        if folder is None:
            raise UserError(f"{self.root / side / names[0]}: no such folder; expected a root with {self.layout}")
        return self.root / folder

    def load(self, item: Item, size: int | None) -> Sample:
        """Both pictures, resized."""
        a, b = (square(pictures.read(file), size) for file in item.files)
        return directed(self.direction, a, b)


def directed(direction: str, a: Picture, b: Picture) -> Sample:
    """A and B as input and target of the direction."""
    return Sample(a, b, None) if direction == A_TO_B else Sample(b, a, None)
