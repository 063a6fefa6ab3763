"""Train ids among label files: the numbering that networks are trained with, where a dataset's own ids are expected.

Cityscapes numbers its labels -1 to 33, and its scored classes 0 to 18 once more as train ids, with 255, 19 or 0 for
ignored pixels (then the classes may be 1 to 19). Nearly every train id is a label id of another meaning, so that such
files pass for label ids and every number made from them is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn.labels import IGNORE, LabelTable
from p2pbench.datasets import pictures
from p2pbench.errors import UserError

MOST_READ = 100  # label files, evenly spread; the first that can hold nothing but label ids ends the reading
FEWEST_VALUES = 5  # fewer are no street scene, and may be anything
MOST_ROAD = 0.1  # of all pixels: train ids call road 0 or 1, and what label ids call road is a traffic sign or light
LEAST_VOID = 0.4  # of the pixels but 0 and 19: in label ids building, sidewalk and sky of train ids are void


def refuse_train_ids(table: LabelTable, files: Sequence[Path]) -> None:
    """Check that a folder's label files do not hold train ids in place of the table's values.

    Files that cannot be read are left to the reader of all files, which names every one of them.

    Args:
        table: What the files' values should mean.
        files: The label files of one split.

    Raises:
        UserError: They hold train ids; one of them is named.
    """
    classes = len(table.classes)
    if all(table.values_of_classes[index] == index for index in range(classes)):
        return  # the two numberings are one
    counts = np.zeros(2**16, np.int64)
    read: list[Path] = []
    for file in _spread(files):
        try:
            values = pictures.read_labels(file)
        except UserError:
            continue
        of_file = np.bincount(values.ravel(), minlength=len(counts))
        if of_file[classes + 1 : IGNORE].any() or of_file[IGNORE + 1 :].any():
            return
        read.append(file)
        counts += of_file
    if not look_like_train_ids(counts, table):
        return
    found = ", ".join(map(str, np.flatnonzero(counts)))
    raise UserError(
        f"{read[0]}: found train ids (values {found} in {len(read)} label files), expected label ids "
        f"{max(0, min(table.values))} to {max(table.values)}, of which the program makes train ids itself; give a "
        "folder with the label ids as published, *_gtFine_labelIds.png"
    )


def look_like_train_ids(counts: NDArray[np.integer], table: LabelTable) -> bool:
    """Whether label files whose values are all 0 to 19, or 255, make sense as train ids alone.

    Label ids of street scenes have vegetation, sky, cars or people, all above 19, in every image; where they have
    not, they have road. What has neither, and is mostly void or has 255 besides, holds no label ids.

    Args:
        counts: Pixels of each value, over all files: (256,) or longer.
        table: What the values would mean as label ids.
    """
    values = np.arange(len(table.classes) + 1)
    ignored, counts = counts[IGNORE], counts[: len(values)]
    if counts[table.values_of_classes[0]] >= MOST_ROAD * max(1, counts.sum()):
        return False
    inner = (values > 0) & (values < len(table.classes))  # 0 and 19 may be ignored pixels in either numbering
    void = inner & (table.to_indices(values) == IGNORE)
    mostly_void = counts[void].sum() > LEAST_VOID * counts[inner].sum()
    return bool(ignored > 0 or (mostly_void and np.count_nonzero(counts) >= FEWEST_VALUES))


def _spread(files: Sequence[Path]) -> list[Path]:
    step = max(1.0, len(files) / MOST_READ)
    return [files[int(step * place)] for place in range(min(len(files), MOST_READ))]
