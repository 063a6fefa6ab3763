"""CamVid in the SegNet edition: 480x360 street photos with 11 classes."""

from __future__ import annotations

import re

from fcn.labels import CAMVID
from p2pbench.datasets.dataset import Item, LabelledPhotos, Naming, Split, match


class CamVid(LabelledPhotos):
    """`SPLIT/NAME.png|jpg` beside `SPLITannot/NAME.png`; list files are not needed."""

    name = "camvid"
    about = "CamVid, SegNet edition: street photos and labels of 11 classes"
    layout = "train/, trainannot/, test/ and testannot/ (val/ and valannot/ too, if you have them)"
    table = CAMVID
    naming = Naming("sequences", re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+"))

    def items(self, split: Split) -> list[Item]:
        """Photos and labels matched by stem."""
        folder = "train" if split == "train" else self.test_split or "test"
        photos, labels = self.root / folder, self.root / f"{folder}annot"
        for needed in (photos, labels):
            if not needed.is_dir():
                raise self.no_folder(needed, "annot")
        return match(self, self.find(photos), self.find(labels), "photo", "labels")
