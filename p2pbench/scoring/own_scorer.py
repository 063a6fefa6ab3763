"""Training of a scoring network on a dataset's training items.

Some are held out to choose the best checkpoint.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import VGG16_Weights

from fcn import weights
from fcn.network import FCN, FcnArchitecture, draw_weights, take_vgg16, with_batch_norm
from fcn.scoring import Example, Loaded
from fcn.training import Checkpoint, FcnProgress, Settings, TrainingSet, train
from fcn.weights import MEND, UNREADABLE, Card, read, reason
from p2pbench.config import RunConfig
from p2pbench.datasets.catalogue import open_dataset, split_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.datasets.dataset import LABELS_TO_PHOTO, Dataset, Item, item_hash
from p2pbench.datasets.survey import kinds_line
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.truth import label_table
from reports.store import apart
from reports.store.picture import to_eight_bits

HELD_OUT = 10  # one training item in ten is held out, to choose the best checkpoint
SCRATCH, VGG16 = "scratch", "vgg16"
LEARNING_RATES = {True: 1e-3, False: 1e-4}  # from scratch; from pretrained weights, which larger steps would undo
VALIDATIONS = 20  # in a whole training


@dataclass(frozen=True)
class ScorerPlan:
    """Settings of the training of a scoring network.

    Attributes:
        data: Dataset, root and the number of training items.
        init: "vgg16" for torchvision's ImageNet weights, "scratch", or a file that holds such weights.
        width: See `fcn.network.FcnArchitecture`.
        photo_size: The size rule: photos are resized to a square of this side, then up to their labels' size; None
            leaves them.
        epochs: Passes over the training items.
        batch_size: Images per step.
        learning_rate: The highest; None takes the default of `init`.
        seed: Seed of initial weights, order and mirroring.
    """

    data: RunConfig
    init: str
    width: float
    photo_size: int | None
    epochs: int
    batch_size: int
    learning_rate: float | None
    seed: int


def train_scorer(
    plan: ScorerPlan, out: Path, device: torch.device, checkpoint_seconds: float, reporter: ProgressReporter, stop: Stop
) -> str:
    """Train a scoring network and write its file.

    Returns a line with its validation scores.

    Raises:
        UserError: The dataset has no labels or too few items, ImageNet's weights cannot be fetched, or the file exists
            and is of another training.
        ReportError: The file would lie in the dataset's folder.
        FcnError: See `fcn.training.train`.
        Stopped: A stop was requested; the same call resumes.
    """
    table = label_table(plan.data.dataset)
    dataset = open_dataset(plan.data)
    items = split_items(dataset, "train", plan.data.train_items)
    roots = [Path(plan.data.root).expanduser()] if plan.data.root else []
    apart.check(out, [*roots, *(file for item in items for file in item.files)])
    dataset.remark(kinds_line(dataset, items))
    for remark in dataset.remarks:
        reporter.say(remark)
    learned, held_out = _split(items)
    settings = Settings(
        steps=plan.epochs * math.ceil(len(learned) / plan.batch_size),
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate or LEARNING_RATES[plan.init == SCRATCH],
        validate_every=max(1, plan.epochs * len(learned) // plan.batch_size // VALIDATIONS),
        seed=plan.seed,
    )
    items = [*learned, *held_out]
    made_by = _description(plan, dataset, items, settings, item_contents(dataset, items))
    # The same training again is no error, so that a script may be rerun; another's file is never replaced.
    if out.exists():
        _check_made(out, made_by, _description(plan, dataset, items, settings, None))
        return f"{out}: trained before, left as it is"
    network = _first_network(plan, len(table.classes)).to(device)
    checkpoint = out.with_name(f"{out.name}.checkpoint")

    def report(progress: FcnProgress) -> None:
        reporter.count(f"scorer: loss {progress.loss:.3f}", progress.step, progress.total)
        if progress.validation is not None:
            pixel, accuracy, iou = progress.validation[:3]
            reporter.say(
                f"step {progress.step}: on {len(held_out)} held-out items pixel accuracy {pixel:.3f}, "
                f"class accuracy {accuracy:.3f}, class IoU {iou:.3f}"
            )
        if stop and progress.step < progress.total:
            raise Stopped(
                f"{out}: stopped after step {progress.step} of {progress.total}; rerun the same command to resume"
            )

    data = TrainingSet(
        [_example(dataset, item) for item in learned],
        [_example(dataset, item) for item in held_out],
        len(table.classes),
        plan.photo_size,
    )
    trained = train(network, data, settings, Checkpoint(checkpoint, checkpoint_seconds, made_by), report)
    threads = f", threads {trained.threads}" if device.type == "cpu" else ""
    source = f"{made_by}; step {trained.step}{threads}"
    card = Card(network.architecture, table.classes, table.name, plan.photo_size, source, None)
    weights.save(out, trained.network, card)
    checkpoint.unlink(missing_ok=True)
    return (
        f"{out}: the best on {len(held_out)} held-out items was step {trained.step} of {settings.steps}, "
        f"class IoU {trained.class_iou:.3f}; the last had {trained.last_class_iou:.3f}"
    )


def _split(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Split items into those to learn from and those to hold out."""
    # By a hash of their ids, so that the split is the same whatever the order of files on a machine.
    count = max(1, len(items) // HELD_OUT)
    if len(items) < 2:
        raise UserError(f"found {len(items)} training items; expected 2 or more, to learn from and to hold out")
    shuffled = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    return shuffled[count:], shuffled[:count]


def _example(dataset: Dataset, item: Item) -> Example:
    def load() -> Loaded:
        sample = dataset.load(item, None)
        photo = sample.target if dataset.direction == LABELS_TO_PHOTO else sample.input
        assert sample.labels is not None, f"{dataset.name} has a label table, so its samples have labels"
        return Loaded(to_eight_bits(photo), sample.labels)

    return Example(item.id, lambda: item.id, load)


def _description(
    plan: ScorerPlan, dataset: Dataset, items: list[Item], settings: Settings, contents: Mapping[str, str] | None
) -> str:
    """Everything that determines the result of a training; without contents, as in older versions."""
    hashes = item_hash(items) if contents is None else f"{item_hash(items)}, contents {digest(contents)}"
    size = f"photos at {plan.photo_size}" if plan.photo_size is not None else "photos as they are"
    return (
        f"p2pbench fcn-train: {dataset.name}, {len(items)} items ({hashes}), from {plan.init}, "
        f"width {plan.width:g}, {size}, {plan.epochs} epochs of batch {plan.batch_size}, "
        f"rate {settings.learning_rate:g}, seed {plan.seed}"
    )


def _check_made(out: Path, made_by: str, made_by_older: str) -> None:
    """Refuse a file of another training; older versions recorded no hash of contents."""
    _, card = weights.load(out)
    if not card.source.startswith((f"{made_by};", f"{made_by_older};")):
        raise UserError(f"{out}: was made by {card.source!r}, not {made_by!r}; use another --out, or delete it")


def _first_network(plan: ScorerPlan, classes: int) -> FCN:
    network = FCN(FcnArchitecture(classes, plan.width, max(1, round(4096 * plan.width))))
    draw_weights(network, torch.Generator().manual_seed(plan.seed))
    if plan.init == SCRATCH:
        with_batch_norm(network)
    else:
        take_vgg16(network, _imagenet() if plan.init == VGG16 else _read_weights(Path(plan.init)))
    return network


def _imagenet() -> Mapping[str, Tensor]:
    """Torchvision's VGG-16 weights, downloaded once and cached."""
    try:
        state: Mapping[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or a damaged download
        raise UserError(
            f"{VGG16_Weights.IMAGENET1K_V1.url}: cannot be fetched ({error}); fetch it elsewhere and give --init FILE, "
            "or begin with --init scratch"
        ) from None
    return state


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    try:
        content = read(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path}: cannot be read ({reason(error, path)}); expected {SCRATCH}, {VGG16} or a .pth of VGG-16; {MEND}"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected the state dict of torchvision's vgg16")
    return content
