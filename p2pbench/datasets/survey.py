"""Channels, depths and value ranges of a dataset's pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2pbench.config import RunConfig
from p2pbench.datasets import transforms
from p2pbench.datasets.cache import fit
from p2pbench.datasets.dataset import Channels, Dataset, DatasetSample, Depth, Item
from p2pbench.datasets.decoders import Header, Picture
from p2pbench.datasets.transforms import Range
from p2pbench.errors import UserError
from reports.store.names import counted
from reports.store.ranges import Values, clipped, joined, measure, shown, spread

if TYPE_CHECKING:
    from p2pbench.datasets.catalogue import Items


def sample_channels(dataset: Dataset, items: Sequence[Item], config: RunConfig) -> Channels:
    """Find channels and depth of a dataset's samples.

    The settings' ones, else the most that its files have.

    Where files are of several kinds, such as grey and colour, or have alpha, a remark of the dataset counts them.

    Args:
        dataset: Makes the samples.
        items: All training and test items.
        config: With its `input_channels`, `output_channels` and ranges.

    Raises:
        UserError: Kinds that cannot be brought to one, or to the channels asked for, or a file that cannot be read.
    """
    line = kinds_line(dataset, items)
    kinds = [tuple(header.kind for header in dataset.headers(_pictures(dataset, item))) for item in items]
    # Reversed, so that the first item of each kind is the one that stays.
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
    """Line with the number of files per kind, the most frequent first.

    Empty where all are alike without alpha.

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


def _load(dataset: Dataset, item: Item, config: RunConfig, count: int, total: int) -> DatasetSample:
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
    """Problem, with its fix, if pictures of these numbers of channels cannot become one kind; else ""."""
    counts = " or ".join(map(str, sorted(set(found))))
    if asked is not None:
        possible = frozenset.intersection(*map(transforms.convertible, found))
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


READ_FOR_ADVICE = 1000  # items: a range declared by their extremes clips what lies beyond
LEAST_FILLED = 0.05  # of the range; below, contrasts are lost

DeclaredRanges = Mapping[str, Range | None]
"""Range of the settings by side, input and output."""


def dataset_lines(dataset: Dataset, items: Items, channels: Channels, config: RunConfig) -> list[str]:
    """Lines on the value ranges of the data before resizing.

    They say how much of the data a declared range clips, and which data fill under 5 % of the range.

    Args:
        dataset: Makes the samples.
        items: All items, of which 16 are read; up to 1000 where a range is advised.
        channels: Channels and depth of the samples.
        config: The run's settings, with its ranges.

    Raises:
        UserError: A file cannot be read.
        ReportError: A declared range is beyond the depth, or nearly no value lies within it.
    """
    declared = {"input": config.input_range, "output": config.output_range}
    if dataset.own_scale:
        return []
    if not dataset.needs_root and not any(declared.values()):  # drawn ones fill all of their depth
        return []
    everything = [*items.train, *items.test]
    chosen = spread(everything)
    seen = _dataset_values(dataset, chosen, channels, declared)
    lines: list[str] = []
    unfilled: list[str] = []
    for side, values in seen.items():
        if (ends := declared[side]) is not None:
            mend = f"declare the data's own, such as {_setting(side, values)}, or leave it out"
            whose = f"the {side} values of {counted(len(chosen), 'item')}"
            lines += clipped(f"key '{side}_range'", ends, values, whose, mend)
        low, high = ends or values.whole
        if values.high - values.low < LEAST_FILLED * (high - low):
            unfilled.append(side)
    if unfilled:
        # Extremes of 16 items would be a bad range to declare.
        advised_by = spread(everything, READ_FOR_ADVICE)
        if len(advised_by) > len(chosen):
            seen = _dataset_values(dataset, advised_by, channels, declared)
        lines.append(_unfilled({side: seen[side] for side in unfilled}, declared, len(advised_by)))
    return lines


def folder_lines(files: Sequence[Path], read: Callable[[Path], Picture], ends: Range, whose: str) -> list[str]:
    """Line if a generator's input range clips its inputs.

    Args:
        files: The pictures, of which 16 are read; unreadable ones are named when they are used.
        read: Reads a file as the generator's input.
        ends: The range of its training.
        whose: The generator's file, for messages.

    Raises:
        ReportError: Nearly no value lies within the range.
    """
    inputs = []
    for file in spread(files):
        try:
            inputs.append(measure([read(file)], ends))
        except UserError:
            continue
    if not inputs:
        return []
    mend = "give pictures whose values are such as it was trained on"
    return list(
        clipped(f"{whose}: input_range", ends, joined(inputs), f"the values of {counted(len(inputs), 'input')}", mend)
    )


def _unfilled(seen: Mapping[str, Values], declared: DeclaredRanges, count: int) -> str:
    found = [
        f"{side} values {shown((values.low, values.high))} of {shown(declared[side] or values.whole)}"
        for side, values in seen.items()
    ]
    settings = [_setting(side, values) for side, values in seen.items() if values.low < values.high]
    advice = f"declare your data's own, such as {' '.join(settings)}" if settings else "look at the data"
    return (
        f"{counted(count, 'item')} {'has' if count == 1 else 'have'} {' and '.join(found)}: under {LEAST_FILLED:.0%} "
        f"of what is black to white for networks and scores; {advice}"
    )


def _setting(side: str, values: Values) -> str:
    return f"--set '{side}_range=[{values.low:g}, {values.high:g}]'"


def _dataset_values(
    dataset: Dataset, items: Sequence[Item], channels: Channels, declared: DeclaredRanges
) -> dict[str, Values]:
    """Measure the values of items' inputs and targets at the size of their files."""

    def of_item(item: Item) -> tuple[Values, Values]:
        parts = fit(dataset.load(item, None), channels, item)
        return measure([parts["input"]], declared["input"]), measure([parts["target"]], declared["output"])

    with ThreadPoolExecutor() as pool:
        inputs, targets = zip(*pool.map(of_item, items), strict=True)
    return {"input": joined(inputs), "output": joined(targets)}
