"""From inputs to pictures, with a trained generator.

Items are translated one at a time, so that batch statistics are an image's own, and each item's dropout noise comes
from the seed and its id alone: the picture of an item does not depend on which others are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import from_network, to_network
from p2pbench.errors import UserError
from p2pbench.networks.norm import for_testing
from p2pbench.networks.unet import Generator
from p2pbench.training.card import GeneratorCard
from p2pbench.training.randomness import Purpose, item_number, torch_seed


class Translator:
    """A generator set for testing as its card says: without gradients, and each item with noise of its own.

    Used as `with Translator(...).open() as translate: picture = translate(values, item_id)`.
    """

    def __init__(self, generator: Generator, card: GeneratorCard, dataset: Dataset) -> None:
        self._generator, self._card, self._dataset = generator, card, dataset
        self._device = next(generator.parameters()).device

    @contextmanager
    def open(self) -> Iterator[Translator]:
        """Set the generator for testing; at the end it and torch's random state are as they were."""
        devices = [self._device] if self._device.type == "cuda" else []
        mode = for_testing(self._generator, dropout=self._card.test_dropout, batch_norm=self._card.test_batch_norm)
        with torch.inference_mode(), torch.random.fork_rng(devices), mode:
            yield self

    def __call__(self, values: Picture, item_id: str) -> Picture:
        """The picture (H, W, C) made of an input picture (H, W, C), whose sides may be any.

        Raises:
            UserError: a value of it is no finite number.
        """
        height, width = values.shape[:2]
        x = to_network(torch.tensor(values).permute(2, 0, 1)[None], self._card.input_range)
        # Finished before it is padded: a hole, say, is placed by the sides of the picture itself.
        x = pad_to_stride(self._dataset.finish_input(x), self._generator.depth)
        torch.manual_seed(torch_seed(self._card.seed, Purpose.TEST, item_number(item_id)))
        output = self._generator(x.to(self._device))[0]
        if not torch.isfinite(output).all():
            raise UserError(
                f"the output for {item_id} holds NaN or infinite values: the generator is of a training that failed; "
                "train anew, or give another"
            )
        bits = f"uint{self._card.output_bits}"
        picture = from_network(output[:, :height, :width], self._card.output_range, bits)
        return self._dataset.to_picture(values, picture)


def pad_to_stride(batch: Tensor, depth: int) -> Tensor:
    """Inputs (B, C, H, W) mirrored beyond their right and lower edge, up to multiples of 2**depth."""
    stride = 2**depth
    height, width = batch.shape[-2:]
    padding = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return torch.from_numpy(np.pad(batch.numpy(), padding, mode="symmetric"))


def as_picture(values: Tensor) -> Picture:
    """Picture values (C, H, W) as a picture (H, W, C)."""
    picture: Picture = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return picture
