"""How much memory a step needs, and what would fit where it did not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from p2pbench.config import SMALLEST_IMAGE, RunConfig
from p2pbench.datasets.cache import Channels
from p2pbench.training.model import architecture, build_discriminator

COPIES = 4  # of each weight: itself, its gradient, Adam's two moments
SPARE = 1.3  # what kernels and gaps between blocks take beside the tensors
GRADIENTS_TOO = 2  # a map has a gradient of its size
WRONG_BY = 0.9  # of what was counted and yet did not fit


def needed_bytes(config: RunConfig, channels: Channels, batch_size: int) -> int:
    """About how much memory a step takes, counted from the tensors that it keeps, without computing them."""
    with torch.device("meta"):
        generator, judge = architecture(config, channels).build(), build_discriminator(config, channels)
        networks = [network for network in (generator, judge) if network is not None]
        x = torch.empty(1, channels.input, config.image_size, config.image_size)
        maps, output = _kept(generator, x)
        if judge is not None:
            of_judge, _ = _kept(judge, torch.cat([x, output], 1) if config.conditional else output)
            maps += 2 * of_judge  # real and fake
    if config.precision == "bf16":
        maps //= 2
    weights = sum(parameter.nbytes for network in networks for parameter in network.parameters())
    return int(SPARE * (COPIES * weights + batch_size * GRADIENTS_TOO * maps))


def _kept(network: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """Bytes of the maps that a network keeps for its gradients, and its output."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output: Tensor = network(x)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    size = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return size, output.detach()


def what_fits(config: RunConfig, channels: Channels, available: int) -> str:
    """The largest batch_size, else image_size, that so many bytes are about enough for."""
    fitting = [size for size in range(1, config.batch_size) if needed_bytes(config, channels, size) <= available]
    if fitting:
        return f"batch_size = {fitting[-1]} would fit"
    side = config.image_size // 2
    while side >= SMALLEST_IMAGE:
        smaller = config.model_copy(update={"image_size": side, "batch_size": 1})
        if needed_bytes(smaller, channels, 1) <= available:
            return f"image_size = {side} with batch_size = 1 would fit"
        side //= 2
    return "not even the smallest pictures would fit; take a smaller ngf and ndf"


def is_out_of_memory(error: Exception) -> bool:
    """Whether a tensor found no room; on a CPU torch has no error of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def out_of_memory(config: RunConfig, channels: Channels, device: torch.device) -> str:
    """What to tell somebody whose step did not fit on a device."""
    gib = 2**30
    need = needed_bytes(config, channels, config.batch_size)
    asked = f"batch_size = {config.batch_size} at image_size = {config.image_size} needs about {need / gib:.1f} GiB"
    if device.type != "cuda":
        return f"out of memory: {asked}; take a smaller batch_size"
    free, total = torch.cuda.mem_get_info(device)
    available = free + torch.cuda.memory_reserved(device)
    return (
        f"out of memory on {device}: {asked}, and {available / gib:.1f} of its {total / gib:.1f} GiB are to be had; "
        # It did not fit, so that what is counted as fitting is counted too low.
        + what_fits(config, channels, min(available, int(WRONG_BY * need)))
    )
