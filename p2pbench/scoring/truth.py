"""True labels of a dataset's test items, for scoring outputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn.labels import LabelTable
from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.catalogue import DATASETS, check_settings, open_dataset, split_items
from p2pbench.datasets.clusters import ItemClusters, find_clusters
from p2pbench.datasets.contents import digest
from p2pbench.datasets.dataset import Item, LabelledPhotos
from p2pbench.datasets.labelled import Cityscapes
from p2pbench.errors import UserError
from reports.paper import CITYSCAPES_TEST
from reports.store.layout import found_at


@dataclass(frozen=True)
class Truth:
    """Labelled dataset with its test items.

    Attributes:
        config: The settings that select it.
        dataset: The dataset.
        table: Its label table.
        items: Test items by id, in the dataset's order, at least one.
        clusters: Items that vary together, if any.
        notices: Lines for the user on the detection of clusters.
    """

    config: RunConfig
    dataset: LabelledPhotos
    table: LabelTable
    items: dict[str, Item]
    clusters: ItemClusters | None = None
    notices: tuple[str, ...] = ()

    @property
    def is_papers(self) -> bool:
        """Whether these are the paper's test images, judged by name and number."""
        return self.dataset.name == Cityscapes.name and len(self.items) == CITYSCAPES_TEST

    def labels(self, id_: str, size: int | None = None) -> NDArray[np.uint8]:
        """Class indices (H, W) of an item, with IGNORE where there is none.

        Args:
            id_: The item's id.
            size: Side of square labels, resized as a network's sample of this size; None for the dataset's own size
                and aspect.

        Raises:
            UserError: A file is missing or damaged, or holds values that are not in the table.
        """
        return self.dataset.labels(self.items[id_], size)

    def key(self, id_: str) -> str:
        """Hash of an item's labels at the dataset's own size.

        Of their file, or of their drawing.
        """
        item = self.items[id_]
        # A drawn item has no file; its labels follow from its id and the dataset's note, which says how it is drawn.
        state = hashlib.sha256(f"{self.table.name}\n{self.dataset.note}\n{id_}".encode())
        if item.files:
            _, label_file = item.files
            state.update(read_bytes(label_file))
        return state.hexdigest()

    @cached_property
    def content(self) -> str:
        """Hash of all items' labels, for protocols."""
        return digest({id_: self.key(id_) for id_ in self.items})


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an output or a label file") from None


def open_truth(text: str, clusters: str | None = None) -> Truth:
    """Open the dataset of `--labels`.

    Args:
        text: `DATASET:ROOT[:SPLIT]`, such as `cityscapes:/data/cityscapes:val`; `streets:` has no root.
        clusters: Items that vary together, as the setting of this name.

    Raises:
        UserError: It has another form, the dataset is unknown or has no labels, or its files are invalid.
    """
    name, colon, rest = text.partition(":")
    if name not in DATASETS or not colon:
        raise UserError(
            f"labels {text}: expected DATASET:ROOT[:SPLIT] with a dataset of {', '.join(labelled())}, "
            "such as cityscapes:/data/cityscapes:val or streets:"
        )
    root, _, split = rest.partition(":")
    kind = DATASETS[name]
    if kind.needs_root and kind.table is not None and not (root and Path(root).expanduser().is_dir()):
        found = f"{found_at(Path(root).expanduser())} {root}" if root else "found no folder"
        raise UserError(f"labels {text}: {found}, expected {name}:ROOT[:SPLIT] with a root of {kind.layout}")
    settings = {"dataset": name, "root": root or None, "test_split": split or None, "clusters": clusters}
    config = run_config(settings, f"labels {text}")
    check_settings(config, f"labels {text}")
    return run_truth(config)


def run_truth(config: RunConfig) -> Truth:
    """Open the true labels of a run's test items.

    Raises:
        UserError: The dataset has no labels, or is no longer where the run found it; clusters do not fit the items.
    """
    table = label_table(config.dataset)
    dataset = open_dataset(config)
    assert isinstance(dataset, LabelledPhotos), f"{dataset.name} has a label table, so its items have labels"
    # Photos are not needed here, so that a folder of labels alone will do.
    items = split_items(dataset, "test", config.test_items, labels_only=True)
    clustering = find_clusters(config.clusters, dataset.naming, [item.id for item in items])
    return Truth(config, dataset, table, {item.id: item for item in items}, *clustering)


def label_table(dataset: str) -> LabelTable:
    """Label table of a dataset.

    Raises:
        UserError: The dataset has none.
    """
    table = DATASETS[dataset].table
    if table is None:
        raise UserError(f"dataset {dataset} has pictures but no label table; expected one of {', '.join(labelled())}")
    return table


def labelled() -> list[str]:
    """Names of the datasets with a label table."""
    return [name for name, kind in DATASETS.items() if kind.table is not None]
