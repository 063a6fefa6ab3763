"""What Inception v3 sees in pictures: the features that FID and KID compare, as torch-fidelity computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range, declared
from p2pbench.metrics.batches import batches, rgb
from p2pbench.metrics.published import INCEPTION
from p2pbench.metrics.weights_file import check_weights, not_weights
from reports.picture import to_eight_bits

FEATURES = 2048
_PIXELS = 2**21  # a batch's, before they are resized to 299x299
_AT_ONCE = 32  # pictures


class Inception:
    """The network, loaded once for many runs.

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
        self, some: Iterable[Picture], seen: Callable[[int], None], ends: Range | None = None
    ) -> NDArray[np.float32]:
        """Features (n, 2048) of pictures (H, W, 1 or 3); `seen` hears how many are done.

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
                    part = torch.from_numpy(batch[start : start + _AT_ONCE]).permute(0, 3, 1, 2)
                    (found,) = self._network(part.to(self._device))
                    rows.append(found.cpu().numpy())
                    done += len(part)
                    seen(done)
        return np.concatenate(rows)

    def protocol(self, ends: Range | None = None) -> dict[str, object]:
        """Every choice that changes a feature."""
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
