"""Cityscapes in its official folders."""

from __future__ import annotations

import re
from pathlib import Path

from fcn.labels import CITYSCAPES
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import Item, LabelledPhotos, Naming, Split, match
from p2pbench.errors import UserError
from reports.names import counted

PHOTO_ENDING, LABEL_ENDING = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_IDS_ENDING = "_gtFine_labelTrainIds.png"
_BESIDE_LABELS = (
    TRAIN_IDS_ENDING,
    *(f"_gtFine_{what}.png" for what in ("color", "instanceIds", "instanceTrainIds")),
)  # of the same items, in the archives or made by cityscapesScripts


class Cityscapes(LabelledPhotos):
    """`leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` and `gtFine/SPLIT/CITY/ID_gtFine_labelIds.png`.

    The paper trains on `train` and tests on `val`; the labels of `test` are not public.
    """

    name = "cityscapes"
    about = "Cityscapes: street photos and fine labels, 19 scored classes"
    layout = "leftImg8bit/{train,val}/CITY/ and gtFine/{train,val}/CITY/ (*_labelIds.png)"
    table = CITYSCAPES
    # By city, not by CITY_SHOT: a shot is a drive of an hour in Frankfurt and 30 frames elsewhere, no unit of its own.
    naming = Naming("cities", re.compile(r"([a-z-]+)_\d{6}_\d{6}"))

    def items(self, split: Split) -> list[Item]:
        """Photos and labels of all cities matched by CITY_SHOT_FRAME."""
        folder = "train" if split == "train" else self.test_split or "val"
        photos = self._named(self.root / "leftImg8bit" / folder, PHOTO_ENDING)
        return match(self, photos, self._labels(folder), "photo", "labels")

    def label_items(self, split: Split) -> list[Item]:
        """As `items`, from gtFine alone where the photos are not there at all."""
        folder = "train" if split == "train" else self.test_split or "val"
        photos = self.root / "leftImg8bit" / folder
        if photos.is_dir():
            return self.items(split)
        named = self._labels(folder).items()
        return [Item(id_, (photos / f"{id_}{PHOTO_ENDING}", path)) for id_, path in sorted(named)]

    def _labels(self, split_folder: str) -> dict[str, Path]:
        folder = self.root / "gtFine" / split_folder
        labels = self._named(folder, LABEL_ENDING)
        train_ids = [] if labels else sorted(folder.glob(f"*/*{TRAIN_IDS_ENDING}"))
        if train_ids:
            raise UserError(
                f"{train_ids[0]}: found train ids (*{TRAIN_IDS_ENDING}, {counted(len(train_ids), 'file')}), "
                f"expected label ids (*{LABEL_ENDING}), of which the program makes train ids itself; give a folder "
                "with the label ids as published"
            )
        return labels

    def _named(self, folder: Path, ending: str) -> dict[str, Path]:
        """The files of all cities whose names end so, by CITY_SHOT_FRAME; a remark counts the others."""
        if not folder.is_dir():
            raise self.no_folder(folder)
        found = list(self.find(folder).values())
        named = pictures.by_id((path.name.removesuffix(ending), path) for path in found if path.name.endswith(ending))
        others = sum(not path.name.endswith((ending, *_BESIDE_LABELS)) for path in found)
        if others:
            self.remark(f"{folder}: passed over pictures not named CITY_SHOT_FRAME{ending} ({others})")
        return named
