"""Training of a scorer on photos and labels.

Test items have no part in it.

The published training is not documented. Ours: Adam, a one-cycle learning rate, cross entropy with rare classes
weighted up, mirrored images. The network with the best class IoU on the validation items is kept. A stopped training
resumes from its checkpoint and ends, on a CPU, with the weights of an uninterrupted one: it keeps its number of
threads, which changes how sums are rounded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fcn import score_protocols
from fcn.confusion import confusion, whole_file
from fcn.errors import FcnError
from fcn.labels import IGNORE
from fcn.network import FCN, folded
from fcn.scoring import Example
from fcn.segmenting import segment
from fcn.training_batches import Decoded, batches, class_weights
from fcn.weights import UNREADABLE, read, reason

FORMAT = 1
RISING = 0.1  # share of the steps in which the rate rises
BETAS = (0.9, 0.95)  # in a training of some hundred steps, moments over a thousand never settle


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        steps: Number of updates.
        batch_size: Images per update; their labels must have one size if it is more than 1.
        learning_rate: Highest value of the rate.
        validate_every: Steps between two validations.
        seed: Of the order and of the mirroring.
    """

    steps: int
    batch_size: int
    learning_rate: float
    validate_every: int
    seed: int = 0


class TrainingSet(NamedTuple):
    """Examples of a training.

    Attributes:
        examples: Items to learn from.
        validation: Items to choose the best network by, at least one.
        classes: Number of the network's channels that are classes.
        photo_size: The size rule; see `fcn.preprocessing.resized`.
    """

    examples: Sequence[Example]
    validation: Sequence[Example]
    classes: int
    photo_size: int | None


class Checkpoint(NamedTuple):
    """File that holds the state of a training.

    It may be deleted at the end.

    Attributes:
        path: Of the file.
        seconds: Time between saves; 0 saves after every step.
        made_by: Everything beside the settings that decides the result; a training resumes only under the same.
    """

    path: Path
    seconds: float
    made_by: str


class FcnProgress(NamedTuple):
    """Progress of a training after a step.

    Attributes:
        step: Steps taken.
        total: Steps of the whole training.
        loss: Of the last step.
        seconds_left: An estimate.
        validation: Scores on the validation items by the strict protocol, if they were just computed.
    """

    step: int
    total: int
    loss: float
    seconds_left: float
    validation: score_protocols.FcnScores | None


@dataclass
class _State:
    """Mutable state of a training."""

    network: FCN
    optimiser: torch.optim.Adam
    threads: int
    step: int = 0
    last: float = -1.0  # class IoU on the validation items
    best: float = -1.0
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None


class TrainedFcn(NamedTuple):
    """Best network on the validation items.

    Attributes:
        network: On the CPU, in evaluation mode.
        step: Of its weights.
        class_iou: On the validation items.
        last_class_iou: The same of the network after the last step.
        threads: Number of CPU threads that trained it.
    """

    network: FCN
    step: int
    class_iou: float
    last_class_iou: float
    threads: int


def train(
    network: FCN,
    data: TrainingSet,
    settings: Settings,
    checkpoint: Checkpoint,
    report: Callable[[FcnProgress], None],
) -> TrainedFcn:
    """Train a network to its end, from its last checkpoint.

    Args:
        network: With its first weights, on the device to train on; changed in place.
        data: Examples to learn from and to validate on.
        settings: Of the training.
        checkpoint: Where and how often the state is saved.
        report: Called after each step; an exception that it raises stops the training, with the state saved.

    Raises:
        FcnError: Nothing to learn from, labels beyond the classes or of several sizes in a batch, a loss that is not
            finite, or a checkpoint that is damaged or of other settings.
    """
    examples, validation, classes, photo_size = data
    if not examples or not validation:
        raise FcnError(f"found {len(examples)} training and {len(validation)} validation items; expected some of each")
    device = network.score_fr.weight.device
    network.train().to(memory_format=torch.channels_last)
    fused = device.type in {"cpu", "cuda"}
    threads = torch.get_num_threads()
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate, BETAS, fused=fused)
    state = _State(network, optimiser, threads)
    if checkpoint.path.exists():
        _load(checkpoint, state, settings)
    learned, held_out = Decoded(examples, photo_size, classes), Decoded(validation, photo_size, classes)
    weights = class_weights(learned, network.architecture.channels).to(device)
    started, first = time.monotonic(), state.step
    saved_at = started
    # Whether the state is that after a whole step: saved within one, a resumed training would differ.
    complete = False
    torch.set_num_threads(state.threads)
    try:
        # A stopped training continues at its step: order and mirroring depend on the step alone.
        for images, labels in batches(learned, settings.batch_size, settings.seed, state.step, settings.steps):
            complete = False
            rate = settings.learning_rate * one_cycle(state.step, settings.steps)
            loss = _step(state, images.to(device), labels.to(device), weights, rate)
            state.step += 1
            scores = None
            if state.step % settings.validate_every == 0 or state.step == settings.steps:
                scores = _validate(state, held_out, classes)
            complete = True
            now = time.monotonic()
            left = (now - started) / (state.step - first) * (settings.steps - state.step)
            report(FcnProgress(state.step, settings.steps, loss, left, scores))
            if now - saved_at >= checkpoint.seconds:
                _save(checkpoint, state, settings)
                saved_at = time.monotonic()
    finally:
        torch.set_num_threads(threads)
        if complete:
            _save(checkpoint, state, settings)
    best = FCN(network.architecture)
    assert state.best_weights is not None, "the last step is validated"
    best.load_state_dict(state.best_weights)
    return TrainedFcn(best.eval(), state.best_step, state.best, state.last, state.threads)


def one_cycle(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step (Smith, 2018).

    A linear rise, then a cosine fall to 0.
    """
    rise = max(1, round(RISING * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _step(state: _State, images: Tensor, labels: Tensor, weights: Tensor, rate: float) -> float:
    scores = state.network(images)
    # One row per pixel: the softmax over rows is several times faster than over channels of a crop.
    rows = scores.permute(0, 2, 3, 1).reshape(-1, scores.shape[1])
    loss = functional.cross_entropy(rows, labels.reshape(-1), weights, ignore_index=IGNORE)
    value = loss.item()
    if not math.isfinite(value):
        raise FcnError(
            f"the loss is {value} at step {state.step + 1}; stopped before the update. Lower the learning rate, or "
            "look at the labels: a batch without a single labelled pixel has no loss. A checkpoint keeps its rate: "
            "delete it first, if there is one"
        )
    state.optimiser.zero_grad()
    loss.backward()
    state.optimiser.param_groups[0]["lr"] = rate
    state.optimiser.step()
    return value


def _validate(state: _State, validation: Decoded, classes: int) -> score_protocols.FcnScores:
    """Score the validation items, and keep the weights if they are the best so far."""
    # Folded, as it would be saved: the scores are those of the file.
    network = folded(state.network)
    matrices = []
    for index in range(len(validation)):
        image, labels = validation.tensors(index, mirrored=False)
        prediction = segment(network, image)
        truth = labels[0].numpy().astype(np.uint8)
        matrices.append(confusion(truth, prediction, classes, network.architecture.channels))
    total = score_protocols.counted(np.stack(matrices), "strict").sum(axis=0)
    scores = score_protocols.scores(total, "strict")
    if math.isnan(scores.class_iou):
        raise FcnError(f"the {len(validation)} validation items have no labelled pixel; expected some to choose by")
    state.last = float(scores.class_iou)
    if state.last > state.best:
        state.best, state.best_step = state.last, state.step
        state.best_weights = {name: value.cpu() for name, value in network.state_dict().items()}
    return scores


def _save(checkpoint: Checkpoint, state: _State, settings: Settings) -> None:
    content = {
        "format": FORMAT,
        "settings": asdict(settings),
        "made_by": checkpoint.made_by,
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "threads": state.threads,
        "step": state.step,
        "last": state.last,
        "best": state.best,
        "best_step": state.best_step,
        "best_weights": state.best_weights,
    }
    with whole_file(checkpoint.path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def _load(checkpoint: Checkpoint, state: _State, settings: Settings) -> None:
    path = checkpoint.path
    try:
        content = read(path)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        for name, now in (("made_by", checkpoint.made_by), ("settings", asdict(settings))):
            if content[name] != now:
                raise FcnError(f"{path}: made with {content[name]}, not {now}; delete it to begin anew")
        state.network.load_state_dict(content["network"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.threads = content.get("threads", state.threads)  # older versions did not keep it
        state.step, state.last = content["step"], content["last"]
        state.best, state.best_step = content["best"], content["best_step"]
        state.best_weights = content["best_weights"]
    except UNREADABLE as error:
        raise FcnError(f"{path}: no checkpoint that fits ({reason(error, path)}); delete it to begin anew") from error
