"""Training a scorer of one's own, on photos and labels; the test items have no part in it.

The published training is not documented. Ours: Adam, a rate that rises and falls once, cross entropy with rare classes
weighted up, mirrored images. The network that is kept is the one that was best on the validation items, by class IoU.
A stopped training goes on from its checkpoint and ends, on a CPU, with the weights of an uninterrupted one: it keeps
its number of threads, which changes how sums are rounded.
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

from fcn import protocol
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
    """How to train.

    Attributes:
        steps: Updates in all.
        batch_size: Images in each; their labels must be of one size when it is more than 1.
        learning_rate: Its highest value.
        validate_every: Steps between two looks at the validation items.
        seed: Of the order and of the mirroring.
    """

    steps: int
    batch_size: int
    learning_rate: float
    validate_every: int
    seed: int = 0


class FcnProgress(NamedTuple):
    """How far a training is, after a step.

    Attributes:
        step: Steps taken.
        total: Steps in all.
        loss: The last one.
        seconds_left: An estimate.
        validation: Scores on the validation items, where they were just computed; strict protocol.
    """

    step: int
    total: int
    loss: float
    seconds_left: float
    validation: protocol.FcnScores | None


Report = Callable[[FcnProgress], None]
"""Told after each step; what it raises stops the training, and all is saved."""


@dataclass
class _State:
    """What changes in a training."""

    network: FCN
    optimiser: torch.optim.Adam
    threads: int
    step: int = 0
    last: float = -1.0  # class IoU on the validation items
    best: float = -1.0
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None


class Trained(NamedTuple):
    """The network that was best on the validation items.

    Attributes:
        network: On the CPU, set to evaluate.
        step: The step it was of.
        class_iou: What it had on the validation items.
        last_class_iou: What the network of the last step had.
        threads: How many threads of a CPU trained it.
    """

    network: FCN
    step: int
    class_iou: float
    last_class_iou: float
    threads: int


def train(
    network: FCN,
    classes: int,
    photo_size: int | None,
    examples: Sequence[Example],
    validation: Sequence[Example],
    settings: Settings,
    made_by: str,
    checkpoint: Path,
    checkpoint_seconds: float,
    report: Report,
) -> Trained:
    """Train a network to its end, from its checkpoint if there is one.

    Args:
        network: With its first weights, on the device to train on; changed in place.
        classes: How many of its channels are classes.
        photo_size: The size rule; see `fcn.preprocessing.resized`.
        examples: What to learn from.
        validation: What to choose the best by, at least one.
        settings: How.
        made_by: All else that decides what comes out; a checkpoint goes on only under the same.
        checkpoint: Where the state is kept; it may be deleted at the end.
        checkpoint_seconds: How often it is saved; 0 saves after every step.
        report: Called after every step.

    Raises:
        FcnError: Nothing to learn from, labels beyond the classes or of several sizes in a batch, a loss that is not
            finite, or a checkpoint that is damaged or of other settings.
    """
    if not examples or not validation:
        raise FcnError(f"found {len(examples)} training and {len(validation)} validation items; expected some of each")
    device = network.score_fr.weight.device
    network.train().to(memory_format=torch.channels_last)
    fused = device.type in {"cpu", "cuda"}
    threads = torch.get_num_threads()
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate, BETAS, fused=fused)
    state = _State(network, optimiser, threads)
    if checkpoint.exists():
        _load(checkpoint, state, settings, made_by)
    learned, held_out = Decoded(examples, photo_size, classes), Decoded(validation, photo_size, classes)
    weights = class_weights(learned, network.architecture.channels).to(device)
    started, first = time.monotonic(), state.step
    saved = started
    complete = False  # whether the state is that of a step's end; in the middle of a step it would not go on as it was
    torch.set_num_threads(state.threads)
    try:
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
            if now - saved >= checkpoint_seconds:
                _save(checkpoint, state, settings, made_by)
                saved = time.monotonic()
    finally:
        torch.set_num_threads(threads)
        if complete:
            _save(checkpoint, state, settings, made_by)
    best = FCN(network.architecture)
    assert state.best_weights is not None, "the last step is validated"
    best.load_state_dict(state.best_weights)
    return Trained(best.eval(), state.best_step, state.best, state.last, state.threads)


def one_cycle(step: int, steps: int) -> float:
    """The share of the highest learning rate at a step: up on a line, down on a cosine to 0 (Smith, 2018)."""
    rise = max(1, round(RISING * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _step(state: _State, images: Tensor, labels: Tensor, weights: Tensor, rate: float) -> float:
    scores = state.network(images)
    # One row a pixel: the softmax over rows is several times faster than over channels of a crop.
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


def _validate(state: _State, validation: Decoded, classes: int) -> protocol.FcnScores:
    """Scores on the validation items; the weights are kept if they are the best so far."""
    network = folded(state.network)
    matrices = []
    for index in range(len(validation)):
        image, labels = validation.tensors(index, mirrored=False)
        prediction = segment(network, image)
        truth = labels[0].numpy().astype(np.uint8)
        matrices.append(confusion(truth, prediction, classes, network.architecture.channels))
    total = protocol.counted(np.stack(matrices), "strict").sum(axis=0)
    scores = protocol.scores(total, "strict")
    if math.isnan(scores.class_iou):
        raise FcnError(f"the {len(validation)} validation items have no labelled pixel; expected some to choose by")
    state.last = float(scores.class_iou)
    if state.last > state.best:
        state.best, state.best_step = state.last, state.step
        state.best_weights = {name: value.cpu() for name, value in network.state_dict().items()}
    return scores


def _save(path: Path, state: _State, settings: Settings, made_by: str) -> None:
    content = {
        "format": FORMAT,
        "settings": asdict(settings),
        "made_by": made_by,
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "threads": state.threads,
        "step": state.step,
        "last": state.last,
        "best": state.best,
        "best_step": state.best_step,
        "best_weights": state.best_weights,
    }
    with whole_file(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def _load(path: Path, state: _State, settings: Settings, made_by: str) -> None:
    try:
        content = read(path)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        for name, now in (("made_by", made_by), ("settings", asdict(settings))):
            if content[name] != now:
                raise FcnError(f"{path}: made with {content[name]}, not {now}; delete it to begin anew")
        state.network.load_state_dict(content["network"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.threads = content.get("threads", state.threads)  # older versions did not keep it
        state.step, state.last = content["step"], content["last"]
        state.best, state.best_step = content["best"], content["best_step"]
        state.best_weights = content["best_weights"]
    except UNREADABLE as error:
        raise FcnError(f"{path}: no checkpoint that fits ({reason(error)}); delete it to begin anew") from error
