"""Training batches: decoded examples, their order and mirroring, class weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcn.confusion import check_labels
from fcn.errors import FcnError
from fcn.labels import IGNORE
from fcn.preprocessing import resized, to_tensor
from fcn.scoring import Example

CLASS_WEIGHT = 0.75  # a class of the share s of all pixels weighs s ** -CLASS_WEIGHT
LABELS_COUNTED = 200  # of the training items, for those shares
BATCHES_AHEAD = 2
MEMORY = 4 * 2**30  # bytes of decoded examples that are kept instead of read again


class _Picture(NamedTuple):
    photo: NDArray[np.uint8]  # at the size of the size rule, (H, W, 3)
    labels: NDArray[np.uint8]  # (H, W)


class Decoded:
    """Examples by index, decoded once while memory lasts."""

    def __init__(self, examples: Sequence[Example], photo_size: int | None, classes: int) -> None:
        self._examples, self._photo_size, self.classes = examples, photo_size, classes
        self._decoded: dict[int, _Picture] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> _Picture:
        if index in self._decoded:
            return self._decoded[index]
        example = self._examples[index]
        photo, labels, _ = example.load()
        try:
            check_labels(labels, self.classes)
        except FcnError as error:
            raise FcnError(f"item {example.id}: {error}") from error
        if self._photo_size is not None:
            photo = resized(photo, None, self._photo_size, self._photo_size)
        decoded = _Picture(photo, labels)
        size = photo.nbytes + decoded.labels.nbytes
        # Without eviction: every epoch reads all items once, so the first ones are as good to keep as any.
        if self._bytes + size <= MEMORY:
            self._decoded[index] = decoded
            self._bytes += size
        return decoded

    def tensors(self, index: int, *, mirrored: bool) -> tuple[Tensor, Tensor]:
        """Convert an example to input (1, 3, H, W) and labels (1, H, W).

        Raises:
            FcnError: The labels hold a class beyond the classes.
        """
        photo, labels = self[index]
        height, width = labels.shape
        photo = resized(photo, None, width, height)
        if mirrored:
            photo, labels = photo[:, ::-1], labels[:, ::-1]
        return to_tensor(photo), torch.from_numpy(labels.astype(np.int64))[None]


def class_weights(examples: Decoded, channels: int) -> Tensor:
    """Class weights (channels,) of the loss, by share of labelled pixels.

    Their mean per pixel is 1.

    Pixels are counted in some items, evenly spread. A class that does not occur there may occur elsewhere, and gets the
    highest weight. A channel beyond the classes has none.

    Raises:
        FcnError: Labels hold a class beyond the classes.
    """
    pixels = np.zeros(channels)
    for index in range(0, len(examples), -(-len(examples) // LABELS_COUNTED)):
        labels = examples[index].labels
        pixels += np.bincount(labels[labels != IGNORE], minlength=channels)
    shares = torch.tensor(pixels / max(pixels.sum(), 1), dtype=torch.float32)
    weights = torch.where(shares > 0, shares.clamp(min=1e-8) ** -CLASS_WEIGHT, 0)
    weights[: examples.classes][shares[: examples.classes] == 0] = weights.max()
    # With a mean of 1 the learning rate means the same for every dataset.
    return weights / (weights * shares).sum()


def batches(examples: Decoded, size: int, seed: int, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Read the batches of steps `first` to `last - 1` ahead.

    A batch depends on its step alone.

    Yields images (size, 3, H, W) in channels-last memory, and labels (size, H, W).

    Raises:
        FcnError: Labels of several sizes in one batch, or with a class beyond the classes.
    """

    def read(step: int) -> tuple[Tensor, Tensor]:
        # Streams of their own: 0 is the order's, 1 the mirroring's.
        flips = np.random.default_rng([seed, 1, step]).random(size) < 0.5
        drawn = [
            examples.tensors(index, mirrored=bool(flip))
            for index, flip in zip(_order(len(examples), size, seed, step), flips, strict=True)
        ]
        sizes = sorted({tuple(labels.shape[1:]) for _, labels in drawn})
        if len(sizes) > 1:
            found = " and ".join(f"{width}x{height}" for height, width in sizes[:3])
            raise FcnError(f"labels of {found} in one batch; expected one size, or a batch size of 1")
        images, labels = zip(*drawn, strict=True)
        return torch.cat(images).contiguous(memory_format=torch.channels_last), torch.cat(labels)

    steps = iter(range(first, last))
    with ThreadPoolExecutor(BATCHES_AHEAD) as pool:
        waiting = deque(pool.submit(read, step) for step in islice(steps, BATCHES_AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(read, step) for step in islice(steps, 1))


def _order(items: int, size: int, seed: int, step: int) -> list[int]:
    """Draw the items of a step: each epoch has its own order of all of them."""
    positions = range(step * size, (step + 1) * size)
    orders = {
        epoch: np.random.default_rng([seed, 0, epoch]).permutation(items)
        for epoch in {position // items for position in positions}
    }
    return [int(orders[position // items][position % items]) for position in positions]
