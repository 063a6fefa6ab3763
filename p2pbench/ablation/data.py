"""The data of a grid: its items, decoded once for all cells that see them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Advance, Channels, Samples, open_samples
from p2pbench.datasets.catalogue import Items, open_dataset, run_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.scale import Range, shown, span
from p2pbench.datasets.survey import sample_channels
from p2pbench.results import Description

# The settings that decide what samples are; cells that agree on them share the decoded pictures.
DATA_SETTINGS = (
    "dataset",
    "root",
    "direction",
    "test_split",
    "train_items",
    "test_items",
    "image_size",
    "jitter",
    "input_channels",
    "output_channels",
)


LEAST_FILLED = 0.05  # of the depth; below, contrasts are lost in it
LOOKED_AT = 16  # training items


@dataclass(frozen=True)
class Data:
    """A dataset as a run sees it: training samples at load size, test samples at image size.

    `contents` is the hash of each item's content by its id, by split.
    """

    dataset: Dataset
    items: Items
    contents: Mapping[str, Mapping[str, str]]
    channels: Channels
    train: Samples
    test: Samples

    def describe(self) -> Description:
        """The items of each split: how many, a hash of their ids, and a hash of their contents."""
        described = self.items.describe()
        return {split: {**described[split], "content": digest(self.contents[split])} for split in described}


def data_key(config: RunConfig) -> tuple[object, ...]:
    """What decides the data: runs with the same key share it."""
    return tuple(getattr(config, name) for name in DATA_SETTINGS)


def open_data(config: RunConfig, advance: Advance) -> Data:
    """Find, check and decode the data of a run.

    Raises:
        UserError: the root, a split, a pair or a file is not as it should be.
    """
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    contents = {split: item_contents(dataset, some) for split, some in items._asdict().items()}
    channels = sample_channels(dataset, [*items.train, *items.test], config)
    # The test items are decoded first, so that a bad one is known before the hours of training.
    test = open_samples(dataset, items.test, config.image_size, channels, advance)
    train = open_samples(dataset, items.train, config.load_side, channels, advance)
    return Data(dataset, items, contents, channels, train, test)


def unfilled(samples: Samples, config: RunConfig) -> str | None:
    """A line for users whose training data fill under 5 % of the depth, unless their range is declared.

    Args:
        samples: The training samples, of which `LOOKED_AT` are read, evenly spaced.
        config: The run's settings.
    """
    if config.dataset == "colorization":  # its values are L and ab, on scales of their own
        return None
    chosen = np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).round().astype(int)).tolist()
    batches = list(samples.batches([[index] for index in chosen]))
    sides = {
        "input": (config.input_range, [batch.input.numpy() for batch in batches]),
        "output": (config.output_range, [batch.target.numpy() for batch in batches]),
    }
    found, settings = [], []
    for side, (declared, pictures) in sides.items():
        ends: Range = float(min(map(np.min, pictures))), float(max(map(np.max, pictures)))
        if declared is None and ends[1] - ends[0] < LEAST_FILLED * (whole := span(pictures[0].dtype, None)):
            found.append(f"{side} values {shown(ends)} of 0..{whole:g}")
            if ends[0] < ends[1]:
                settings.append(f"--set '{side}_range=[{', '.join(f'{end:g}' for end in ends)}]'")
    if not found:
        return None
    advice = f"declare your data's own, such as {' '.join(settings)}" if settings else "look at the data"
    return (
        f"{len(chosen)} training items have {' and '.join(found)}: under {LEAST_FILLED:.0%} of what is black to white "
        f"for networks and scores; {advice}"
    )
