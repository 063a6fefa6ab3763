"""Segmentation of photos in batches, with their confusion matrices.

On a GPU a batch is launched and not waited for, so that the next can follow at once. Photos are copied as 8 bits, and
only predictions and matrices come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcn.confusion import matrices
from fcn.errors import FcnError
from fcn.network import FCN, INPUT_PADDING, STAGES
from fcn.preprocessing import to_input

BATCH_PIXELS = 2**22  # padded ones, which keep a large GPU busy: one image of 1024x2048
MOST_IMAGES = 32
MEMORY_SHARE = 0.8  # of the free bytes, for a batch
WIDE_MAPS = 4  # maps of the first stage at a time: input and output of a convolution, and its kernel's own memory
TRIALS_AFTER = 10  # batches of one size: trying all kernels takes as long as some


class Segmented(NamedTuple):
    """Predicted channel (H, W) per pixel of an image, and its confusion matrix."""

    channels: NDArray[np.uint8]
    matrix: NDArray[np.int64]


class Launched(NamedTuple):
    """Predictions (B, H, W) and matrices of a batch on their way.

    They are being copied to the CPU until the event.
    """

    channels: Tensor
    matrices: Tensor
    arrived: torch.cuda.Event | None

    def wait(self) -> list[Segmented]:
        """Wait for the results, one per image."""
        if self.arrived is not None:
            self.arrived.synchronize()
        pairs = zip(self.channels.numpy(), self.matrices.numpy(), strict=True)
        return [Segmented(channels, matrix.copy()) for channels, matrix in pairs]  # a view would keep the whole batch


class Segmenter:
    """Network that segments images in batches that fit its device.

    Args:
        network: On the device it computes on, as `settled`.
        classes: How many of its channels are classes.
        at_once: Number of images instead; None lets the device decide.
    """

    def __init__(self, network: FCN, classes: int, at_once: int | None = None) -> None:
        self._network, self._classes, self._at_once = network, classes, at_once
        self.device = network.score_fr.weight.device
        self._most: dict[tuple[int, int], int] = {}
        self._batches: Counter[torch.Size] = Counter()

    def most(self, height: int, width: int) -> int:
        """Number of images of a size to launch at once.

        1 on a CPU, which one image keeps busy.
        """
        if (height, width) not in self._most:
            self._most[height, width] = self._at_once or self._fitting(height, width)
        return self._most[height, width]

    def launch(self, photos: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Launched]:
        """Segment images of one size, without waiting for a GPU.

        In several parts where memory is short.

        Args:
            photos: Each (H, W, 3), RGB in 0..255, in memory that a GPU can copy from.
            labels: Each (H, W), class indices below `classes`, or IGNORE.

        Raises:
            FcnError: An image is too small, or one alone needs more memory than the device has.
        """
        try:
            return [self._launch(photos, labels)]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            # Retried outside this block, whose error would keep the tensors made so far.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        height, width = labels[0].shape
        if len(photos) == 1:
            raise FcnError(self._out_of_memory(height, width))
        # The estimate of memory was too low; the smaller size is kept for later batches.
        half = len(photos) // 2
        self._most[height, width] = half
        return self.launch(photos[:half], labels[:half]) + self.launch(photos[half:], labels[half:])

    def _launch(self, photos: Sequence[Tensor], labels: Sequence[Tensor]) -> Launched:
        # From pinned memory these copies overlap with the segmentation of the batch before.
        there, true = (
            torch.stack([tensor.to(self.device, non_blocking=True) for tensor in side]) for side in (photos, labels)
        )
        self._batches[there.shape] += 1
        with torch.inference_mode():
            image = to_input(there, layout(self.device))
            channels = _channels(self._network, image, by_trial=self._batches[there.shape] > TRIALS_AFTER)
            counts = matrices(true, channels, self._classes, self._network.architecture.channels)
            channels, counts = (tensor.to("cpu", non_blocking=True) for tensor in (channels, counts))
            cuda = self.device.type == "cuda"
            return Launched(channels, counts, torch.cuda.current_stream(self.device).record_event() if cuda else None)

    def _fitting(self, height: int, width: int) -> int:
        if self.device.type != "cuda":
            return 1
        # Not all of it: cuDNN's kernels and gaps between blocks need room too.
        fitting = int(MEMORY_SHARE * _free(self.device)) // self._bytes(height, width)
        return max(1, min(fitting, MOST_IMAGES, BATCH_PIXELS // self._pixels(height, width)))

    def _bytes(self, height: int, width: int) -> int:
        """Estimated bytes per image, beside the weights."""
        a = self._network.architecture
        return 4 * WIDE_MAPS * max(a.scaled(STAGES[0][0]), a.channels) * self._pixels(height, width)

    def _pixels(self, height: int, width: int) -> int:
        around = 2 * INPUT_PADDING if self._network.architecture.padding == "input" else 0
        return (height + around) * (width + around)

    def _out_of_memory(self, height: int, width: int) -> str:
        needed = f"an image of {width}x{height} needs about {self._bytes(height, width) / 2**30:.1f} GiB"
        if self.device.type != "cuda":
            return f"out of memory: {needed}; close other programs"
        total = torch.cuda.get_device_properties(self.device).total_memory
        return (
            f"out of memory on {self.device}: {needed}, and {_free(self.device) / 2**30:.1f} of its "
            f"{total / 2**30:.1f} GiB are free; end what else runs there, or compute on a CPU"
        )


def layout(device: torch.device) -> torch.memory_format:
    """Memory format of weights and pictures: channels last on CPUs.

    First for cuDNN's Winograd kernels in float32.
    """
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def settled(network: FCN, device: torch.device) -> FCN:
    """Move a network to a device, in its fastest memory format.

    Raises:
        FcnError: There is no room for its weights.
    """
    try:
        return network.to(device).to(memory_format=layout(device))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise FcnError(
            f"out of memory on {device}: no room for the weights; end what else runs there, or compute on a CPU"
        ) from error


def segment(network: FCN, image: Tensor) -> NDArray[np.uint8]:
    """Predict the channel (H, W) of each pixel of an image (1, 3, H, W).

    In float32 on GPUs too.
    """
    with torch.inference_mode():
        channels: NDArray[np.uint8] = _channels(network, image.to(network.score_fr.weight.device))[0].cpu().numpy()
    return channels


def _channels(network: FCN, images: Tensor, *, by_trial: bool = False) -> Tensor:
    """Predict the channels (B, H, W), 8 bits, of each pixel of images (B, 3, H, W)."""
    with _full_float32(by_trial):
        scores: Tensor = network(images)
        return scores.argmax(1).to(torch.uint8)


@contextmanager
def _full_float32(by_trial: bool) -> Iterator[None]:
    """Compute a GPU's convolutions in full float32 in this block: PyTorch's default rounds factors to 10 bits (TF32).

    The kernel is found by trial, or by cuDNN's rules.
    """
    backend = torch.backends.cudnn
    before = backend.conv.fp32_precision, backend.benchmark  # type: ignore[attr-defined]
    backend.conv.fp32_precision, backend.benchmark = "ieee", by_trial  # type: ignore[attr-defined]
    try:
        yield
    finally:
        backend.conv.fp32_precision, backend.benchmark = before  # type: ignore[attr-defined]


def _free(device: torch.device) -> int:
    """Free GPU memory in bytes, including PyTorch's cached blocks."""
    free, _ = torch.cuda.mem_get_info(device)
    # Reserved and not allocated are PyTorch's cached blocks, which it gives to new tensors.
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is a failed allocation.

    PyTorch has no error class for those of a CPU.
    """
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
