"""The training step of a GPU: is it right, how long does it take, and how long a whole training.

    python benchmarks/cuda_step.py [--seconds 300] [--turns 15] [--json FILE]

U-Net, conditional 70x70 discriminator, L1+cGAN at 256x256, ngf = ndf = 64, batch 1. In this order:

1. Our steps, captured and replayed, against the plain step of `train_step.py` on the same weights and batches, without
   dropout (its noise lies in memory otherwise). The losses of each step are apart by at most 1 % (and 0.002) in
   float32, 10 % (and 0.03) in bf16. Then replays against the same steps not captured, with dropout: within 1 %.
2. Gradients of the first step, by precision, against the plain networks in float64 on the CPU.
3. Seconds a step, in turns in one process: the plain step, eager, as torch computes by default; ours by precision.
   And in which kernels the time of a replayed step goes.
4. A training of 400 made-up pictures for 200 epochs, checkpoints and log included, for so many seconds at most; where
   that is not enough, the whole is extrapolated from the pace after the first 200 steps.
5. What must not go wrong: a run stopped and resumed, a loss that is not finite, a batch that does not fit, work that
   cannot be captured.

Without a GPU, only the first comparison and the gradients run, small and on the CPU.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from record import Record, options  # noqa: E402

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.autograd import DeviceType  # type: ignore[attr-defined]  # noqa: E402

from cuda_checks import TOLERANCES, against_plain, against_uncaptured, gradients, samples, say, settings  # noqa: E402
from p2pbench.config import RunConfig, run_config  # noqa: E402
from p2pbench.datasets.cache import CachedSamples  # noqa: E402
from p2pbench.datasets.labelled import Streets  # noqa: E402
from p2pbench.errors import UserError  # noqa: E402
from p2pbench.runtime.device import keep_freed_memory  # noqa: E402
from p2pbench.runtime.interrupt import Stop, Stopped  # noqa: E402
from p2pbench.runtime.precision import set_up  # noqa: E402
from p2pbench.runtime.progress import TrainingProgress  # noqa: E402
from p2pbench.training.batches import Batches  # noqa: E402
from p2pbench.training.cuda_graph import CudaGraphStep, ReplayedSteps, Steps  # noqa: E402
from p2pbench.training.model import Model, build, needed_bytes  # noqa: E402
from p2pbench.training.seeding import default_generator  # noqa: E402
from p2pbench.training.trainer import Callbacks, TrainingData, train  # noqa: E402
from reports.store.layout import Run  # noqa: E402
from train_step import CHANNELS, plain_model, plain_step  # noqa: E402

BLOCK = 20  # steps between two readings of the clock
SETTLED = 200  # steps of a training that do not count for its pace
TINY = {"image_size": 32, "ngf": 4, "ndf": 4, "receptive_field": 34}
SMALL = run_config(
    {**TINY, "image_size": 64, "ngf": 16, "ndf": 16, "epochs": 8, "batch_size": 3, "precision": "float32"}, "benchmark"
)


def kernels(device: torch.device) -> list[dict[str, Any]]:
    """The ten kernels that take the most time of a replayed step in bf16, and all of them together."""
    config = settings("bf16")
    set_up(config, device)
    batches = Batches(Streets(None), samples(config, 400), config, device)
    steps = ReplayedSteps(build(config, CHANNELS, device), batches, range(10**6), say)
    with steps.stream():
        for step in range(BLOCK):
            steps.take(step)
        torch.cuda.synchronize(device)
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            for step in range(BLOCK, 2 * BLOCK):
                steps.take(step)
            torch.cuda.synchronize(device)
    run = [each for each in profile.key_averages() if each.device_type == DeviceType.CUDA]
    run.sort(key=lambda each: -each.self_device_time_total)
    every = sum(each.self_device_time_total for each in run)
    rows: list[dict[str, Any]] = [
        {
            "kernel": each.key[:70],
            "calls_per_step": each.count / BLOCK,
            "microseconds_per_step": each.self_device_time_total / BLOCK,
            "share": each.self_device_time_total / every,
        }
        for each in run[:10]
    ]
    calls = sum(each.count for each in run) / BLOCK
    return [*rows, {"kernel": "all", "calls_per_step": calls, "microseconds_per_step": every / BLOCK, "share": 1.0}]


def nothing(*_: object) -> None:
    """Report nothing, draw no samples."""


def trained(
    config: RunConfig,
    data: CachedSamples,
    folder: Path,
    device: torch.device,
    report: Callable[[TrainingProgress], None] = nothing,
    stop: Stop = False,
) -> Model:
    """A training as the command line makes it, without pictures."""
    # The items need no description: the folder is the benchmark's own.
    described = TrainingData(Streets(None), data, {})
    return train(Run(folder, "benchmark", 0), config, described, device, Callbacks(report, nothing, say, stop))


def not_finite(device: torch.device, folder: Path) -> str:
    """Message of a run whose losses overflow."""
    config = SMALL.model_copy(update={"learning_rate": 1e30, "objective": "L2"})
    try:
        trained(config, samples(config, 20), folder / "bad", device)
    except UserError as error:
        return str(error).split("bad: ")[-1]
    return "WRONG: went on"


def resumed(device: torch.device, folder: Path) -> str:
    """Difference of a stopped and resumed run from an uninterrupted one."""
    data = samples(SMALL, 20)
    whole = trained(SMALL, data, folder / "whole", device)
    again = trained(SMALL, data, folder / "again", device)
    reports: list[TrainingProgress] = []

    class AfterAReport:
        def __bool__(self) -> bool:
            return bool(reports)

    with suppress(Stopped):
        trained(SMALL, data, folder / "parts", device, report=reports.append, stop=AfterAReport())
    parts = trained(SMALL, data, folder / "parts", device)

    def apart_from_whole(other: Model) -> float:
        pairs = zip(whole.generator.parameters(), other.generator.parameters(), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)

    return (
        f"stopped after step {reports[-1].step} of {reports[-1].total}; weights apart by {apart_from_whole(parts):.1e} "
        f"from an uninterrupted run, two of which are apart by {apart_from_whole(again):.1e}"
    )


def refused(device: torch.device) -> str:
    """Whether work that cannot be captured is done all the same."""
    stream, done = torch.cuda.Stream(device), torch.zeros((), device=device)
    messages: list[str] = []

    def work() -> None:
        noise = nn.functional.dropout(torch.ones(8, device=device)).sum()  # to be drawn plainly afterwards too
        done.add_(1 + 0 * noise + 0 * done.item())  # reads a value, which waits for the device

    replay = CudaGraphStep(work, default_generator(device), messages.append)
    with torch.cuda.stream(stream):
        for seed in range(6):
            replay(seed)
    torch.cuda.synchronize(device)
    right = done.item() == 6 and len(messages) == 1
    return f"{'' if right else 'WRONG: '}{done.item():.0f} of 6 done; it says {messages}"


def too_large(device: torch.device, folder: Path) -> str:
    """Message of a run that does not fit, and whether a smaller one works in the same process."""
    large = settings("bf16", batch_size=64, epochs=1)
    try:
        _, total = torch.cuda.mem_get_info(device)
        allowed = torch.cuda.memory_reserved(device) + needed_bytes(large, CHANNELS, 64) // 4
        torch.cuda.set_per_process_memory_fraction(allowed / total, device)
        trained(large, samples(large, 64), folder / "large", device)
        said = "WRONG: fitted"
    except UserError as error:
        said = str(error).split("large: ")[-1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    trained(SMALL, samples(SMALL, 20), folder / "after", device)
    return said + "; a smaller run went on"


def in_turns(device: torch.device, turns: int) -> dict[str, list[float]]:
    """Seconds a step, block by block."""
    takers: dict[str, Callable[[int], None]] = {}
    x, y = (torch.rand(1, 3, 256, 256, device=device) * 2 - 1 for _ in range(2))

    def plain_blocks() -> Callable[[int], None]:
        plain = plain_model(settings("tf32"), device)
        return lambda step: _ignore(plain_step(plain, x, y))

    def our_blocks(precision: str) -> Callable[[int], None]:
        config = settings(precision)
        batches = Batches(Streets(None), samples(config, 400), config, device)
        steps: Steps = ReplayedSteps(build(config, CHANNELS, device), batches, range(10**6), say)

        def take(step: int) -> None:
            with steps.stream():
                steps.take(step)
                if step % config.log_every == 0:
                    steps.losses()

        return take

    takers["plain"] = plain_blocks()
    for precision in ("float32", "tf32", "bf16"):
        takers[precision] = our_blocks(precision)
    seconds: dict[str, list[float]] = {name: [] for name in takers}
    for turn in range(turns + 1):
        for name, take in takers.items():
            set_up(settings("tf32" if name == "plain" else name), device)
            torch.backends.cudnn.benchmark = name != "plain"  # off by default in torch
            start = time.perf_counter()
            for step in range(turn * BLOCK, (turn + 1) * BLOCK):
                take(step)
            torch.cuda.synchronize(device)
            if turn > 0:  # the first warms up, and captures
                seconds[name].append((time.perf_counter() - start) / BLOCK)
    return seconds


def _ignore(losses: tuple[Tensor, ...]) -> None:
    """Losses that nobody reads."""


def whole_training(device: torch.device, seconds: float, folder: Path) -> dict[str, float]:
    """400 pictures x 200 epochs in bf16; seconds that it took or would take."""
    config = settings("bf16", epochs=200)
    torch.cuda.reset_peak_memory_stats(device)
    started = time.monotonic()
    points: list[tuple[int, float]] = []

    def note(progress: TrainingProgress) -> None:
        points.append((progress.step, time.monotonic() - started))

    class WhenTimeIsUp:
        def __bool__(self) -> bool:
            return time.monotonic() - started > seconds

    with suppress(Stopped):
        trained(config, samples(config, 400), folder / "whole-training", device, report=note, stop=WhenTimeIsUp())
    took = time.monotonic() - started
    total = 400 * 200
    (first, early), (last, late) = next(point for point in points if point[0] >= SETTLED), points[-1]
    pace = (late - early) / (last - first)
    whole = took if last == total else early + pace * (total - first)
    size = (folder / "whole-training" / "checkpoint.pt").stat().st_size
    return {
        "steps": last,
        "seconds": took,
        "seconds_per_step": pace,
        "seconds_of_first_steps": early,
        "seconds_of_all_steps": whole,
        "checkpoint_bytes": size,
        "peak_bytes": torch.cuda.max_memory_allocated(device),
        "expected_bytes": needed_bytes(config, CHANNELS, 1),
    }


def main() -> None:
    """Check, measure, print."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the training, at most")
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    keep_freed_memory()
    record = Record("cuda_step", arguments)
    if not torch.cuda.is_available():
        print("no GPU here: the step is checked on the CPU, small, and nothing is measured")
        cpu = torch.device("cpu")
        checks = [{"check": f"{name} against plain", "found": against_plain(name, cpu, **TINY)} for name in TOLERANCES]
        record.table("Checks", checks)
        record.table("Gradients", gradients(cpu, **{**TINY, "image_size": 64}))
        record.save()
        return
    device = torch.device("cuda", torch.cuda.current_device())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], str | list[dict[str, Any]]]] = {}
        for precision in TOLERANCES:
            parts[f"{precision} against plain"] = partial(against_plain, precision, device)
            parts[f"{precision} against uncaptured"] = partial(against_uncaptured, precision, device)
        parts["gradients"] = lambda: gradients(device)
        parts["a step"] = lambda: paces(in_turns(device, arguments.turns))
        parts["kernels"] = lambda: kernels(device)
        parts["whole training"] = lambda: [whole_training(device, arguments.seconds, folder)]
        parts["stopped and resumed"] = lambda: resumed(device, folder)
        parts["a loss that is not finite"] = lambda: not_finite(device, folder)
        parts["more than fits"] = lambda: too_large(device, folder)
        parts["what cannot be captured"] = lambda: refused(device)
        checks = []
        for title, part in parts.items():
            start = time.monotonic()
            try:
                found = part()
            except (RuntimeError, UserError, AssertionError) as error:  # the other parts are still worth their time
                traceback.print_exc()
                found = f"WRONG: {type(error).__name__}, see what was printed"
            if isinstance(found, str):
                checks.append({"check": title, "found": found})
            else:
                record.table(title, found)
            print(f"[{time.monotonic() - start:.0f} s] {title}: {found}", flush=True)
            with suppress(RuntimeError):  # after a part that went wrong
                torch.cuda.empty_cache()
    record.table("Checks", checks)
    record.save()
    sys.exit(any("WRONG" in check["found"] for check in checks))


def paces(blocks: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Seconds a step, and how many times as long the plain step takes, block by block: medians."""
    return [
        {
            "precision": name,
            "seconds_per_step": statistics.median(values),
            "ratio_of_plain": statistics.median(p / o for p, o in zip(blocks["plain"], values, strict=True)),
        }
        for name, values in blocks.items()
    ]


if __name__ == "__main__":
    main()
