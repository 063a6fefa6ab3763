"""Confusion matrices of many images: read ahead, segmented one by one, kept as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcn import confusion
from fcn.confusion import Kept, Matrices
from fcn.errors import FcnError
from fcn.network import FCN
from fcn.preprocessing import resized, to_tensor
from fcn.weights import Card

IMAGES_AHEAD = 2  # decoded and resized while the network is at work
SECONDS_BETWEEN_SAVES = 20.0

Advance = Callable[[int, int], None]
"""Called with the number of images done and the number of all; what it raises stops the work, and all is kept."""

Predicted = Callable[[str, NDArray[np.uint8]], None]
"""Called with an id and its prediction: the channel of the highest score for each pixel of the labels, (H, W)."""


class Photo(NamedTuple):
    """An image as the network wants it.

    Attributes:
        pixels: (H, W, 3), RGB in 0..255.
        changed: What had to be done to it, for the protocol; "" for a picture that was RGB of 8 bits.
    """

    pixels: NDArray[np.uint8]
    changed: str = ""


class Loaded(NamedTuple):
    """A photo, and its true class indices (H, W), with IGNORE where there is none."""

    photo: Photo
    labels: NDArray[np.uint8]


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


class Scorer(NamedTuple):
    """A network ready to score.

    Attributes:
        network: On the device it computes on.
        card: What it was trained for.
        digest: The SHA-256 of its file: all that a matrix depends on beside the image and its labels.
    """

    network: FCN
    card: Card
    digest: str


def score(
    scorer: Scorer,
    examples: Sequence[Example],
    path: Path,
    advance: Advance,
    *,
    predicted: Predicted = lambda _id, _prediction: None,
    again: Collection[str] = (),
) -> Matrices:
    """The matrices of all examples; those that are in the file and still hold are taken from there.

    Args:
        scorer: What segments.
        examples: The images, each id once.
        path: Where matrices are kept. It is written every now and then and at the end, whatever ends it.
        advance: Told how far it is.
        predicted: Given each new prediction before its matrix is kept, so that an image whose matrix is there has been
            through it; what it raises stops the work as what `advance` raises does.
        again: The ids of images to segment although their matrices hold, such as those whose prediction got lost.

    Raises:
        FcnError: A photo is too small, or labels hold a class that the scorer does not have; the item is named.
    """
    kept = dict(confusion.load(path, scorer.digest).images)
    keys = {example.id: example.key() for example in examples}
    holding = {id_ for id_, key in keys.items() if id_ in kept and kept[id_].key == key} - set(again)
    missing = [example for example in examples if example.id not in holding]
    try:
        saved = time.monotonic()
        segmented = _segmented(scorer, missing, keys)
        for done, (id_, prediction, image) in enumerate(segmented, len(holding) + 1):
            predicted(id_, prediction)
            kept[id_] = image
            advance(done, len(keys))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                confusion.save(path, Matrices(scorer.digest, kept))
                saved = time.monotonic()
    finally:
        if missing:
            confusion.save(path, Matrices(scorer.digest, kept))
    return Matrices(scorer.digest, {id_: kept[id_] for id_ in keys})


class _Read(NamedTuple):
    """An image as the network wants it, what is to be known of it, and its labels."""

    image: Tensor
    size: str
    changed: str
    labels: NDArray[np.uint8]


def _segmented(
    scorer: Scorer, examples: Sequence[Example], keys: Mapping[str, str]
) -> Iterator[tuple[str, NDArray[np.uint8], Kept]]:
    """The id, the prediction and the matrix of each example, in their order; a few are read ahead."""
    waiting: deque[tuple[Example, Future[_Read]]] = deque()
    upcoming = iter(examples)
    with ThreadPoolExecutor(IMAGES_AHEAD) as pool:
        try:
            while True:
                for example in islice(upcoming, IMAGES_AHEAD + 1 - len(waiting)):
                    waiting.append((example, pool.submit(_read, example, scorer.card)))
                if not waiting:
                    return
                example, future = waiting.popleft()
                read = future.result()
                try:
                    prediction = segment(scorer.network, read.image)
                    classes, channels = len(scorer.card.classes), scorer.card.architecture.channels
                    counts = confusion.confusion(read.labels, prediction, classes, channels)
                except FcnError as error:
                    raise FcnError(f"item {example.id}: {error}") from error
                yield example.id, prediction, Kept(keys[example.id], counts, read.size, read.changed)
        finally:
            for _, future in waiting:
                future.cancel()


def _read(example: Example, card: Card) -> _Read:
    (pixels, changed), labels = example.load()
    height, width = labels.shape
    image = to_tensor(resized(pixels, card.photo_size, width, height))
    return _Read(image, f"{pixels.shape[1]}x{pixels.shape[0]}", changed, labels)


def segment(network: FCN, image: Tensor) -> NDArray[np.uint8]:
    """The channel of the highest score for each pixel of an image (1, 3, H, W), as (H, W).

    In float32, also on GPUs that would round its products to fewer bits.
    """
    device = network.score_fr.weight.device
    with torch.inference_mode(), _whole_products():
        scores = network(image.to(device))
        channels: NDArray[np.uint8] = scores.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return channels


@contextmanager
def _whole_products() -> Iterator[None]:
    """In this block, convolutions on GPUs do not round their factors to 10 bits (TF32), which is PyTorch's default."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
