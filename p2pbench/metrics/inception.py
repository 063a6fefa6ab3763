"""Inception-v3 features of pictures, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from p2pbench.datasets import transforms
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, declared
from p2pbench.metrics.published import INCEPTION, Missing, check_weights, not_weights
from reports.store.names import counted
from reports.store.picture import to_eight_bits

FEATURES = 2048
_PIXELS = 2**21  # per batch, before they are resized to 299x299
_AT_ONCE = 32  # pictures


class Inception:
    """Inception v3, loaded once for many runs.

    Args:
        file: its weights.
        device: where it computes.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, file: Path, device: torch.device) -> None:
        self._hash = check_weights(file, INCEPTION.network)
        self._device = device
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", [str(FEATURES)], feature_extractor_weights_path=str(file)
            )
        except RuntimeError as error:  # of load_state_dict: tensors, and not Inception's
            raise not_weights(file, INCEPTION.network, error) from error
        self._network = network.to(device)

    def features(
        self, some: Iterable[Picture], advance: Callable[[int], None], ends: Range | None = None
    ) -> NDArray[np.float32]:
        """Compute features (n, 2048) of pictures (H, W, 1 or 3).

        `advance` gets the number done.

        `ends` are the values that become 0 and 255; None leaves 8 bits, and of 16 the high byte.

        Raises:
            Missing: a picture is neither RGB nor grey.
        """
        rows: list[NDArray[np.float32]] = []
        done = 0
        pictures = ((to_eight_bits(rgb(picture, "Inception"), ends),) for picture in some)
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for (batch,) in batches(pictures, _PIXELS):
                for start in range(0, len(batch), _AT_ONCE):
                    # Small parts: at 299x299 the network's maps take far more memory than the pictures.
                    part = torch.from_numpy(batch[start : start + _AT_ONCE]).permute(0, 3, 1, 2)
                    (found,) = self._network(part.to(self._device))
                    rows.append(found.cpu().numpy())
                    done += len(part)
                    advance(done)
        return np.concatenate(rows)

    def protocol(self, ends: Range | None = None) -> dict[str, object]:
        """Protocol entries of all choices that change a feature."""
        reduced = "of 16 bits the high byte" if ends is None else "values scaled to 0..255 and rounded"
        return {
            "network": "Inception v3 of 2015-12-05, the 2048 features of its last pooling",
            "implementation": f"torch-fidelity {version('torch-fidelity')}",
            "weights_sha256": self._hash,
            "input": f"RGB of 8 bits; grey repeated, {reduced}; resized to 299x299 by TensorFlow 1's "
            "bilinear filter, in the network",
            "precision": "float32",
            **declared(ends),
        }


_Batch = tuple[NDArray[np.uint8 | np.uint16], ...]


def batches(items: Iterable[tuple[Picture, ...]], pixels: int) -> Iterator[_Batch]:
    """Stack pictures (H, W, C) into batches (N, H, W, C), in order.

    An item has one or more pictures of one form.

    Neighbours of the same size, channels and depth share a batch, of at most `pixels` pixels unless one has more.
    """
    gathered: list[tuple[Picture, ...]] = []
    for item in items:
        picture = item[0]
        if gathered:
            first = gathered[0][0]
            alike = (picture.shape, picture.dtype) == (first.shape, first.dtype)
            if not alike or (len(gathered) + 1) * picture.shape[0] * picture.shape[1] > pixels:
                yield _stack(gathered)
                gathered = []
        gathered.append(item)
    if gathered:
        yield _stack(gathered)


def rgb(picture: Picture, scorer: str) -> Picture:
    """Convert a picture (H, W, 1 or 3) to RGB, repeating grey.

    The depth stays.

    Raises:
        Missing: it has other channels, whose colours are unknown.
    """
    if picture.shape[2] not in (1, 3):
        raise Missing(f"{scorer} sees RGB or grey, and these pictures have {counted(picture.shape[2], 'channel')}")
    return transforms.convert(picture, 3)


def _stack(items: list[tuple[Picture, ...]]) -> _Batch:
    return tuple(np.stack(side) for side in zip(*items, strict=True))
