"""Data of a grid, decoded once for cells that share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pbench.config import RunConfig, affecting
from p2pbench.datasets.cache import Advance, Samples, open_samples
from p2pbench.datasets.catalogue import Items, open_dataset, run_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.datasets.dataset import Channels, Dataset
from p2pbench.datasets.survey import dataset_lines, sample_channels
from p2pbench.training.records import Contents, Description


@dataclass(frozen=True)
class Data:
    """Dataset of a run with its training and test samples.

    Training samples are at load size, test samples at image size.

    `contents` is the hash of each item's content by its id, by split; `notices` are lines for the user on how the data
    fill the ranges of the settings.
    """

    dataset: Dataset
    items: Items
    contents: Contents
    channels: Channels
    train: Samples
    test: Samples
    notices: Sequence[str] = ()

    def describe(self) -> Description:
        """Summary of each split: number, hash of ids, hash of contents."""
        return describe(self.items, self.contents)


def describe(items: Items, contents: Contents) -> Description:
    """Summary of each split: number, hash of ids, hash of contents."""
    described = items.describe()
    return {split: {**described[split], "content": digest(contents[split])} for split in described}


def contents_of(dataset: Dataset, items: Items) -> Contents:
    """The hash of each item's content by its id, by split.

    Raises:
        UserError: A file cannot be read.
    """
    return {split: item_contents(dataset, of_split) for split, of_split in items._asdict().items()}


def data_key(config: RunConfig) -> tuple[object, ...]:
    """Values of all settings that select or locate data.

    Runs with one key share data.
    """
    return tuple(getattr(config, name) for name in affecting("items", "location"))


def open_data(config: RunConfig, advance: Advance) -> Data:
    """Find, check and decode the data of a run.

    Raises:
        UserError: The root, a split, a pair or a file is missing or invalid.
        ReportError: A declared range is not that of the data.
    """
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    contents = contents_of(dataset, items)
    channels = sample_channels(dataset, [*items.train, *items.test], config)
    notices = dataset_lines(dataset, items, channels, config)
    # The test items are decoded first, so that a bad one is known before the hours of training.
    test = open_samples(dataset, items.test, config.image_size, channels, advance)
    train = open_samples(dataset, items.train, config.load_side, channels, advance)
    return Data(dataset, items, contents, channels, train, test, notices)


class KeptData:
    """Cache of opened data by `data_key`, for processes that train several runs."""

    def __init__(self) -> None:
        self._opened: dict[tuple[object, ...], Data] = {}

    def of(self, config: RunConfig, advance: Advance = lambda done, total: None) -> Data:
        """The data of a run, opened on first use.

        Raises as `open_data` and `advance` do.
        """
        key = data_key(config)
        if key not in self._opened:
            self._opened[key] = open_data(config, advance)
        return self._opened[key]
