"""Cityscapes in its official folders."""

from __future__ import annotations

from pathlib import Path

from fcn.labels import CITYSCAPES
from p2pbench.datasets.dataset import Item, LabelledPhotos, Split, match
from p2pbench.errors import UserError

PHOTO_ENDING, LABEL_ENDING = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_IDS_ENDING = "_gtFine_labelTrainIds.png"


class Cityscapes(LabelledPhotos):
    """`leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` and `gtFine/SPLIT/CITY/ID_gtFine_labelIds.png`.

    The paper trains on `train` and tests on `val`; the labels of `test` are not public.
    """

    name = "cityscapes"
    about = "Cityscapes: street photos and fine labels, 19 scored classes"
    layout = "leftImg8bit/{train,val}/CITY/ and gtFine/{train,val}/CITY/ (*_labelIds.png)"
    table = CITYSCAPES

    def items(self, split: Split) -> list[Item]:
        """Photos and labels of all cities matched by CITY_SHOT_FRAME."""
        folder = "train" if split == "train" else self.test_split or "val"
        photos = _find(self.root / "leftImg8bit" / folder, PHOTO_ENDING, self.layout)
        labels = _find_labels(self.root / "gtFine" / folder, self.layout)
        return match(photos, labels, "photo", "labels")

    def label_items(self, split: Split) -> list[Item]:
        """As `items`, from gtFine alone where the photos are not there at all."""
        folder = "train" if split == "train" else self.test_split or "val"
        photos = self.root / "leftImg8bit" / folder
        if photos.is_dir():
            return self.items(split)
        labels = _find_labels(self.root / "gtFine" / folder, self.layout)
        return [Item(id_, (photos / f"{id_}{PHOTO_ENDING}", path)) for id_, path in sorted(labels.items())]


def _find(folder: Path, ending: str, layout: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a root with {layout}")
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*/*{ending}"))}


def _find_labels(folder: Path, layout: str) -> dict[str, Path]:
    labels = _find(folder, LABEL_ENDING, layout)
    if not labels and (train_ids := _find(folder, TRAIN_IDS_ENDING, layout)):
        first = next(iter(train_ids.values()))
        raise UserError(
            f"{first}: found train ids (*{TRAIN_IDS_ENDING}, {len(train_ids)} files), expected label ids "
            f"(*{LABEL_ENDING}), of which the program makes train ids itself; give a folder (--root, or in --labels) "
            "with the label ids as published"
        )
    return labels
