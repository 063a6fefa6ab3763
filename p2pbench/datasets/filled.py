"""How the data of a training, or the pictures for a generator, fill value ranges; see `reports.filled` for results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Channels, fit
from p2pbench.datasets.catalogue import Items
from p2pbench.datasets.dataset import Dataset, Item
from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range
from p2pbench.errors import UserError
from reports.filled import Values, clipped, joined, measure, spread
from reports.grids import shown
from reports.names import counted

LOOKED_AT_FOR_ADVICE = 1000  # items: their extremes may be declared, and would clip what lies beyond
LEAST_FILLED = 0.05  # of black to white; below, contrasts are lost in it

Declared = Mapping[str, Range | None]
"""The range of the settings by side, input and output."""


def dataset_lines(dataset: Dataset, items: Items, channels: Channels, config: RunConfig) -> list[str]:
    """What users should know of their ranges and data, from files as they are read, before any resizing.

    Lines say how much of the data a declared range clips, and which data fill under 5 % of what is black to white.

    Args:
        dataset: How samples are made.
        items: All items, of which 16 are read; and all, up to 1000, where a range is advised.
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
        advised_by = spread(everything, LOOKED_AT_FOR_ADVICE)
        if len(advised_by) > len(chosen):
            seen = _dataset_values(dataset, advised_by, channels, declared)
        lines.append(_unfilled({side: seen[side] for side in unfilled}, declared, len(advised_by)))
    return lines


def folder_lines(files: Sequence[Path], read: Callable[[Path], Picture], ends: Range, whose: str) -> list[str]:
    """A line where a generator's input range clips some of the values of the pictures that it is given.

    Args:
        files: The pictures, of which 16 are read; those that cannot be are named when they are used.
        read: Makes the generator's input of a file.
        ends: The range that it was trained with.
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


def _unfilled(seen: Mapping[str, Values], declared: Declared, count: int) -> str:
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
    dataset: Dataset, items: Sequence[Item], channels: Channels, declared: Declared
) -> dict[str, Values]:
    """The values of items' inputs and targets at the size of their files."""

    def of_item(item: Item) -> tuple[Values, Values]:
        parts = fit(dataset.load(item, None), channels, item)
        return measure([parts["input"]], declared["input"]), measure([parts["target"]], declared["output"])

    with ThreadPoolExecutor() as pool:
        inputs, targets = zip(*pool.map(of_item, items), strict=True)
    return {"input": joined(inputs), "output": joined(targets)}
