"""Cache of decoded samples in memory-mapped files.

Every run of the same data maps the same arrays, at load size.

The files lie in `$P2PBENCH_CACHE`, by default `~/.cache/p2pbench`, and may be deleted when nothing runs. Mapped files
never exceed the memory, as the system drops their pages when it needs them. Where the disk has no room for them,
pictures are decoded again each time they are used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from p2pbench.datasets import transforms
from p2pbench.datasets.contents import cache_folder, item_contents
from p2pbench.datasets.dataset import Channels, Dataset, DatasetSample, Depth, Item, summary
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError

FORMAT = 2  # raise it when samples of the same files come out differently
DISK_SHARE = 0.5  # of the free disk that one cache may take
DECODE_CHUNK = 256  # items that may be decoded and not yet written
BATCHES_AHEAD = 8  # of a streamed dataset

Advance = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""


class RawBatch(NamedTuple):
    """Stored samples: (B, C, H, W) of 8 or 16 bits; labels (B, 1, H, W) or None."""

    input: Tensor
    target: Tensor
    labels: Tensor | None


class Samples(Protocol):
    """A split's samples, by their index."""

    @property
    def channels(self) -> Channels:
        """Channels and depths of every sample."""

    def __len__(self) -> int:
        """Number of samples."""

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[RawBatch]:
        """Yield the samples of each list of indices, in order."""


@dataclass(frozen=True)
class CachedSamples:
    """Samples as tensors, in memory, mapped, or on a GPU."""

    channels: Channels
    parts: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.parts["input"])

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[RawBatch]:
        """Yield rows of the arrays."""
        for indices in order:
            rows = {name: part[list(indices)] for name, part in self.parts.items()}
            yield RawBatch(rows["input"], rows["target"], rows.get("labels"))

    def to(self, device: torch.device) -> CachedSamples:
        """Copy the samples to a device."""
        return CachedSamples(self.channels, {name: widened(part).to(device) for name, part in self.parts.items()})


def widened(values: Tensor) -> Tensor:
    """Convert uint16 to int32.

    torch offers few operations on the former, on GPUs fewer still.
    """
    return values.to(torch.int32) if values.dtype == torch.uint16 else values


@dataclass(frozen=True)
class StreamedSamples:
    """Samples decoded again on each use, a few batches ahead.

    Threads suffice, as decoders release the GIL.
    """

    channels: Channels
    dataset: Dataset
    items: Sequence[Item]
    size: int

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[RawBatch]:
        """Yield decoded pictures, read a few batches ahead."""
        waiting: deque[list[Future[dict[str, Picture]]]] = deque()
        upcoming = iter(order)
        with ThreadPoolExecutor() as pool:
            while True:
                for indices in islice(upcoming, BATCHES_AHEAD - len(waiting)):
                    waiting.append([pool.submit(self._load, index) for index in indices])
                if not waiting:
                    return
                loaded = [future.result() for future in waiting.popleft()]
                rows = {name: torch.from_numpy(np.stack([parts[name] for parts in loaded])) for name in loaded[0]}
                yield RawBatch(rows["input"], rows["target"], rows.get("labels"))

    def _load(self, index: int) -> dict[str, Picture]:
        item = self.items[index]
        return fit(self.dataset.load(item, self.size), self.channels, item)


def open_samples(
    dataset: Dataset, items: Sequence[Item], size: int, channels: Channels, advance: Advance = lambda done, total: None
) -> Samples:
    """Open a split's samples at one size, decoding uncached ones.

    Raises:
        UserError: files that cannot be decoded or hold label values outside the table, all named in one message;
            or the disk is full.
    """
    layout = _part_layout(dataset, channels, size)
    folder = cache_folder() / _key(dataset, items, size, channels)
    if not folder.is_dir():
        needed = len(items) * sum(math.prod(shape) * dtype.itemsize for shape, dtype in layout.values())
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # A cache that fills the disk would fail the run, or another program, much later.
            if needed > DISK_SHARE * shutil.disk_usage(folder.parent).free:
                return StreamedSamples(channels, dataset, items, size)
            _build(folder, layout, _decode(dataset, items, size, channels, advance))
        except OSError as error:
            raise UserError(
                f"{folder.parent}: the cache of decoded pictures cannot be written ({error.strerror or error}); it "
                f"needs {needed / 2**20:.0f} MiB; set P2PBENCH_CACHE to a folder with room"
            ) from None
    parts = {
        # Copy on write: torch wants arrays that can be written, and the file must stay as it is.
        name: torch.from_numpy(np.memmap(folder / name, dtype, "c", shape=(len(items), *shape)))
        for name, (shape, dtype) in layout.items()
    }
    return CachedSamples(channels, parts)


def fit(sample: DatasetSample, channels: Channels, item: Item) -> dict[str, Picture]:
    """Convert a sample's parts to the dataset's channels and depth, channels first.

    Raises:
        UserError: a number of channels that cannot be brought to the dataset's, or more bits than its.
    """
    name = " and ".join(map(str, item.files)) or item.id
    parts: dict[str, Picture] = {}
    for part, picture, wanted, dtype in (
        ("input", sample.input, channels.input, channels.input_dtype),
        ("target", sample.target, channels.output, channels.output_dtype),
    ):
        if picture.dtype.itemsize < dtype.itemsize:
            # Of mixed depths all become 16 bits: no value is lost, and 255 becomes 65535.
            picture = transforms.deepen(picture)
        if picture.dtype != dtype:
            raise UserError(
                f"{name}: the {part} is {picture.dtype}, expected {dtype} as the dataset's other items; convert it"
            )
        parts[part] = transforms.convert(picture, wanted, name).transpose(2, 0, 1)
    if sample.labels is not None:
        parts["labels"] = sample.labels[None]
    return parts


def _part_layout(dataset: Dataset, channels: Channels, size: int) -> dict[str, tuple[tuple[int, ...], Depth]]:
    layout: dict[str, tuple[tuple[int, ...], Depth]] = {
        "input": ((channels.input, size, size), channels.input_dtype),
        "target": ((channels.output, size, size), channels.output_dtype),
    }
    if dataset.table is not None:
        layout["labels"] = (1, size, size), np.dtype(np.uint8)
    return layout


def _build(
    folder: Path, layout: dict[str, tuple[tuple[int, ...], Depth]], decoded: Iterator[dict[str, Picture]]
) -> None:
    """Write one raw file per part into a folder that gets its name when all are whole."""
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(building / name, "wb")) for name in layout}
            for parts in decoded:
                for name, file in files.items():
                    file.write(np.ascontiguousarray(parts[name]).data)
            for file in files.values():  # else a loss of power could leave a cache of zeros, which nothing would notice
                file.flush()
                os.fsync(file.fileno())
        # Not `atomic.replaced_folder`: of two processes that build the same content the first one's stays, as others
        # may have mapped its files.
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _decode(
    dataset: Dataset, items: Sequence[Item], size: int, channels: Channels, advance: Advance
) -> Iterator[dict[str, Picture]]:
    """Yield every item's parts in order; bad files are named all at once, at the end."""

    def attempt(item: Item) -> dict[str, Picture] | UserError:
        try:
            return fit(dataset.load(item, size), channels, item)
        except UserError as error:
            return error

    failures: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), DECODE_CHUNK):
            # Chunks bound the memory of decoded pictures: `pool.map` alone would submit all items at once.
            chunk = items[start : start + DECODE_CHUNK]
            for done, result in enumerate(pool.map(attempt, chunk), start + 1):
                if isinstance(result, UserError):
                    failures.append(str(result))
                else:
                    yield result
                advance(done, len(items))
    if failures:
        raise UserError(failures[0] if len(failures) == 1 else summary("items cannot be used", failures))


def _key(dataset: Dataset, items: Sequence[Item], size: int, channels: Channels) -> str:
    """Name of the decoded content: it changes with any file's content, and with the way it is read."""
    # Contents with their ids, in order: the rows of the arrays are those of the items.
    contents = list(item_contents(dataset, items).items())
    content = [FORMAT, dataset.name, dataset.direction, dataset.note, size, [str(part) for part in channels], contents]
    return f"{dataset.name}-{size}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]}"
