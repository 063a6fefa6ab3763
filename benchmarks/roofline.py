"""A training step and an FCN-8s forward pass against the device's peak.

    python benchmarks/roofline.py [--device auto] [--size HxW] [--repeats 3] [--json FILE]

Operations are counted as they are computed, two a multiplication and addition, of convolutions and matrix products
alone. Bytes are counted twice: those of every operator's inputs and outputs, as they go through memory where nothing is
fused and no cache helps; and the least possible, where every weight, gradient, moment, input and output passes once
each way that it must. The ceilings are measured beside each work, in the same process and with the same threads: the
quicker of a large matrix product and a large convolution, and a copy that no cache holds. The share of the ceiling is
the least time by arithmetic or by the least bytes, whichever is longer, over the measured time.

On a GPU all is measured in float32, with TF32 and in bfloat16, steps replayed as in a training. The forward pass is
that of 1024x2048, on a CPU of 512x1024 unless `--size` says more: a share needs no more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from record import Record, options

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fcn.network import FCN
from fcn.segmenting import layout, settled
from fcn.weights import PUBLISHED
from p2pbench.ablation import grid
from p2pbench.ablation.timing import measure_step
from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.dataset import Channels
from p2pbench.runtime.device import keep_freed_memory, pick_device
from p2pbench.runtime.precision import set_up
from p2pbench.training.batches import Batch
from p2pbench.training.model import build
from p2pbench.training.step import training_step
from timing import clock, products

CHANNELS = Channels(3, 3, np.dtype(np.uint8), np.dtype(np.uint8))
STEPS: dict[str, dict[str, Any]] = {
    "step, 256x256, ngf 64": {},
    "step of quickstart": {**grid.QUICKSTART_SETTINGS, "objective": "L1+cGAN"},
}
FLOAT_BYTES = 4
WRITTEN_ONLY = ("copy_", "zero_", "fill_")  # operators that do not read what they change
UNTOUCHED = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")  # reserved, not written
PROBES = {  # sides of the matrices; items, channels and sides of the convolved maps; bytes of the copy
    "cpu": (2048, (1, 128, 128, 128), 2**29),
    "cuda": (8192, (8, 512, 128, 128), 2**32),
}
FILTER = 4  # the side of a U-Net's filters; for 3x3 there are kernels that do with fewer operations than are counted
PROBE_TURNS = 8
PRODUCTS = {"float32": "ieee", "tf32": "tf32", "bf16": "tf32"}


class Counted(NamedTuple):
    """Operations and bytes of a piece of work.

    Attributes:
        flop: Operations of convolutions and matrix products.
        bytes: Inputs and outputs of every operator.
    """

    flop: int
    bytes: int


class Measured(NamedTuple):
    """A piece of work."""

    name: str
    precision: str
    threads: int
    counted: Counted
    least_bytes: int
    seconds: float


class Ceiling(NamedTuple):
    """The best that a device did, a second."""

    matmul_flop: float
    convolution_flop: float
    copied_bytes: float

    @property
    def flop(self) -> float:
        """The quicker of both: on some processors kernels for one are better than for the other."""
        return max(self.matmul_flop, self.convolution_flop)


class Traffic(TorchDispatchMode):
    """Adds up the bytes that operators read and write, each tensor once an operator; views are free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(  # noqa: D105
        self,
        func: torch._ops.OpOverload,
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in UNTOUCHED:
            return made
        given, changed = _arguments(func, args, kwargs or {})
        known = {_place(tensor) for tensor in given}
        fresh = [tensor for tensor in _tensors(made) if _place(tensor) not in known]
        if not fresh and not changed:
            return made  # a view
        read = [t for t in given if not (name in WRITTEN_ONLY and any(t is other for other in changed))]
        self.bytes += sum(map(_bytes, (*read, *changed, *fresh)))
        return made


def _arguments(
    func: torch._ops.OpOverload, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[list[Tensor], list[Tensor]]:
    """An operator's tensors, and those of them that it changes."""
    given: list[Tensor] = []
    changed: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        value = args[place] if place < len(args) else kwargs.get(argument.name)
        tensors = [tensor for tensor in _tensors(value) if not any(tensor is other for other in given)]
        given += tensors
        if argument.alias_info is not None and argument.alias_info.is_write:
            changed += tensors
    return given, changed


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _place(tensor: Tensor) -> object:
    return tensor.untyped_storage()._cdata  # on any device, that without data too


def _bytes(tensor: Tensor) -> int:
    """Of the numbers that lie in memory: those of an expanded tensor once."""
    sides = (side for side, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sides) * tensor.element_size() if tensor.numel() else 0


def count(work: Callable[[], object]) -> Counted:
    """Do a piece of work, and count."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        work()
    return Counted(flops.get_total_flops(), traffic.bytes)


def ceiling(device: torch.device, precision: str) -> Ceiling:
    """Measure the device: the best of some turns, after one that does not count."""
    side, shape, copied = PROBES[device.type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
    maps = torch.rand(shape, device=device).to(kind, memory_format=torch.channels_last)
    filters = torch.rand(shape[1], shape[1], FILTER, FILTER, device=device).to(kind, memory_format=torch.channels_last)
    source, target = (torch.zeros(copied // FLOAT_BYTES, device=device) for _ in range(2))
    product = torch.empty_like(a)
    positions = shape[0] * (shape[2] - FILTER + 1) * (shape[3] - FILTER + 1)

    def best(work: Callable[[], object]) -> float:
        return min([clock(work, device) for _ in range(1 + PROBE_TURNS)][1:])

    with torch.inference_mode(), products(PRODUCTS[precision], by_trial=True):
        return Ceiling(
            2 * side**3 / best(lambda: torch.mm(a, b, out=product)),
            2 * positions * filters.numel() / best(lambda: functional.conv2d(maps, filters)),
            2 * copied / best(lambda: target.copy_(source)),
        )


def step(name: str, config: RunConfig, device: torch.device) -> Measured:
    """Count and time a training step."""
    set_up(config, device)
    model = build(config, CHANNELS, device)
    shape = (config.batch_size, 3, config.image_size, config.image_size)
    batch = Batch(torch.rand(shape, device=device), torch.rand(shape, device=device), None)
    training_step(model, batch, config)  # Adam makes its moments
    counted = count(lambda: training_step(model, batch, config))
    assert model.discriminator is not None
    weights = _numbers(model.generator) + _numbers(model.discriminator)
    # Weights and both moments are read and written, gradients written and read.
    least = FLOAT_BYTES * (8 * weights + batch.input.numel() + batch.target.numel())
    seconds = measure_step(config, CHANNELS, device)
    return Measured(name, config.precision, torch.get_num_threads(), counted, least, seconds)


def forward(height: int, width: int, precision: str, repeats: int, device: torch.device) -> Measured:
    """Count and time a forward pass of the published network with random weights."""
    network = settled(FCN(PUBLISHED), device)
    image = torch.rand(1, 3, height, width, device=device).contiguous(memory_format=layout(device))
    narrow = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), products(PRODUCTS[precision], by_trial=True), narrow:
        counted = count(lambda: network(image))
        seconds = [clock(lambda: network(image), device) for _ in range(1 + repeats)][1:]
    least = FLOAT_BYTES * (_numbers(network) + image.numel() + PUBLISHED.channels * height * width)
    name, median = f"FCN-8s, {height}x{width}", statistics.median(seconds)
    return Measured(name, precision, torch.get_num_threads(), counted, least, median)


def _numbers(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def row(work: Measured, best: Ceiling) -> dict[str, object]:
    """A piece of work's place under the ceiling."""
    by_flop, by_least = work.counted.flop / best.flop, work.least_bytes / best.copied_bytes
    return {
        "work": work.name,
        "precision": work.precision,
        "threads": work.threads,
        "flop": work.counted.flop,
        "unfused_bytes": work.counted.bytes,
        "least_bytes": work.least_bytes,
        "flop_per_unfused_byte": work.counted.flop / work.counted.bytes,
        "seconds_by_flop": by_flop,
        "seconds_by_unfused_bytes": work.counted.bytes / best.copied_bytes,
        "seconds_by_least_bytes": by_least,
        "seconds": work.seconds,
        "share_of_ceiling": max(by_flop, by_least) / work.seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", help="HxW of the forward pass")
    parser.add_argument("--repeats", type=int, default=3, help="of the forward pass")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    keep_freed_memory()  # as a training does
    height, width = map(int, (arguments.size or ("1024x2048" if device.type == "cuda" else "512x1024")).split("x"))
    threads = torch.get_num_threads()
    ceilings: dict[tuple[str, int], Ceiling] = {}
    done: list[Measured] = []

    def under_ceiling(precision: str, work: Callable[[], Measured]) -> None:
        # Measured beside each piece of work, so that a busy moment does not lower it.
        key, found = (precision, torch.get_num_threads()), ceiling(device, precision)
        ceilings[key] = Ceiling(*map(max, found, ceilings.get(key, found)))
        done.append(work())

    for precision in ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32",):
        for name, settings in STEPS.items():
            config = run_config({**settings, "precision": precision}, "benchmark")
            torch.set_num_threads(config.threads or threads)
            under_ceiling(precision, partial(step, name, config, device))
        torch.set_num_threads(threads)
        under_ceiling(precision, partial(forward, height, width, precision, arguments.repeats, device))
    record = Record("roofline", arguments)
    found_rows: list[dict[str, object]] = []
    for (precision, used), best in ceilings.items():
        each = {f"{name}_per_second": value for name, value in best._asdict().items()}
        found_rows.append({"precision": precision, "threads": used, **each})
    record.table(f"Ceilings of {device.type}", found_rows)
    record.table("Work under them", [row(work, ceilings[work.precision, work.threads]) for work in done])
    record.save()


if __name__ == "__main__":
    main()
