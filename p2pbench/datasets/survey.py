"""Channels and depth of a dataset's samples, from the headers of all its files: no single file decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.cache import Channels, Depth
from p2pbench.datasets.dataset import Dataset, Item, Sample
from p2pbench.datasets.pictures import Header
from p2pbench.errors import UserError
from reports.names import counted


def sample_channels(dataset: Dataset, items: Sequence[Item], config: RunConfig) -> Channels:
    """Channels and depth of a dataset's samples: the widest that its files make, unless the settings ask for others.

    Where files are of several kinds, such as grey and colour, or have alpha, a remark of the dataset's counts them.

    Args:
        dataset: How samples are made.
        items: All that are used, to train and to test on.
        config: Its `input_channels`, `output_channels` and ranges.

    Raises:
        UserError: Kinds that cannot be brought to one, or to the channels asked for, or a file that cannot be read.
    """
    line = kinds_line(dataset, items)
    kinds = [tuple(header.kind for header in dataset.headers(_pictures(dataset, item))) for item in items]
    first = dict(zip(reversed(kinds), reversed(items), strict=True))  # of each kind
    samples = [_load(dataset, item, config, kinds.count(kind), len(items)) for kind, item in first.items()]
    widths = [sample.input.shape[2] for sample in samples], [sample.target.shape[2] for sample in samples]
    asked = config.input_channels, config.output_channels
    sides = list(zip(widths, asked, ("input", "output"), strict=True))
    if problems := [problem for side in sides if (problem := _width_problem(*side))]:
        raise UserError("; ".join([f"{line}: {problems[0]}" if line else problems[0], *problems[1:]]))
    input_channels, output_channels = (max(found) if wanted is None else wanted for found, wanted, _ in sides)
    channels = Channels(
        input_channels,
        output_channels,
        _deepest([sample.input.dtype for sample in samples], config.input_range, "input", line),
        _deepest([sample.target.dtype for sample in samples], config.output_range, "output", line),
    )
    dataset.remark(line if dataset.own_scale or not line else f"{line}; {_described(channels)}")
    for suspicion in dataset.suspicions(items):
        dataset.remark(suspicion)
    return channels


def kinds_line(dataset: Dataset, items: Sequence[Item]) -> str:
    """How many files are of which kind, the most frequent first; empty where all are alike and have no alpha.

    Raises:
        UserError: Files are damaged or no pictures; all of them are named.
    """
    files = [_pictures(dataset, item) for item in items]
    dataset.headers(file for of_item in files for file in of_item)
    parts = []
    for what, of_kind in zip(dataset.kinds, zip(*files, strict=True), strict=False):  # drawn items have no files
        headers = dict(zip(of_kind, dataset.headers(of_kind), strict=True))
        counts = Counter(header.kind for header in headers.values())
        if len(counts) > 1 or any(header.alpha for header in headers.values()):
            parts.append(f"{what}: {', '.join(_counted(counts, headers))}")
    return f"{dataset.name}: {'; '.join(parts)}" if parts else ""


def _pictures(dataset: Dataset, item: Item) -> tuple[Path, ...]:
    return item.files[: len(dataset.kinds)]


def _load(dataset: Dataset, item: Item, config: RunConfig, count: int, total: int) -> Sample:
    try:
        return dataset.load(item, config.image_size)
    except UserError as error:
        raise UserError(f"{error} (so are {count} of {total} items)" if count > 1 else str(error)) from None


def _counted(counts: Counter[str], headers: dict[Path, Header]) -> list[str]:
    (usual, n), *others = counts.most_common()
    rare = [
        f"{count} of {kind} (such as {next(file for file, header in headers.items() if header.kind == kind)})"
        for kind, count in others
    ]
    return [f"{n} of {usual}", *rare]


def _width_problem(found: Sequence[int], asked: int | None, side: str) -> str:
    """Why pictures of these numbers of channels do not become one kind, the one asked for, and what to do; or ""."""
    counts = " or ".join(map(str, sorted(set(found))))
    if asked is not None:
        possible = frozenset.intersection(*map(pictures.convertible, found))
        if asked in possible:
            return ""
        become = f"can become {' or '.join(map(str, sorted(possible)))}" if possible else "cannot become one kind"
        return (
            f"key '{side}_channels': found {asked}, but the {side}s of the files have {counts} channels, which "
            f"{become}; change it, or leave it out"
        )
    if len(set(found)) > 1 and not set(found) <= {1, 3}:
        return (
            f"the {side} would have {counts} channels; convert the files to one kind, or take the colours alone by "
            f"--set {side}_channels=3"
        )
    return ""


def _deepest(found: Sequence[Depth], ends: tuple[float, float] | None, side: str, line: str) -> Depth:
    deepest = max(found, key=lambda dtype: dtype.itemsize)
    if ends is not None and len(set(found)) > 1:
        raise UserError(
            f"{line}: {side}_range cannot be that of 8 and of 16 bits; convert the files to one kind, or leave "
            f"{side}_range out"
        )
    return np.dtype(deepest)


def _described(channels: Channels) -> str:
    one, other = (
        f"{counted(count, 'channel')} of {8 * dtype.itemsize} bits"
        for count, dtype in ((channels.input, channels.input_dtype), (channels.output, channels.output_dtype))
    )
    return f"networks get {one} and make {other} (--set input_channels, output_channels)"
