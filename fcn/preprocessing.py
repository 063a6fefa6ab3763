"""Preprocessing of photos as in the published script (docs/paper-protocol.md#script)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MEAN_BGR = (72.78044, 83.21195, 73.45286)


def resized(photo: NDArray[np.uint8], photo_size: int | None, width: int, height: int) -> NDArray[np.uint8]:
    """Resize a photo to `photo_size` pixels square, then to its labels' size.

    Shapes are (H, W, 3) and (height, width, 3).

    Each is one bilinear resize by Pillow on 8 bits, as in SciPy's former `imresize`; skipped where the size is right.
    None as `photo_size` skips the first.
    """
    # Resized twice, through 8 bits in between, since the published script does so; one step would give other scores.
    image = Image.fromarray(photo)
    steps = [(photo_size, photo_size)] if photo_size is not None else []
    for size in [*steps, (width, height)]:
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def to_tensor(photo: NDArray[np.uint8]) -> Tensor:
    """Convert an RGB photo (H, W, 3) to the network's input (1, 3, H, W).

    Values are 0..255 before, and float32, BGR, minus the mean after.
    """
    image = photo[..., ::-1].astype(np.float32)
    image -= np.array(MEAN_BGR, np.float32)
    return torch.from_numpy(image).permute(2, 0, 1)[None]  # channels last in memory, which is faster on CPUs


def to_input(photos: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """Convert photos (B, H, W, 3) of 8 bits on their device, bit-equal to `to_tensor`.

    Returns:
        (B, 3, H, W), in this memory layout.
    """
    batch, height, width, channels = photos.shape
    images = torch.empty(
        (batch, channels, height, width), dtype=torch.float32, device=photos.device, memory_format=layout
    )
    for channel, mean in enumerate(MEAN_BGR):
        # Channel by channel, in place of a flipped copy of the batch.
        torch.sub(photos[..., channels - 1 - channel], mean, out=images[:, channel])
    return images
