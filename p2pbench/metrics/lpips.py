"""LPIPS: perceptual distance in AlexNet features.

Features are weighted to fit human judgements; lower is better.

Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
The network and the learned linear weights are those of torchmetrics, the backbone's weights those of torchvision.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import lpips
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, full_range
from p2pbench.metrics.inception import batches, rgb
from p2pbench.metrics.published import ALEXNET, Missing, check_weights, not_weights

SMALLEST = 31  # pixels; of fewer, AlexNet's second pooling leaves nothing
_PIXELS = 2**20  # per batch, output and target each


class Lpips:
    """LPIPS network, loaded once for many runs.

    Its weights must be there, or torchvision would download them.

    Raises:
        UserError: the file of weights is damaged.
    """

    def __init__(self, device: torch.device) -> None:
        linear = Path(lpips.__file__).parent / "lpips_models" / "alex.pth"
        self._hashes = {
            "weights": ALEXNET.file.name,
            "weights_sha256": check_weights(ALEXNET.file, ALEXNET.network),
            "linear_weights": f"{linear.name} of torchmetrics",
            "linear_weights_sha256": check_weights(linear, "LPIPS"),
        }
        self._device = device
        try:
            # normalize: pictures come in 0..1, and torchmetrics scales them to -1..1.
            metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="none", normalize=True)
        except RuntimeError as error:  # of load_state_dict: tensors, and not AlexNet's
            raise not_weights(ALEXNET.file, ALEXNET.network, error) from error
        self._metric = metric.to(device)

    def distances(self, pairs: Iterable[tuple[Picture, Picture]], ends: Range | None = None) -> NDArray[np.float64]:
        """Distances (n,), at least 0, of pairs of pictures.

        Each is (H, W, 1 or 3), both of one form.

        `ends` are the values that become 0 and 1; None takes the whole range of the depth.

        Raises:
            Missing: a picture is smaller than the network's receptive field, or neither RGB nor grey.
        """
        self._metric.reset()
        inputs = (tuple(_checked(picture) for picture in pair) for pair in pairs)
        # TF32 rounds differently, and only some cards have it.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for batch in batches(inputs, _PIXELS):
                self._metric.update(*(self._tensor(side, ends) for side in batch))
            values: NDArray[np.float64] = (
                self._metric.compute().reshape(-1).double().cpu().numpy()
            )  # one item: a scalar
        return values

    def protocol(self) -> dict[str, object]:
        """Protocol entries of all choices that change a distance."""
        return {
            "network": "AlexNet with learned linear weights, LPIPS version 0.1",
            "implementation": f"torchmetrics {version('torchmetrics')}, torchvision {version('torchvision')}",
            **self._hashes,
            "input": "RGB scaled to -1..1 at its own size; grey repeated, 16 bits not rounded",
            "precision": "float32",
            "mean": "over positions of a layer, summed over 5 layers; over items",
        }

    def _tensor(self, batch: NDArray[np.uint8 | np.uint16], ends: Range | None) -> torch.Tensor:
        low, high = map(np.float32, ends or full_range(batch.dtype))
        values = (batch.astype(np.float32).clip(low, high) - low) / (high - low)
        return torch.from_numpy(values).permute(0, 3, 1, 2).to(self._device)


def _checked(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise Missing(f"LPIPS sees pictures from {SMALLEST}x{SMALLEST} pixels on, and these have {width}x{height}")
    return rgb(picture, "LPIPS")
