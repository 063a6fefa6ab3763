"""Photos with label maps: Cityscapes, CamVid and the drawn street scenes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn.labels import CAMVID, CITYSCAPES
from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.dataset import DatasetSample, Item, LabelledPhotos, Naming, Split, match
from p2pbench.datasets.streets.scene import draw_scene
from p2pbench.errors import UserError
from reports.store.names import counted

PHOTO_ENDING, LABEL_ENDING = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_IDS_ENDING = "_gtFine_labelTrainIds.png"
_BESIDE_LABELS = (
    TRAIN_IDS_ENDING,
    *(f"_gtFine_{what}.png" for what in ("color", "instanceIds", "instanceTrainIds")),
)  # of the same items, in the archives or made by cityscapesScripts

TRAIN_ITEMS, TEST_ITEMS = 400, 100  # of the street scenes
NATIVE_SIZE = 128
SCENE_SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class Cityscapes(LabelledPhotos):
    """`leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` and `gtFine/SPLIT/CITY/ID_gtFine_labelIds.png`.

    The paper trains on `train` and tests on `val`; the labels of `test` are not public.
    """

    name = "cityscapes"
    about = "Cityscapes: street photos and fine labels, 19 scored classes"
    layout = "leftImg8bit/{train,val}/CITY/ and gtFine/{train,val}/CITY/ (*_labelIds.png)"
    table = CITYSCAPES
    # By city, not by CITY_SHOT: a shot is an hour's drive in Frankfurt and 30 frames elsewhere, so no uniform unit.
    naming = Naming("cities", re.compile(r"([a-z-]+)_\d{6}_\d{6}"))

    def items(self, split: Split) -> list[Item]:
        """List photos and labels of all cities, matched by CITY_SHOT_FRAME."""
        folder = "train" if split == "train" else self.test_split or "val"
        photos = self._named(self.root / "leftImg8bit" / folder, PHOTO_ENDING)
        return match(self, photos, self._labels(folder), "photo", "labels")

    def label_items(self, split: Split) -> list[Item]:
        """List the items by gtFine alone if photos are missing."""
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
        """Find the files of all cities with an ending, by CITY_SHOT_FRAME; a remark counts the others."""
        if not folder.is_dir():
            raise self.no_folder(folder)
        found = list(self.find(folder).values())
        named = pictures.by_id((path.name.removesuffix(ending), path) for path in found if path.name.endswith(ending))
        others = sum(not path.name.endswith((ending, *_BESIDE_LABELS)) for path in found)
        if others:
            self.remark(f"{folder}: passed over pictures not named CITY_SHOT_FRAME{ending} ({others})")
        return named


class CamVid(LabelledPhotos):
    """`SPLIT/NAME.png|jpg` beside `SPLITannot/NAME.png`; list files are not needed."""

    name = "camvid"
    about = "CamVid, SegNet edition: street photos and labels of 11 classes"
    layout = "train/, trainannot/, test/ and testannot/ (val/ and valannot/ too, if you have them)"
    table = CAMVID
    naming = Naming("sequences", re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+"))

    def items(self, split: Split) -> list[Item]:
        """List photos and labels, matched by stem."""
        folder = "train" if split == "train" else self.test_split or "test"
        photos, labels = self.root / folder, self.root / f"{folder}annot"
        for needed in (photos, labels):
            if not needed.is_dir():
                raise self.no_folder(needed, "annot")
        return match(self, self.find(photos), self.find(labels), "photo", "labels")


class Streets(LabelledPhotos):
    """Street scenes with labels in Cityscapes classes.

    Textures, colours and light are random given the labels.
    """

    name = "streets"
    about = "street scenes drawn procedurally, with labels in Cityscapes classes; nothing to download"
    layout = "nothing: it is drawn"
    table = CITYSCAPES
    needs_root = False
    note = "scenes of version 1"  # another number whenever the drawing changes: old scores must not meet new ones

    def items(self, split: Split) -> list[Item]:
        """List 400 scenes to train on, or 100 to test on."""
        return self.drawn_items(split, None)

    def drawn_items(self, split: Split, count: int | None) -> list[Item]:
        """List any number of scenes; None is the default of the split."""
        count = count or (TRAIN_ITEMS if split == "train" else TEST_ITEMS)
        return [Item(f"{split}-{index:05d}") for index in range(count)]

    def labels(self, item: Item, size: int | None = None) -> NDArray[np.uint8]:
        """Load the class indices of a scene."""
        labels = self.load(item, size).labels
        assert labels is not None, "scenes have labels"
        return labels

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Draw a scene at a power of two, and resize it."""
        split, index = item.id.split("-")
        seed = SCENE_SEEDS["train" if split == "train" else "test"]
        if size is None:
            scene = draw_scene(seed, int(index), NATIVE_SIZE)
            return self.sample(scene.photo, scene.labels)
        scene = draw_scene(seed, int(index), 2 ** size.bit_length())
        return self.sample(
            transforms.resize(scene.photo, size, size), transforms.resize_labels(scene.labels, size, size)
        )
