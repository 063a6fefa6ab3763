"""Confusion matrices of many images: read ahead, segmented, saved as they come.

On a CPU one by one, since the network uses all cores, and a large image much memory. On a GPU in batches of images of
one size: while one is computed, the one before is saved, and those behind are read on all cores.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcn import confusion
from fcn.confusion import ImageMatrix, check_labels
from fcn.errors import FcnError
from fcn.network import FCN
from fcn.preprocessing import resized
from fcn.segmenting import Launched, Segmenter
from fcn.weights import Card

IMAGES_AHEAD = 2  # decoded and resized while the network is at work on a CPU
MOST_THREADS = 16  # that read, or take predictions, while it is at work on a GPU
MEMORY_AHEAD = 4 * 2**30  # bytes that reading ahead may take, from three images on
READ_BYTES = 20  # a pixel, while labels are looked up and a photo is resized
SECONDS_BETWEEN_SAVES = 20.0

Item = TypeVar("Item")
Advance = Callable[[int, int], None]
"""Called with the number of images done and the number of all; what it raises stops the work, and all is kept."""

Predicted = Callable[[str, NDArray[np.uint8]], None]
"""Called with an id and its prediction: the channel of the highest score for each pixel of the labels, (H, W).

In threads, for several images at a time where they are segmented in batches.
"""


class Loaded(NamedTuple):
    """An image and its labels.

    Attributes:
        photo: (H, W, 3), RGB in 0..255.
        labels: True class indices (h, w), or IGNORE.
        changed: Conversion of the image to RGB of 8 bits, for the protocol; "" for none.
    """

    photo: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    changed: str = ""


@dataclass(frozen=True)
class Example:
    """An image and its labels, read when they are needed.

    Attributes:
        id: The item's id.
        key: A hash of both, found without decoding them: as long as it is the same, so is the matrix.
        load: Reads both.
    """

    id: str
    key: Callable[[], str]
    load: Callable[[], Loaded]


class ScoringNetwork(NamedTuple):
    """A network ready to score.

    Attributes:
        network: On the device it computes on.
        card: What it was trained for.
        digest: The SHA-256 of its file: all that a matrix depends on beside the image and its labels.
        at_once: Number of images of one size to segment at once; None leaves it to the device.
    """

    network: FCN
    card: Card
    digest: str
    at_once: int | None = None


def score(
    scorer: ScoringNetwork,
    examples: Sequence[Example],
    path: Path,
    advance: Advance,
    *,
    predicted: Predicted = lambda _id, _prediction: None,
    again: Collection[str] = (),
) -> dict[str, ImageMatrix]:
    """Compute the confusion matrices of examples by id, reusing valid ones.

    Args:
        scorer: The network that segments.
        examples: The images, each id once.
        path: File of the matrices. It is written from time to time and at the end, also where an exception ends it.
        advance: Receives the progress.
        predicted: Given each new prediction before its matrix is saved, so that an image whose matrix is there has been
            through it; an exception of it stops the work, as one of `advance` does.
        again: Ids of images to segment although their matrices hold, such as those whose prediction was lost.

    Raises:
        FcnError: A photo is too small or does not fit into the device's memory, or labels hold a class that the scorer
            does not have; the item is named.
    """
    kept = confusion.load(path, scorer.digest)
    keys = _keys(examples)
    # By content, not by time: a picture that was written again with the same bytes keeps its matrix.
    holding = {id_ for id_, key in keys.items() if id_ in kept and kept[id_].key == key} - set(again)
    missing = [example for example in examples if example.id not in holding]
    try:
        saved = time.monotonic()
        with closing(_segmented(scorer, missing, keys, predicted)) as segmented:
            for done, (id_, image) in enumerate(segmented, len(holding) + 1):
                kept[id_] = image
                advance(done, len(keys))
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    confusion.save(path, scorer.digest, kept)
                    saved = time.monotonic()
    finally:
        # Saved on an exception too: segmented images need not be segmented again.
        if missing:
            confusion.save(path, scorer.digest, kept)
    return {id_: kept[id_] for id_ in keys}


def _keys(examples: Sequence[Example]) -> dict[str, str]:
    """Compute the key of each example by its id; several threads hash the files."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda example: example.key(), examples)
        return {example.id: key for example, key in zip(examples, found, strict=True)}


class _Read(NamedTuple):
    """A photo (H, W, 3) at the size of its labels (H, W), its original size and its conversion."""

    id: str
    photo: Tensor
    labels: Tensor
    size: str
    changed: str


def _segmented(
    scorer: ScoringNetwork, examples: Sequence[Example], keys: Mapping[str, str], predicted: Predicted
) -> Generator[tuple[str, ImageMatrix]]:
    """Yield the id and the matrix of each example, in order, once its prediction was handed on."""
    segmenter = Segmenter(scorer.network, len(scorer.card.classes), scorer.at_once)
    on_gpu = segmenter.device.type == "cuda"
    threads = min(os.cpu_count() or 1, MOST_THREADS) if on_gpu else IMAGES_AHEAD
    with (
        ThreadPoolExecutor(threads) as pool,
        # Closed here, since an error's traceback keeps the generator: nothing is read any more once `score` has raised.
        closing(_batches(segmenter, scorer.card, examples, threads)) as reading,
        closing(_launched(segmenter, reading)) as launched,
        closing(_one_ahead(launched) if on_gpu else launched) as batches,
    ):
        for reads, parts in batches:
            results = [result for part in parts for result in part.wait()]
            handed_on = [
                pool.submit(predicted, read.id, result.channels) for read, result in zip(reads, results, strict=True)
            ]
            for read, result, future in zip(reads, results, handed_on, strict=True):
                future.result()
                yield read.id, ImageMatrix(result.matrix, read.size, read.changed, keys[read.id])


def _launched(segmenter: Segmenter, batches: Iterable[list[_Read]]) -> Generator[tuple[list[_Read], list[Launched]]]:
    """Launch each batch, and yield it with its pending results."""
    for reads in batches:
        try:
            parts = segmenter.launch([read.photo for read in reads], [read.labels for read in reads])
        except FcnError as error:  # of the size that they all have
            raise FcnError(f"item {reads[0].id}: {error}") from error
        yield reads, parts


def _one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield the same items; while one is in use, a thread gets the next."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item


def _batches(segmenter: Segmenter, card: Card, examples: Sequence[Example], threads: int) -> Generator[list[_Read]]:
    """Yield neighbours of one size, as many as are segmented at once.

    A few more are read ahead.
    """
    waiting: deque[Future[_Read]] = deque()
    upcoming = iter(examples)
    pinned = segmenter.device.type == "cuda"  # copies from pinned memory do not block the processor
    with ThreadPoolExecutor(threads) as pool:

        def read_up_to(images: int) -> None:
            for example in islice(upcoming, max(0, images - len(waiting))):
                waiting.append(pool.submit(_read, example, card, pinned))

        try:
            while True:
                read_up_to(1 + IMAGES_AHEAD)
                if not waiting:
                    return
                height, width = waiting[0].result().labels.shape
                most = segmenter.most(height, width)
                read_up_to(most + max(IMAGES_AHEAD, min(threads, MEMORY_AHEAD // (READ_BYTES * height * width))))
                batch = [waiting.popleft().result()]
                while waiting and len(batch) < most and _is(waiting[0], height, width):
                    batch.append(waiting.popleft().result())
                yield batch
        finally:
            for future in waiting:
                future.cancel()


def _is(future: Future[_Read], height: int, width: int) -> bool:
    """Whether an image can be read and its labels have that size."""
    return future.exception() is None and future.result().labels.shape == (height, width)


def _read(example: Example, card: Card, pinned: bool) -> _Read:
    pixels, labels, changed = example.load()
    try:
        check_labels(labels, len(card.classes))
    except FcnError as error:
        raise FcnError(f"item {example.id}: {error}") from error
    height, width = labels.shape
    photo = resized(pixels, card.photo_size, width, height)
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    return _Read(example.id, _tensor(photo, pinned), _tensor(labels, pinned), size, changed)


def _tensor(picture: NDArray[np.uint8], pinned: bool) -> Tensor:
    tensor = torch.empty(picture.shape, dtype=torch.uint8, pin_memory=pinned)
    tensor.numpy()[...] = picture
    return tensor
