"""Time of the FCN-score of many images, from files to scores, by stage.

    python benchmarks/fcn_score.py [--images 500] [--outputs 256x256] [--device auto]
    python benchmarks/fcn_score.py --images 6 --size 128x256 --width 0.125   # on a CPU

Made-up PNGs of labels and outputs and the published network with random weights go through what `p2pbench fcn-score`
calls for a folder of outputs. Then its parts are timed one by one: those of the CPU in one thread, those of the device
with nothing beside them. On a GPU also: the network with its weights channels last and first, kernels known beforehand
and found by trial; how far predictions are from the CPU's; and what is said where memory is short.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import record  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from fcn import score_protocols, weights  # noqa: E402
from fcn.confusion import matrices  # noqa: E402
from fcn.errors import FcnError  # noqa: E402
from fcn.labels import CITYSCAPES  # noqa: E402
from fcn.network import FCN, FcnArchitecture  # noqa: E402
from fcn.preprocessing import resized, to_input  # noqa: E402
from fcn.segmenting import Segmenter, segment, settled  # noqa: E402
from p2pbench.datasets import (
    label_images,  # noqa: E402
    pictures,  # noqa: E402
)
from p2pbench.runtime.device import pick_device  # noqa: E402
from p2pbench.runtime.interrupt import StopRequest  # noqa: E402
from p2pbench.runtime.progress import TrainingProgress  # noqa: E402
from p2pbench.scoring.outputs import (
    PlainFolder,  # noqa: E402
    read_output,  # noqa: E402
)
from p2pbench.scoring.score import fcn_score_folder  # noqa: E402
from p2pbench.scoring.segmentation import SegmentationOptions  # noqa: E402
from p2pbench.scoring.truth import open_truth, read_bytes  # noqa: E402
from tests.fcn import caffe  # noqa: E402
from timing import clock, products  # noqa: E402

DIFFERENT = 16  # pictures; the others are copies, so that drawing them takes no longer than scoring them
VALUES = np.array([label.value for label in CITYSCAPES.labels if label.value >= 0], np.uint8)
GRAIN = 2.0  # standard deviation of the noise on smooth pictures, which makes a PNG about as large as that of a photo
PHOTO_SIZE = 256
REPEATS = 7
GIB = 2**30
Size = tuple[int, int]
Row = dict[str, object]


class DoneTimes:
    """A reporter that notes when each image was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def say(self, text: str) -> None:
        """Not of interest."""

    def count(self, work: str, done: int, total: int) -> None:
        """An image was done."""
        self.times.append(time.perf_counter())

    def train(self, work: str, progress: TrainingProgress) -> None:
        """Nothing is trained."""


def draw(folder: Path, images: int, size: Size, output_size: Size) -> None:
    """Labels as Cityscapes has them below `data`, and outputs below `outputs`."""
    labels, outputs = folder / "data/gtFine/val/bench", folder / "outputs"

    def one(index: int) -> None:
        random = np.random.default_rng(index)
        regions = Image.fromarray(random.choice(VALUES, (size[0] // 24, size[1] // 24)))
        values = np.asarray(regions.rotate(index, fillcolor=7).resize(size[::-1], Image.Resampling.NEAREST))
        pictures.write(labels / f"{name(index)}_gtFine_labelIds", values[..., None])
        coarse = Image.fromarray(random.integers(0, 256, (8, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(output_size[::-1], Image.Resampling.BICUBIC), np.float32)
        noisy = smooth + random.normal(0, GRAIN, smooth.shape)
        pictures.write(outputs / name(index), noisy.clip(0, 255).astype(np.uint8))

    def copy(index: int) -> None:
        for path, ending in ((labels, "_gtFine_labelIds.png"), (outputs, ".png")):
            shutil.copyfile(path / f"{name(index % DIFFERENT)}{ending}", path / f"{name(index)}{ending}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(min(images, DIFFERENT))))
        list(pool.map(copy, range(DIFFERENT, images)))


def name(index: int) -> str:
    """An item's id."""
    return f"bench_{index:06}_000019"


def scored(folder: Path, file: Path, device: torch.device) -> dict[str, float]:
    """The whole: seconds, and images a second once the first is done."""
    done = DoneTimes()
    start = time.perf_counter()
    truth = open_truth(f"cityscapes:{folder / 'data'}:val")
    plain = PlainFolder(folder / "outputs", truth, folder / "out")
    fcn_score_folder(plain, SegmentationOptions(file, device, done, StopRequest()))
    seconds = time.perf_counter() - start
    last, first, images = done.times[-1] - start, done.times[0] - start, len(done.times)
    rate = (images - 1) / max(last - first, 1e-9)
    return {
        "images": images,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "first_image_after_seconds": first,
        "images_per_second_from_then_on": rate,
        "scores_after_the_last_seconds": seconds - last,
    }


def median(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a piece of work takes."""
    return statistics.median([clock(work, device) for _ in range(1 + REPEATS)][1:])


def parts(folder: Path, network: FCN, device: torch.device, size: Size) -> dict[str, float]:
    """Seconds an image of each part of the work."""
    cpu = torch.device("cpu")
    output = folder / "outputs" / f"{name(0)}.png"
    label_file = folder / "data/gtFine/val/bench" / f"{name(0)}_gtFine_labelIds.png"
    photo, labels = read_output(output)[0], CITYSCAPES.to_indices(pictures.read_labels(label_file))
    there = torch.from_numpy(resized(photo, PHOTO_SIZE, *size[::-1]).copy())[None].to(device)
    true = torch.from_numpy(labels)[None].to(device)
    layout = next(
        each
        for each in (torch.contiguous_format, torch.channels_last)
        if network.get_parameter("conv1_2.weight").is_contiguous(memory_format=each)
    )
    image = to_input(there, layout)
    channels = network.architecture.channels
    with torch.inference_mode(), products("ieee"):
        scores = network(image)
        found = {
            "hash (CPU)": median(lambda: hash_(output) + hash_(label_file), cpu),
            "read output (CPU)": median(lambda: read_output(output), cpu),
            "read labels (CPU)": median(lambda: open_labels(label_file), cpu),
            "resize (CPU)": median(lambda: resized(photo, PHOTO_SIZE, *size[::-1]), cpu),
            "write segmentation (CPU)": median(
                lambda: label_images.write_label_image(folder / f"{time.time_ns()}.png", labels, CITYSCAPES, "x"), cpu
            ),
            "input": median(lambda: to_input(there, layout), device),
            "network": median(lambda: network(image), device),
            "argmax": median(lambda: scores.argmax(1).to(torch.uint8), device),
        }
        prediction = scores.argmax(1).to(torch.uint8)
        found["matrix"] = median(lambda: matrices(true, prediction, len(CITYSCAPES.classes), channels), device)
    return found


def hash_(path: Path) -> str:
    """Content that an image's key is computed from."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def open_labels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """As a dataset reads them."""
    values = pictures.read_labels(path)
    assert CITYSCAPES.values.issuperset(np.flatnonzero(np.bincount(values.ravel())).tolist())
    return CITYSCAPES.to_indices(values)


def layouts(network: FCN, device: torch.device, size: Size) -> dict[str, float]:
    """Seconds of the network for an image, by how weights and maps lie in memory and how kernels are chosen."""
    photos = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, device=device)
    found = {}
    for title, layout in (("first", torch.contiguous_format), ("last", torch.channels_last)):
        network.to(memory_format=layout)
        image = to_input(photos, layout)
        for by_trial in (False, True):
            with torch.inference_mode(), products("ieee", by_trial=by_trial):
                chosen = "by trial" if by_trial else "known beforehand"
                found[f"channels {title}, kernels {chosen}"] = median(lambda: network(image), device)  # noqa: B023
    settled(network, device)
    return found


def example(folder: Path, index: int, size: Size) -> tuple[Tensor, Tensor]:
    """An output as the network gets it, and its labels."""
    photo = read_output(folder / "outputs" / f"{name(index)}.png")[0]
    labels = pictures.read_labels(folder / "data/gtFine/val/bench" / f"{name(index)}_gtFine_labelIds.png")
    shown = resized(photo, PHOTO_SIZE, *size[::-1]).copy()
    return torch.from_numpy(shown), torch.from_numpy(CITYSCAPES.to_indices(labels))


def by_precision(network: FCN, device: torch.device, examples: list[tuple[Tensor, Tensor]], classes: int) -> list[Row]:
    """The network in float32, TF32 and bf16: its time, and how far predictions and scores are from float32's.

    Args:
        network: As `settled` on the device.
        device: It.
        examples: Photos (H, W, 3) in 0..255, and class indices (H, W).
        classes: How many of its channels are classes.
    """
    rows: list[Row] = []
    whole: NDArray[np.float64] = np.empty(0)
    expected: list[Tensor] = []
    for precision in ("float32", "tf32", "bf16"):
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), products("ieee" if precision == "float32" else "tf32", by_trial=True), autocast:
            images = [to_input(photo[None].to(device), torch.contiguous_format) for photo, _ in examples]
            predictions = [network(image).argmax(1).to(torch.uint8) for image in images]
            seconds = median(lambda: network(images[0]), device)  # noqa: B023
        labels = [true[None].to(device) for _, true in examples]
        channels = network.architecture.channels
        counts = [matrices(*pair, classes, channels) for pair in zip(labels, predictions, strict=True)]
        every = torch.cat(counts).cpu().numpy()
        by_rule = [
            score_protocols.scores(score_protocols.counted(every, rule).sum(0), rule)[:3]
            for rule in score_protocols.PROTOCOLS
        ]
        means = np.array(by_rule)
        whole, expected = (means, predictions) if precision == "float32" else (whole, expected)
        other = [(one != two).float().mean().item() for one, two in zip(predictions, expected, strict=True)]
        rows.append(
            {
                "precision": precision,
                "seconds": seconds,
                "pixels_with_another_channel": statistics.mean(other),
                "largest_change_of_a_mean": float(np.nanmax(abs(means - whole))),
            }
        )
    return rows


def agreement(network: FCN, cpu: FCN, size: Size) -> float:
    """The share of pixels for which the device and the CPU choose another channel."""
    image = to_input(torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8))
    return float((segment(network, image) != segment(cpu, image)).mean())


def too_large(network: FCN, device: torch.device, size: Size) -> str:
    """Message where not even one image fits."""
    torch.cuda.empty_cache()
    device = torch.device("cuda", torch.cuda.current_device())
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + GIB // 8) / total, device)
    try:
        photo, labels = torch.zeros(*size, 3, dtype=torch.uint8), torch.zeros(*size, dtype=torch.uint8)
        Segmenter(network, len(CITYSCAPES.classes)).launch([photo] * 4, [labels] * 4)
    except FcnError as error:
        return str(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return "it fits after all"


def main() -> None:
    """Measure and print."""
    parser = record.options(__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=_size, default=(1024, 2048), help="of the labels, HxW")
    parser.add_argument("--outputs", type=_size, default=(256, 256), help="size of the outputs, HxW")
    parser.add_argument("--width", type=float, default=1.0, help="of the network; 1 is the published one")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    found = record.Record("fcn_score", arguments)
    device, size = pick_device(arguments.device), arguments.size
    gpu = device.type == "cuda"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw(folder, arguments.images, size, arguments.outputs)
        labels, output = f"data/gtFine/val/bench/{name(0)}_gtFine_labelIds.png", f"outputs/{name(0)}.png"
        files = [("labels", size, labels), ("output", arguments.outputs, output)]
        rows = [{"file": what, "size": _text(of), "bytes": (folder / path).stat().st_size} for what, of, path in files]
        found.table("What is scored", rows)
        architecture = FcnArchitecture(channels=20, width=arguments.width, hidden=max(1, round(4096 * arguments.width)))
        network = caffe.random_network(architecture)
        card = weights.Card(architecture, CITYSCAPES.classes, CITYSCAPES.name, PHOTO_SIZE, "random", None)
        weights.save(folder / "fcn8s.safetensors", network, card)
        whole = scored(folder, folder / "fcn8s.safetensors", device)
        if gpu:
            whole["peak_device_bytes"] = torch.cuda.max_memory_allocated(device)
        found.table("The whole", [whole])
        network = settled(network, device)
        examples = [example(folder, index, size) for index in range(min(arguments.images, DIFFERENT))]
        compared = by_precision(network, device, examples, len(CITYSCAPES.classes))
        found.table("The network, by precision", compared)
        seconds = parts(folder, network, device, size)
        found.table("An image, part by part; reading is done by several threads", _rows("part", seconds))
    if gpu:
        found.table("The network", _rows("way", layouts(network, device, size)))
        apart = agreement(network, settled(caffe.random_network(architecture), torch.device("cpu")), size)
        said = too_large(network, device, size)
        found.table("Also", [{"pixels_with_another_channel_than_on_the_cpu": apart, "where_memory_is_short": said}])
    found.save()


def _rows(head: str, seconds: dict[str, float]) -> list[dict[str, object]]:
    return [{head: what, "seconds": value} for what, value in seconds.items()]


def _size(text: str) -> Size:
    height, width = map(int, text.split("x"))
    return height, width


def _text(size: Size) -> str:
    return "x".join(map(str, size))


if __name__ == "__main__":
    main()
