"""Datasets by name, and a run's items from its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from p2pbench.config import RunConfig
from p2pbench.datasets.clusters import FoundClusters, find_clusters
from p2pbench.datasets.dataset import Dataset, Item, LabelledPhotos, Split, item_hash
from p2pbench.datasets.labelled import CamVid, Cityscapes, Streets
from p2pbench.datasets.pairs import Folders, PairedDataset
from p2pbench.datasets.photos import Colorization, Edges, Inpainting
from p2pbench.errors import UserError
from reports.store.names import counted

DATASETS: dict[str, type[Dataset]] = {
    kind.name: kind for kind in (Streets, Cityscapes, CamVid, PairedDataset, Folders, Colorization, Inpainting, Edges)
}
TWICE = 0.05  # tolerance of width / height = 2, of most pictures A|B


class Items(NamedTuple):
    """Training and test items of a run."""

    train: list[Item]
    test: list[Item]

    def describe(self) -> dict[str, dict[str, int | str]]:
        """Number and hash of each split's items.

        Equal where two runs have the same ids.
        """
        return {name: {"n": len(items), "hash": item_hash(items)} for name, items in self._asdict().items()}


def open_dataset(config: RunConfig) -> Dataset:
    """Open the dataset of a run's settings.

    Raises:
        UserError: no root where one is needed, or a direction that the dataset does not have.
    """
    kind = DATASETS[config.dataset]
    root = Path(config.root).expanduser() if config.root is not None else None
    return kind(root, config.direction, config.test_split)


def check_settings(config: RunConfig, where: str) -> None:
    """Refuse settings that the dataset lacks or would ignore.

    Raises:
        UserError: a root or a split for a dataset that is drawn, where the datasets whose layout fits the root are
            named; a direction or numbers of channels that are not the dataset's.
    """
    kind = DATASETS[config.dataset]
    direction = kind(None, config.direction, files=False).direction
    if not kind.needs_root:
        _check_drawn(config, where)
    wrong = [
        f"key '{key}': expected {' or '.join(map(str, possible))} for {direction} of {kind.name}, found {asked}"
        for key, possible in zip(("input_channels", "output_channels"), kind.channels(direction) or (), strict=False)
        if (asked := getattr(config, key)) not in (None, *possible)
    ]
    if wrong:
        it = "it" if len(wrong) == 1 else "both"
        raise UserError(f"{where}: {'; '.join(wrong)}; change {it}, or leave {it} out")


def _check_drawn(config: RunConfig, where: str) -> None:
    if config.root is not None:
        root = Path(config.root).expanduser()
        fits = fitting(root) if root.is_dir() else []
        mend = (
            f"its files fit the dataset {' | '.join(fits)}"
            if fits
            else "its files fit no dataset of `p2pbench datasets`"
            if root.is_dir()
            else "that is a file"
            if root.exists()
            else "there is no such folder"
        )
        raise UserError(f"{where}: dataset {config.dataset} is drawn and takes no root, found {config.root}; {mend}")
    if config.test_split is not None:
        raise UserError(
            f"{where}: dataset {config.dataset} is drawn and has one test split, found test_split "
            f"{config.test_split!r}; leave it out"
        )


def fitting(root: Path) -> list[str]:
    """List the datasets whose layout a folder has.

    A folder must have items in both splits.
    """

    def fits(kind: type[Dataset]) -> bool:
        try:
            dataset = kind(root)
            train, test = dataset.items("train"), dataset.items("test")
            # An even width is no sign of a pair, as photos have one too; twice the height is.
            files = [item.files[0] for item in [*train, *test]] if kind is PairedDataset else []
            twice = [abs(header.width / header.height - 2) < TWICE for header in dataset.headers(files)]
            return bool(train and test) and 2 * sum(twice) >= len(twice)
        except UserError:
            return False

    return [name for name, kind in DATASETS.items() if kind.needs_root and fits(kind)]


def run_items(dataset: Dataset, config: RunConfig) -> Items:
    """List the items of both splits, cut to `train_items` and `test_items`.

    Raises:
        UserError: a split is empty, a file has no partner, or label files hold train ids.
    """
    return Items(split_items(dataset, "train", config.train_items), split_items(dataset, "test", config.test_items))


def files_of(items: Items) -> Iterator[Path]:
    """Yield the files of all items, which may be links to elsewhere."""
    return (file for of_split in items for item in of_split for file in item.files)


def clusters_of_items(dataset: Dataset, items: Items, config: RunConfig) -> FoundClusters:
    """Find the clusters of the test items.

    Raises:
        UserError: clusters are set that do not fit the items.
    """
    return find_clusters(config.clusters, dataset.naming, [item.id for item in items.test])


def more_than_there_are(items: Items, config: RunConfig) -> Iterator[str]:
    """Yield a line for each setting that exceeds the number of items."""
    for split, of_split in items._asdict().items():
        asked = getattr(config, f"{split}_items")
        if asked is not None and asked > len(of_split):
            yield f"{split}_items = {asked}: there are {counted(len(of_split), f'{split} item')}, and all are taken"
    if config.batch_size > len(items.train):
        count = counted(len(items.train), "train item")
        yield f"batch_size = {config.batch_size}: there are {count}, and each batch has no more"


def split_items(dataset: Dataset, split: Split, limit: int | None, *, labels_only: bool = False) -> list[Item]:
    """List the first `limit` items of a split.

    With `labels_only` their photos may be missing.

    Raises UserError as `run_items` does.
    """
    if isinstance(dataset, Streets):
        items = dataset.drawn_items(split, limit)
    elif labels_only and isinstance(dataset, LabelledPhotos):
        items = dataset.label_items(split)[:limit]
    else:
        items = dataset.items(split)[:limit]
    if not items:
        raise UserError(f"{dataset.root}: the {split} split of {dataset.name} is empty; expected {dataset.layout}")
    if isinstance(dataset, LabelledPhotos):
        dataset.check_numbering(items)
    return items
