"""Training batches: order of items, crops and flips of each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, tee
from typing import NamedTuple

import torch
from torch import Tensor

from p2pbench.config import RunConfig
from p2pbench.datasets import augmentation
from p2pbench.datasets.cache import CachedSamples, Samples, widened
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.transforms import Range, full_range, to_network
from p2pbench.training.seeding import Purpose, stream

DEVICE_SHARE = 0.5  # of a GPU's free memory that a split's pictures may take
STEPS_AHEAD = 64  # whose crops are copied to the device at a time


class Batch(NamedTuple):
    """Input and target (B, C, S, S) of a step, in [-1, 1].

    Labels are class indices (B, 1, S, S), or None.
    """

    input: Tensor
    target: Tensor
    labels: Tensor | None


class Draw(NamedTuple):
    """Items of one step by index, with crop and flip."""

    items: list[int]
    augmentations: list[augmentation.Augmentation]


class Batches:
    """Batches of a training by step, which alone decides a batch's content."""

    def __init__(self, dataset: Dataset, samples: Samples, config: RunConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self._dataset = dataset
        self._samples = _to_device(samples, device)
        self._input_range: Range = config.input_range or full_range(samples.channels.input_dtype)
        self._output_range: Range = config.output_range or full_range(samples.channels.output_dtype)
        self._count = len(samples)
        self.per_epoch = math.ceil(self._count / config.batch_size)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps start .. stop - 1."""
        draws = self.draws(start, stop)
        if isinstance(self._samples, CachedSamples):
            # Cached samples are rows of arrays, so an item is a view and costs no decoding.
            parts = self._samples.parts
            for items, augmentations in draws:
                yield self._batch({name: [part[item] for item in items] for name, part in parts.items()}, augmentations)
        else:
            # The decoder runs some batches ahead of the crops, which need the same draws: tee keeps those in between.
            ahead, draws = tee(draws)
            for raw, (_, augmentations) in zip(self._samples.batches(items for items, _ in ahead), draws, strict=True):
                yield self._batch(
                    {name: part for name, part in raw._asdict().items() if part is not None}, augmentations
                )

    def draws(self, start: int, stop: int) -> Iterator[Draw]:
        """Draw items and augmentations of steps start .. stop - 1.

        Independent of earlier draws.
        """
        # A stream per step, not one for the run: a resumed run starts in the middle and draws the same.
        for step, items in enumerate(self._order(range(start, stop)), start):
            augmentations = augmentation.draw(
                stream(self.config.seed, Purpose.AUGMENTATION, step),
                len(items),
                load_side=self.config.load_side,
                image_size=self.config.image_size,
                mirror=self.config.mirror,
                crop_from_one=self.config.crop_from_one,
            )
            yield Draw(items, augmentations)

    def _batch(self, rows: Mapping[str, Iterable[Tensor]], augmentations: Sequence[augmentation.Augmentation]) -> Batch:
        cut = {
            name: self._sent(augmentation.apply(map(widened, pictures), augmentations, self.config.image_size))
            for name, pictures in rows.items()
        }
        return self.finished(cut["input"], cut["target"], cut.get("labels"))

    def _sent(self, values: Tensor) -> Tensor:
        """Copy values to the device; from pinned memory the copy overlaps with computing."""
        if self.device.type == "cuda" and not values.is_cuda:
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def finished(self, input_: Tensor, target: Tensor, labels: Tensor | None) -> Batch:
        """Scale cropped picture values to [-1, 1]."""
        return Batch(
            self._dataset.finish_input(to_network(input_, self._input_range)),
            to_network(target, self._output_range),
            labels,
        )

    @property
    def resident(self) -> dict[str, Tensor] | None:
        """All inputs and targets, if a GPU holds them."""
        if self.device.type == "cuda" and isinstance(self._samples, CachedSamples):
            parts = {name: part for name, part in self._samples.parts.items() if name in ("input", "target")}
            return parts if all(part.is_cuda for part in parts.values()) else None
        return None

    def size_of(self, step: int) -> int:
        """Number of items of a step."""
        first = step % self.per_epoch * self.config.batch_size
        return min(self.config.batch_size, self._count - first)

    def _order(self, steps: range) -> Iterator[list[int]]:
        """Yield the items of each step: every epoch has its own order, and its last batch may be smaller."""
        epoch = -1
        for step in steps:
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order = stream(self.config.seed, Purpose.ORDER, epoch).permutation(self._count)
            first = step % self.per_epoch * self.config.batch_size
            yield order[first : first + self.config.batch_size].tolist()


def _to_device(samples: Samples, device: torch.device) -> Samples:
    """Move samples to the GPU if they fit; others stay where they are."""
    if device.type != "cuda" or not isinstance(samples, CachedSamples):
        return samples
    # In the type that they get on the GPU, which may be wider than in the cache.
    needed = sum(part.numel() * widened(part[:0]).element_size() for part in samples.parts.values())
    free, _ = torch.cuda.mem_get_info(device)
    return samples.to(device) if needed < DEVICE_SHARE * free else samples


class CropQueue:
    """Crops of coming steps, drawn and copied to the device ahead.

    Rows for `p2pbench.datasets.augmentation.gather`, some dozen steps ahead.

    A small copy at each step would make the host wait for the device; drawing while the device is idle would make the
    device wait for the host. So `draw_ahead` draws one more step while the device computes, and all are copied at once.
    """

    def __init__(self, draws: Iterable[Draw], device: torch.device) -> None:
        self._draws: Iterator[Draw] = iter(draws)
        self.device = device
        self._drawn: list[list[list[int]]] = []
        self._waiting: Iterator[Tensor] = iter(())

    def draw_ahead(self) -> None:
        """Draw one more step, unless the queue is full."""
        if len(self._drawn) < STEPS_AHEAD:
            self._drawn += self._rows(1)

    def next(self) -> Tensor:
        """Take the rows (B, 4) of the next step, on the device."""
        rows = next(self._waiting, None)
        if rows is None:
            self._drawn += self._rows(STEPS_AHEAD - len(self._drawn))
            # One tensor for all steps of the queue: one copy to the device, then views.
            values = torch.tensor([row for step in self._drawn for row in step])
            if self.device.type == "cuda":
                values = values.pin_memory()
            sizes = [len(step) for step in self._drawn]
            self._waiting = iter(values.to(self.device, non_blocking=True).split(sizes))
            self._drawn = []
            rows = next(self._waiting)
        return rows

    def _rows(self, count: int) -> list[list[list[int]]]:
        return [augmentation.as_rows(*draw) for draw in islice(self._draws, count)]
