"""The paper's numbers under this program's names: Tables 1-6, Figure 7d.

A number is given beside one of ours only where task and data are the paper's. A similar table of other images is given
as a whole, to be shown apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from reports.store.grids import GridDescription
from reports.store.layout import REAL
from reports.store.metrics import STUDY, own_scorer

FCN, LABELS, IMAGE = "fcn-official", "labels-official", "image"
LABELS_TO_PHOTO, PHOTO_TO_LABELS = "labels to photo", "photo to labels"
MAP_TO_AERIAL, AERIAL_TO_MAP = "map to aerial photo", "aerial photo to map"
COLORIZATION = "colorization"
CITYSCAPES, MAPS, IMAGENET = "Cityscapes", "Google Maps", "ImageNet"
# Counted from the paper's section 6.2.1, and the validation split that it tests on.
CITYSCAPES_TRAIN, CITYSCAPES_TEST, MAPS_TRAIN = 2975, 500, 1096


class PaperNumber(NamedTuple):
    """A number as the paper prints it.

    Attributes:
        value: The number in the unit of the metric: a fraction, or percent for fooling rates.
        plus_minus: The number behind its +-, in the same unit; the paper does not define it.
        table: The table that it is from.
    """

    value: float
    plus_minus: float | None
    table: str


PaperRow = Mapping[str, PaperNumber]
"""The numbers of a cell by metric."""


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes:
        title: Its number, and which half of it where it has two.
        task: The translation, such as "labels to photo".
        data: Name of the dataset.
        scorer: Scorer with the same protocol; `STUDY` for any study of fooling rates.
        rows: The numbers by cell, those of the ground truth under `layout.REAL`.
    """

    title: str
    task: str
    data: str
    scorer: str
    rows: Mapping[str, PaperRow]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of the columns."""
        return tuple(next(iter(self.rows.values())))


_SEGMENTED = ("pixel_accuracy", "class_accuracy", "class_iou")
_HISTOGRAMS = ("histogram_l", "histogram_a", "histogram_b")


def _table(
    title: str, task: str, data: str, scorer: str, metrics: tuple[str, ...], rows: Mapping[str, tuple[float, ...]]
) -> PaperTable:
    return PaperTable(
        title,
        task,
        data,
        scorer,
        {
            cell: {name: PaperNumber(value, None, title) for name, value in zip(metrics, values, strict=True)}
            for cell, values in rows.items()
        },
    )


def _fooling(title: str, task: str, data: str, rows: Mapping[str, tuple[float, float]]) -> PaperTable:
    numbers = {cell: {"fooling_rate": PaperNumber(rate, spread, title)} for cell, (rate, spread) in rows.items()}
    return PaperTable(title, task, data, STUDY, numbers)


TABLES: tuple[PaperTable, ...] = (
    _table(
        "Table 1",
        LABELS_TO_PHOTO,
        CITYSCAPES,
        FCN,
        _SEGMENTED,
        {
            "L1": (0.42, 0.15, 0.11),
            "GAN": (0.22, 0.05, 0.01),
            "cGAN": (0.57, 0.22, 0.16),
            "L1+GAN": (0.64, 0.20, 0.15),
            "L1+cGAN": (0.66, 0.23, 0.17),
            REAL: (0.80, 0.26, 0.21),
        },
    ),
    _table(
        "Table 2",
        LABELS_TO_PHOTO,
        CITYSCAPES,
        FCN,
        _SEGMENTED,
        {
            "encoder-decoder L1": (0.35, 0.12, 0.08),
            "encoder-decoder L1+cGAN": (0.29, 0.09, 0.05),
            "U-Net L1": (0.48, 0.18, 0.13),
            "U-Net L1+cGAN": (0.55, 0.20, 0.14),
        },
    ),
    _table(
        "Table 3",
        LABELS_TO_PHOTO,
        CITYSCAPES,
        FCN,
        _SEGMENTED,
        {
            "1x1": (0.39, 0.15, 0.10),
            "16x16": (0.65, 0.21, 0.17),
            "70x70": (0.66, 0.23, 0.17),
            "286x286": (0.42, 0.16, 0.11),
        },
    ),
    _fooling("Table 4, map to aerial photo", MAP_TO_AERIAL, MAPS, {"L1": (0.8, 0.3), "L1+cGAN": (18.9, 2.5)}),
    _fooling("Table 4, aerial photo to map", AERIAL_TO_MAP, MAPS, {"L1": (2.8, 1.0), "L1+cGAN": (6.1, 1.3)}),
    _fooling(
        "Table 5, colorization",
        COLORIZATION,
        IMAGENET,
        {
            "L2 regression (Zhang et al. 2016)": (16.3, 2.4),
            "Zhang et al. 2016": (27.8, 2.7),
            "L1+cGAN": (22.5, 1.6),
        },
    ),
    _table(
        "Table 6",
        PHOTO_TO_LABELS,
        CITYSCAPES,
        LABELS,
        _SEGMENTED,
        {"L1": (0.86, 0.42, 0.35), "cGAN": (0.74, 0.28, 0.22), "L1+cGAN": (0.83, 0.36, 0.29)},
    ),
    _table(
        "Figure 7d",
        LABELS_TO_PHOTO,
        CITYSCAPES,
        IMAGE,
        _HISTOGRAMS,
        {
            "L1": (0.81, 0.69, 0.70),
            "cGAN": (0.87, 0.74, 0.84),
            "L1+cGAN": (0.86, 0.84, 0.82),
            "1x1": (0.83, 0.68, 0.78),  # there "PixelGAN"
        },
    ),
)
GROUND_TRUTH = tuple(number.value for number in TABLES[0].rows[REAL].values())
"""Scores of real Cityscapes photos: pixel accuracy, class accuracy and class IoU."""
# Tasks without a study in the paper, and the most similar task with one.
_LIKE = {LABELS_TO_PHOTO: MAP_TO_AERIAL, PHOTO_TO_LABELS: AERIAL_TO_MAP}


def value(
    description: GridDescription, scorer: str, metric: str, cell: str, protocol: Mapping[str, object] | None = None
) -> PaperNumber | None:
    """The paper's number for a cell, if task, images and scorer match.

    Args:
        description: The grid.
        scorer: The scorer; the strict protocols are ours, and the paper has no numbers by them.
        metric: The metric.
        cell: The cell, or `layout.REAL`.
        protocol: That of our number. Given, an FCN-score must come from the published network.
    """
    setting = _setting(description)
    if scorer == FCN and protocol is not None and not is_published(protocol):
        return None
    tables = [table for table in _of_scorer(scorer) if (table.task, table.data) == setting]
    row = _row(tables, description.source, cell)
    return row.get(metric) if row else None


def reference(description: GridDescription, scorer: str) -> PaperTable | None:
    """The paper's most similar table, of other images; None without one.

    It has cells of our names, and the grid's source names it where several have. A study is like one of the same task;
    between labels and photos, which the paper has no study of, like one between maps and aerial photos.
    """
    task, data = _setting(description)
    tables = [table for table in _of_scorer(scorer) if table.task == task]
    if not tables and scorer.startswith(STUDY):
        tables = [table for table in _of_scorer(scorer) if table.task == _LIKE.get(task or "")]
    shared = {table.title: len(table.rows.keys() & description.cells.keys()) for table in tables}
    like = [table for table in tables if shared[table.title]]
    like.sort(key=lambda table: (not _names(table, description.source), -shared[table.title]))
    return like[0] if like and (like[0].task, like[0].data) != (task, data) else None


def is_published(protocol: Mapping[str, object]) -> bool:
    """Whether an FCN-score comes from the published network.

    Only then may the paper's numbers stand beside it.
    """
    return bool(protocol.get("network")) and not own_scorer(protocol)


def paper_row(scorer: str, source: str, cell: str) -> PaperRow | None:
    """The paper's row for a cell's name.

    Of the table that the grid's source names, else of the first that has it.
    """
    return _row(_of_scorer(scorer), source, cell)


def _row(tables: list[PaperTable], source: str, cell: str) -> PaperRow | None:
    named_first = sorted(tables, key=lambda table: not _names(table, source))
    return next((table.rows[cell] for table in named_first if cell in table.rows), None)


def _of_scorer(scorer: str) -> list[PaperTable]:
    kind = STUDY if scorer.startswith(STUDY) else scorer
    return [table for table in TABLES if table.scorer == kind]


def _names(table: PaperTable, source: str) -> bool:
    return re.search(rf"\b{table.title.split(',')[0]}\b", source) is not None


class _Setting(NamedTuple):
    """A grid's task and images as the paper names them, or None."""

    task: str | None
    data: str | None


def _setting(description: GridDescription) -> _Setting:
    dataset = description.dataset
    name, direction = dataset.get("name"), dataset.get("direction")
    if name == "colorization":
        return _Setting(COLORIZATION, None)  # any folder of photos: it may not be the paper's
    if name == "paired":
        return _archive(dataset)
    task = {"labels-to-photo": LABELS_TO_PHOTO, "photo-to-labels": PHOTO_TO_LABELS}.get(str(direction))
    whole = name == "cityscapes" and _count(dataset, "test") == CITYSCAPES_TEST
    return _Setting(task, CITYSCAPES if whole else None)


def _archive(dataset: Mapping[str, object]) -> _Setting:
    """Setting of the two published archives that the paper has numbers for.

    They are recognised by their folder's name and number of training items.

    Cityscapes holds the photo as A, maps the aerial photo.
    """
    folder, train = PurePath(str(dataset.get("root"))).name, _count(dataset, "train")
    forth = dataset.get("direction") == "AtoB"
    if folder == "maps" and train == MAPS_TRAIN:
        return _Setting(AERIAL_TO_MAP if forth else MAP_TO_AERIAL, MAPS)
    if folder == "cityscapes" and train == CITYSCAPES_TRAIN:
        whole = _count(dataset, "test") == CITYSCAPES_TEST
        return _Setting(PHOTO_TO_LABELS if forth else LABELS_TO_PHOTO, CITYSCAPES if whole else None)
    return _Setting(None, None)


def _count(dataset: Mapping[str, object], split: str) -> object:
    items = dataset.get(split)
    return items.get("n") if isinstance(items, Mapping) else None
