"""The batches of a training: which items, cropped and flipped how, at any step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from p2pbench.config import RunConfig
from p2pbench.datasets import augment
from p2pbench.datasets.cache import CachedSamples, Samples, widened
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.scale import Range, full_range, to_network
from p2pbench.training.randomness import Purpose, stream

DEVICE_SHARE = 0.5  # of a GPU's free memory that a split's pictures may take


class Batch(NamedTuple):
    """What a step sees: input and target (B, C, S, S) in [-1, 1]; labels (B, 1, S, S), class indices, or None."""

    input: Tensor
    target: Tensor
    labels: Tensor | None


class Batches:
    """All batches of a training, by step; the step alone decides what is in one."""

    def __init__(self, dataset: Dataset, samples: Samples, config: RunConfig, device: torch.device) -> None:
        self._dataset, self._config, self._device = dataset, config, device
        self._samples = _to_device(samples, device)
        self._input_range: Range = config.input_range or full_range(samples.channels.input_dtype)
        self._output_range: Range = config.output_range or full_range(samples.channels.output_dtype)
        self.per_epoch = math.ceil(len(samples) / config.batch_size)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start .. stop - 1."""
        steps = range(start, stop)
        for step, raw in zip(steps, self._samples.batches(self._order(steps)), strict=True):
            augmentations = augment.draw(
                stream(self._config.seed, Purpose.AUGMENTATION, step),
                len(raw.input),
                load_side=self._config.load_side,
                image_size=self._config.image_size,
                mirror=self._config.mirror,
                crop_from_one=self._config.crop_from_one,
            )

            def cut(pictures: Tensor, augmentations: list[augment.Augmentation] = augmentations) -> Tensor:
                return augment.apply(widened(pictures).to(self._device), augmentations, self._config.image_size)

            yield Batch(
                self._dataset.finish_input(to_network(cut(raw.input), self._input_range)),
                to_network(cut(raw.target), self._output_range),
                None if raw.labels is None else cut(raw.labels),
            )

    def _order(self, steps: range) -> Iterator[list[int]]:
        """Which items each step takes: every epoch has an order of its own, and its last batch may be smaller."""
        epoch = -1
        for step in steps:
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order = stream(self._config.seed, Purpose.ORDER, epoch).permutation(len(self._samples))
            first = step % self.per_epoch * self._config.batch_size
            yield order[first : first + self._config.batch_size].tolist()


def _to_device(samples: Samples, device: torch.device) -> Samples:
    """Samples whose arrays lie on the GPU where they fit; elsewhere they stay as they are."""
    if device.type != "cuda" or not isinstance(samples, CachedSamples):
        return samples
    needed = sum(part.nbytes for part in samples.parts.values())
    free, _ = torch.cuda.mem_get_info(device)
    return samples.to(device) if needed < DEVICE_SHARE * free else samples
