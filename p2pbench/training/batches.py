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


class Batch(NamedTuple):
    """What a step sees: input and target (B, C, S, S) in [-1, 1]; labels (B, 1, S, S), class indices, or None."""

    input: Tensor
    target: Tensor
    labels: Tensor | None


class Draw(NamedTuple):
    """What one step takes: items by their index, each with its crop and flip."""

    items: list[int]
    augmentations: list[augmentation.Augmentation]


class Batches:
    """All batches of a training, by step; the step alone decides what is in one."""

    def __init__(self, dataset: Dataset, samples: Samples, config: RunConfig, device: torch.device) -> None:
        self._dataset, self._config, self._device = dataset, config, device
        self._samples = _to_device(samples, device)
        self._input_range: Range = config.input_range or full_range(samples.channels.input_dtype)
        self._output_range: Range = config.output_range or full_range(samples.channels.output_dtype)
        self._count = len(samples)
        self.per_epoch = math.ceil(self._count / config.batch_size)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start .. stop - 1."""
        draws = self.draws(start, stop)
        if isinstance(self._samples, CachedSamples):
            parts = self._samples.parts
            for items, augmentations in draws:
                yield self._batch({name: [part[item] for item in items] for name, part in parts.items()}, augmentations)
        else:
            ahead, draws = tee(draws)
            for raw, (_, augmentations) in zip(self._samples.batches(items for items, _ in ahead), draws, strict=True):
                yield self._batch(
                    {name: part for name, part in raw._asdict().items() if part is not None}, augmentations
                )

    def draws(self, start: int, stop: int) -> Iterator[Draw]:
        """What steps start .. stop - 1 take; the step alone decides it, whatever was drawn before."""
        for step, items in enumerate(self._order(range(start, stop)), start):
            augmentations = augmentation.draw(
                stream(self._config.seed, Purpose.AUGMENTATION, step),
                len(items),
                load_side=self._config.load_side,
                image_size=self._config.image_size,
                mirror=self._config.mirror,
                crop_from_one=self._config.crop_from_one,
            )
            yield Draw(items, augmentations)

    def _batch(self, rows: Mapping[str, Iterable[Tensor]], augmentations: Sequence[augmentation.Augmentation]) -> Batch:
        cut = {
            name: self._sent(augmentation.apply(map(widened, pictures), augmentations, self._config.image_size))
            for name, pictures in rows.items()
        }
        return self.finished(cut["input"], cut["target"], cut.get("labels"))

    def _sent(self, values: Tensor) -> Tensor:
        """Values on the device; a GPU copies them from pinned memory, and is not waited for."""
        if self._device.type == "cuda" and not values.is_cuda:
            values = values.pin_memory()
        return values.to(self._device, non_blocking=True)

    def finished(self, input_: Tensor, target: Tensor, labels: Tensor | None) -> Batch:
        """Cropped picture values as networks see them."""
        return Batch(
            self._dataset.finish_input(to_network(input_, self._input_range)),
            to_network(target, self._output_range),
            labels,
        )

    @property
    def resident(self) -> dict[str, Tensor] | None:
        """All inputs and targets on the device, where a GPU holds them."""
        if self._device.type == "cuda" and isinstance(self._samples, CachedSamples):
            parts = {name: part for name, part in self._samples.parts.items() if name in ("input", "target")}
            return parts if all(part.is_cuda for part in parts.values()) else None
        return None

    def size_of(self, step: int) -> int:
        """How many items a step takes."""
        first = step % self.per_epoch * self._config.batch_size
        return min(self._config.batch_size, self._count - first)

    def _order(self, steps: range) -> Iterator[list[int]]:
        """Which items each step takes: every epoch has an order of its own, and its last batch may be smaller."""
        epoch = -1
        for step in steps:
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order = stream(self._config.seed, Purpose.ORDER, epoch).permutation(self._count)
            first = step % self.per_epoch * self._config.batch_size
            yield order[first : first + self._config.batch_size].tolist()


def _to_device(samples: Samples, device: torch.device) -> Samples:
    """Samples whose arrays lie on the GPU where they fit; elsewhere they stay as they are."""
    if device.type != "cuda" or not isinstance(samples, CachedSamples):
        return samples
    needed = sum(part.numel() * widened(part[:0]).element_size() for part in samples.parts.values())
    free, _ = torch.cuda.mem_get_info(device)
    return samples.to(device) if needed < DEVICE_SHARE * free else samples


AHEAD = 64  # steps that go to the device at a time


class Plan:
    """Rows for `p2pbench.datasets.augmentation.gather`, step by step, a few dozen steps ahead of need.

    A small copy to a device makes the host wait if it is made at each step; drawing makes the device wait if it is made
    when the device is idle. So one more step is drawn whenever `draw_ahead` is called, and all go over together.
    """

    def __init__(self, draws: Iterable[Draw], device: torch.device) -> None:
        self._draws: Iterator[Draw] = iter(draws)
        self._device = device
        self._drawn: list[list[list[int]]] = []
        self._waiting: Iterator[Tensor] = iter(())

    def draw_ahead(self) -> None:
        """Draw one more step, unless enough are drawn."""
        if len(self._drawn) < AHEAD:
            self._drawn += self._rows(1)

    def next(self) -> Tensor:
        """The rows (B, 4) of the next step, on the device."""
        rows = next(self._waiting, None)
        if rows is None:
            self._drawn += self._rows(AHEAD - len(self._drawn))
            values = torch.tensor([row for step in self._drawn for row in step])
            if self._device.type == "cuda":
                values = values.pin_memory()
            sizes = [len(step) for step in self._drawn]
            self._waiting = iter(values.to(self._device, non_blocking=True).split(sizes))
            self._drawn = []
            rows = next(self._waiting)
        return rows

    def _rows(self, count: int) -> list[list[list[int]]]:
        return [augmentation.as_rows(*draw) for draw in islice(self._draws, count)]
