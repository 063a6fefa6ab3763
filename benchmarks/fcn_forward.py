"""Time and memory of FCN-8s for one image, against OpenCV's DNN module on the same weights; and on GPUs.

    python benchmarks/fcn_forward.py [--repeats 3] [--size 1024x2048] [--json FILE]

The published network at full width with random weights. Both run in one process and take turns, so that they meet the
same noise of the machine; both read the same .caffemodel. Memory is that of a process of its own that loads the weights
and segments one image. On a CUDA device the same image is timed with TF32 off, as the scorer has it, with TF32 on, and
in bfloat16, each with what it changes.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from record import Record, options

sys.path.insert(0, str(Path(__file__).parent.parent))  # the writer of Caffe's files is among the tests

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from fcn import score_protocols, weights  # noqa: E402
from fcn.confusion import confusion  # noqa: E402
from fcn.labels import CITYSCAPES  # noqa: E402
from fcn.network import FCN  # noqa: E402
from fcn.preprocessing import resized, to_tensor  # noqa: E402
from fcn.segmenting import layout, settled  # noqa: E402
from p2pbench.datasets import pictures  # noqa: E402
from tests.fcn import caffe  # noqa: E402
from timing import clock, medians, products  # noqa: E402

GPU_IMAGES = 10
CITYSCAPES_VALUES = [label.value for label in CITYSCAPES.labels if label.value >= 0]


class Change(NamedTuple):
    """Effect of another arithmetic.

    Attributes:
        scores: The largest difference of the network's scores, by their standard deviation.
        argmax: The share of pixels that get another channel.
        fcn_score: The largest change of pixel accuracy, class accuracy and class IoU, where the segmentation in
            float32 is the truth, which no change can better.
    """

    scores: float
    argmax: float
    fcn_score: float


def change(reference: Tensor, scores: Tensor) -> Change:
    """Of the scores (1, C, H, W) of one image."""
    largest = (scores.float() - reference).abs().max() / reference.std()
    truth, prediction = (each.argmax(1)[0].to(torch.uint8).cpu().numpy() for each in (reference, scores))
    channels = scores.shape[1]
    matrix = confusion(truth, prediction, channels, channels)
    three = score_protocols.scores(score_protocols.counted(matrix, "strict"), "strict")[:3]
    return Change(largest.item(), float((truth != prediction).mean()), float(1 - min(three)))


def changes(apart: Change) -> dict[str, float]:
    """The same for a table."""
    return {
        "largest_change_of_scores_in_deviations": apart.scores,
        "share_of_pixels_changed": apart.argmax,
        "largest_change_of_fcn_score": apart.fcn_score,
    }


def random_image(height: int, width: int) -> Tensor:
    """Noise in the range of a photo less its mean, (1, 3, H, W)."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, height, width))
    return torch.from_numpy((pixels - 76).astype(np.float32)).contiguous(memory_format=torch.channels_last)


def memory(path: Path, height: int, width: int) -> dict[str, int]:
    """Highest resident memory so far, in bytes, after each step of segmenting an image; for a process of its own."""
    peaks = {}

    def note(step: str) -> None:
        unit = 1 if sys.platform == "darwin" else 1024
        peaks[step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    note("libraries")
    network = weights.load(path)[0].to(memory_format=torch.channels_last)
    note("weights")
    image = random_image(height, width)
    with torch.inference_mode():
        scores = network(image)
        note("scores")
        scores.argmax(1).to(torch.uint8)
        note("argmax")
    return peaks


def against_opencv(network: FCN, image: Tensor, repeats: int) -> tuple[dict[str, list[float]], Change]:
    """Seconds of each forward pass, and how far the scores are apart."""
    height, width = image.shape[-2:]
    description = caffe.prototxt(network.architecture, height, width).encode()
    reader = cv2.dnn.readNetFromCaffe(
        np.frombuffer(description, np.uint8), np.frombuffer(caffe.encode(caffe.layers(network)), np.uint8)
    )
    reader.setInput(image.contiguous().numpy())
    network = network.to(memory_format=torch.channels_last)
    cpu = torch.device("cpu")
    seconds: dict[str, list[float]] = {"ours": [], "opencv": []}
    scores: dict[str, Tensor] = {}

    def ours() -> None:
        scores["ours"] = network(image)

    def opencv() -> None:
        scores["opencv"] = torch.from_numpy(reader.forward())

    with torch.inference_mode():
        for repeat in range(1 + repeats):
            for work in (ours, opencv) if repeat % 2 else (opencv, ours):
                seconds[work.__name__].append(clock(work, cpu))
        apart = change(scores["opencv"], scores["ours"])
    return {name: values[1:] for name, values in seconds.items()}, apart


def around(folder: Path, network: FCN, image: Tensor, repeats: int) -> dict[str, float]:
    """Seconds of everything else that an image of the test costs: medians, one after the other in one thread.

    The scorer reads and resizes the next image in another thread meanwhile.
    """
    height, width = image.shape[-2:]
    rng = np.random.default_rng(0)
    blocks = rng.choice(CITYSCAPES_VALUES, (height // 16, width // 16)).astype(np.uint8)
    pictures.write(folder / "labels", blocks.repeat(16, axis=0).repeat(16, axis=1)[..., None])
    pictures.write(folder / "output", rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    with torch.inference_mode():
        scores = network(image)
    classes, channels = len(CITYSCAPES.classes), scores.shape[1]
    kept: dict[str, Any] = {}

    def step(name: str, work: Callable[[], object]) -> float:
        def run() -> None:
            kept[name] = work()

        return statistics.median(clock(run, torch.device("cpu")) for _ in range(repeats))

    seconds = {
        "read labels": step("labels", lambda: CITYSCAPES.to_indices(pictures.read_labels(folder / "labels.png"))),
        "read output": step("output", lambda: pictures.read(folder / "output.png")),
        "resize": step("photo", lambda: resized(kept["output"], 256, width, height)),
        "to tensor": step("tensor", lambda: to_tensor(kept["photo"])),
        "argmax": step("argmax", lambda: scores.argmax(1)[0].to(torch.uint8).numpy()),
    }
    seconds["matrix"] = step("matrix", lambda: confusion(kept["labels"], kept["argmax"], classes, channels))
    return seconds


def on_device(network: FCN, image: Tensor, device: torch.device) -> list[dict[str, object]]:
    """Images/s of every arithmetic, and what it changes against float32 with TF32 off."""
    network = settled(network, device)
    image = image.to(device).contiguous(memory_format=layout(device))
    reference: Tensor | None = None
    rows: list[dict[str, object]] = []
    for name, precision, sixteen_bits in (
        ("TF32 off", "ieee", False),
        ("TF32 on", "tf32", False),
        ("bfloat16", "tf32", True),
    ):
        narrow = torch.autocast(device.type, torch.bfloat16) if sixteen_bits else nullcontext()
        with torch.inference_mode(), products(precision), narrow:
            scores = network(image)
            if reference is None:
                reference = scores
            seconds = [clock(lambda: network(image).argmax(1), device) for _ in range(1 + GPU_IMAGES)][1:]
        per_second = {"images_per_second": 1 / statistics.median(seconds)}
        rows.append({"arithmetic": name, **per_second, **changes(change(reference, scores))})
    return rows


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", default="1024x2048", help="HxW")
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
        # The pool comes first: a process begins with the peak of the one that starts it.
        network = caffe.random_network(weights.PUBLISHED)
        path = Path(folder) / "fcn8s.safetensors"
        weights.save(path, network, weights.Card(weights.PUBLISHED, ("road",), "random", None, "random", None))
        peaks = pool.apply(memory, (path, height, width))
    image = random_image(height, width)
    seconds, apart = against_opencv(network, image, arguments.repeats)
    record = Record("fcn_forward", arguments)
    title = f"FCN-8s forward, {height}x{width}, medians of {arguments.repeats}; OpenCV {cv2.__version__}"
    record.table(title, medians(seconds))
    record.table("Ours against OpenCV's", [changes(apart)])
    with tempfile.TemporaryDirectory() as folder:
        others = around(Path(folder), network, image, arguments.repeats)
    own, rest = statistics.median(seconds["ours"]), sum(others.values())
    parts = {"the network": own, **others, "all but the network": rest}
    rows = [{"part": name, "seconds": value, "share_of_image": value / (own + rest)} for name, value in parts.items()]
    record.table("An image", rows)
    record.table("Peak memory", [{"after": step, "bytes": peak} for step, peak in peaks.items()])
    if torch.cuda.is_available():
        record.table("On the GPU, changes against TF32 off", on_device(network, image, torch.device("cuda")))
    record.save()


if __name__ == "__main__":
    main()
