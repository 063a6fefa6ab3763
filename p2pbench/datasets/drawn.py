"""The embedded dataset: street scenes drawn from a seed, with nothing to download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fcn.labels import CITYSCAPES
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import Item, LabelledPhotos, Sample, Split
from p2pbench.datasets.streets import draw_scene

TRAIN_ITEMS, TEST_ITEMS = 400, 100
NATIVE_SIZE = 128
SCENE_SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class Streets(LabelledPhotos):
    """Street scenes with labels in Cityscapes classes; textures, colours and light are random given the labels."""

    name = "streets"
    about = "street scenes drawn procedurally, with labels in Cityscapes classes; nothing to download"
    layout = "nothing: it is drawn"
    table = CITYSCAPES
    needs_root = False
    note = "scenes of version 1"  # another number whenever the drawing changes: old scores must not meet new ones

    def items(self, split: Split) -> list[Item]:
        """400 scenes to train on, 100 to test on."""
        return self.drawn_items(split, None)

    def drawn_items(self, split: Split, count: int | None) -> list[Item]:
        """As many scenes as are asked for; there is no end to them."""
        count = count or (TRAIN_ITEMS if split == "train" else TEST_ITEMS)
        return [Item(f"{split}-{index:05d}") for index in range(count)]

    def labels(self, item: Item, size: int | None = None) -> NDArray[np.uint8]:
        """Class indices of a scene."""
        labels = self.load(item, size).labels
        assert labels is not None, "scenes have labels"
        return labels

    def load(self, item: Item, size: int | None) -> Sample:
        """A scene drawn at a power of two above this size, and resized to it as any photo is."""
        split, index = item.id.split("-")
        seed = SCENE_SEEDS["train" if split == "train" else "test"]
        if size is None:
            scene = draw_scene(seed, int(index), NATIVE_SIZE)
            return self.sample(scene.photo, scene.labels)
        scene = draw_scene(seed, int(index), 2 ** size.bit_length())
        return self.sample(pictures.resize(scene.photo, size, size), pictures.resize_labels(scene.labels, size, size))
