"""Checks of the true labels against what was predicted: whether there are any, and whether they are label ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fcn.labels import IGNORE
from p2pbench.datasets import pictures, transforms
from p2pbench.errors import UserError
from p2pbench.scoring.confusion_scores import Compared
from p2pbench.scoring.label_files import NO_ID, NUMBERINGS, WORDS, class_lookup
from p2pbench.scoring.label_reading import AGREEING, is_clear
from p2pbench.scoring.score_table import ScoreRow
from p2pbench.scoring.truth import Truth
from reports.store.layout import Run
from reports.store.names import counted


def check_labelled(truth: Truth, compared: Mapping[str, Compared]) -> None:
    """Check that some item has a pixel of a scored class in its labels.

    Raises:
        UserError: None has.
    """
    if any(one.counts[:-1].any() for one in compared.values()):
        return
    first = next(iter(compared))
    root, files = truth.dataset.root or truth.dataset.name, truth.items[first].files
    raise UserError(
        f"{root}: found no pixel of a scored class in the labels of {counted(len(compared), 'item')}, such as "
        f"{files[1] if files else first}, expected some; give the dataset whose labels are those of the outputs"
    )


def doubts(truth: Truth, row: ScoreRow, compared: Iterable[str], run: Run) -> list[str]:
    """A line where predictions agree clearly with the label files in another numbering than label ids.

    Files of few values can be of several numberings, and by themselves tell nothing.

    Args:
        truth: What the outputs were compared with.
        row: The scores; where predictions agree in some measure, no file is read.
        compared: The ids of the items.
        run: Whose `segmentations/` hold what was predicted.

    Raises:
        UserError: A file cannot be read.
    """
    if row.strict is None or row.strict.metrics["pixel_accuracy"].value >= AGREEING:
        return []
    lookups = [class_lookup(truth.table, numbering) for numbering in NUMBERINGS]
    files = {id_: truth.items[id_].files[1] for id_ in compared if truth.items[id_].files}

    def agreement(id_: str) -> NDArray[np.int64]:
        """By numbering, the pixels that are right, those that have a class, and those of no id."""
        predicted = pictures.read_labels(run.segmentations / f"{id_}.png")
        values = transforms.resize_labels(pictures.read_labels(files[id_]), predicted.shape[1], predicted.shape[0])
        true = [lookup[values] for lookup in lookups]
        classes = [(of != IGNORE) & (of != NO_ID) for of in true]
        right = [(of == predicted) & known for of, known in zip(true, classes, strict=True)]
        return np.array([[part.sum() for part in parts] for parts in (right, classes, [of == NO_ID for of in true])])

    if not files:
        return []
    with ThreadPoolExecutor() as pool:
        right, known, unknown = sum(pool.map(agreement, files), np.zeros((3, len(lookups)), np.int64))
    label_ids, *shares = np.where(unknown, 0, right / np.maximum(known, 1)).tolist()
    best = int(np.argmax(shares))
    if not is_clear(shares[best], label_ids):
        return []
    other = WORDS[NUMBERINGS[1 + best]]
    return [
        f"the true labels look like {other}: predictions agree with {shares[best]:.0%} of their pixels as {other}, "
        f"{label_ids:.0%} as label ids; give label files in label ids in place of {next(iter(files.values()))}"
    ]
