"""Segmentation networks of datasets; the street scenes' is trained on demand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from fcn import weights
from fcn.labels import CITYSCAPES
from fcn.network import FCN, FcnArchitecture, draw_weights, with_batch_norm
from fcn.preprocessing import MEAN_BGR
from fcn.scoring import Example, Loaded, ScoringNetwork
from fcn.segmenting import settled
from fcn.training import Checkpoint, FcnProgress, Settings, TrainingSet, train
from fcn.weights import Card
from p2pbench.datasets.contents import cache_folder
from p2pbench.datasets.labelled import NATIVE_SIZE, Streets
from p2pbench.datasets.streets.scene import draw_scene
from p2pbench.errors import UserError
from p2pbench.runtime.files import locked
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.truth import Truth


def open_network(truth: Truth, path: Path | None, device: torch.device, reporter: ProgressReporter) -> ScoringNetwork:
    """Open the scorer in a file; None opens the street scenes'.

    Raises:
        UserError: No file is given and the dataset needs one, or the file's scorer knows other labels.
        FcnError: The file is no scorer's.
    """
    if path is None:
        if not isinstance(truth.dataset, Streets):
            raise UserError(f"{no_weights(truth.dataset.name)}. Give it as --weights FILE")
        path = streets_network(reporter)
    network, card = weights.load(path)
    if (card.labels, card.classes) != (truth.table.name, truth.table.classes):
        raise UserError(
            f"{path}: this scorer was trained for {card.labels} ({len(card.classes)} classes); expected one for "
            f"{truth.table.name} ({len(truth.table.classes)} classes), as {truth.dataset.name} has them"
        )
    return ScoringNetwork(settled(network, device), card, weights.digest(path))


def network_protocol(scorer: ScoringNetwork) -> dict[str, object]:
    """Every choice of the segmentation that changes a score."""
    card, network = scorer.card, scorer.card.architecture
    size = f"to {card.photo_size}x{card.photo_size}, then " if card.photo_size is not None else ""
    return {
        "weights": scorer.digest,
        "weights_source": card.source,
        "network": f"FCN-{network.stride}s, {network.channels} channels for {len(card.classes)} classes, "
        f"width {network.width:g}, padded {network.padding}",
        "segmented_at": f"{size}to the label's size: Pillow {version('pillow')}, bilinear on 8 bits; labels untouched",
        "input": f"BGR less {MEAN_BGR}, float32",
        "labels": card.labels,
    }


def no_weights(dataset: str) -> str:
    """Message for datasets without a scorer."""
    return (
        f"dataset {dataset} needs a scorer's file. Three ways to get one: for Cityscapes import the published "
        "weights (p2pbench fcn-import fcn-8s-cityscapes.caffemodel fcn8s.safetensors); train your own "
        f"(p2pbench fcn-train --dataset {dataset} --root DIR --out FILE); or use one that someone else imported or "
        "trained"
    )


FORMAT = 1  # raise it when the same settings train another scorer
SCENE_SEED = 2  # 0 and 1 are the scenes that generators are trained and tested on
SCENES, HELD_OUT = 1232, 32
PHOTO_SIZE = 64
ARCHITECTURE = FcnArchitecture(len(CITYSCAPES.classes), width=1 / 4, hidden=128, stride=4, padding="layers")
SETTINGS = Settings(steps=600, batch_size=8, learning_rate=8e-3, validate_every=300)
CHECKPOINT_SECONDS = 15.0
WORK = "scorer of the street scenes"


def streets_network(reporter: ProgressReporter) -> Path:
    """Path of the street scenes' scorer, which is trained on first use.

    Raises:
        FcnError: The cache cannot be written.
    """
    path = cache_folder() / f"fcn-streets-{_key()}.safetensors"
    with locked(path.with_suffix(".lock")):  # who comes second waits, and finds the scorer trained
        if not path.exists():
            reporter.say("training a scorer for the street scenes, once: about a minute")
            _train(path, reporter)
    return path


def _train(path: Path, reporter: ProgressReporter) -> None:
    examples = [_example(index) for index in range(SCENES)]
    network = FCN(ARCHITECTURE)
    draw_weights(network, torch.Generator().manual_seed(SETTINGS.seed))
    with_batch_norm(network)
    checkpoint = path.with_suffix(".checkpoint.pt")
    data = TrainingSet(examples[HELD_OUT:], examples[:HELD_OUT], len(CITYSCAPES.classes), PHOTO_SIZE)

    def report(progress: FcnProgress) -> None:
        reporter.count(WORK, progress.step, progress.total)

    trained = train(network, data, SETTINGS, Checkpoint(checkpoint, CHECKPOINT_SECONDS, path.stem), report)
    source = f"p2pbench, {SCENES - HELD_OUT} street scenes, step {trained.step} of {SETTINGS.steps}"
    card = Card(ARCHITECTURE, CITYSCAPES.classes, CITYSCAPES.name, PHOTO_SIZE, source, None)
    weights.save(path, trained.network, card)
    checkpoint.unlink(missing_ok=True)


def _example(index: int) -> Example:
    """A scene, drawn by the threads that read ahead when training first needs it.

    Not by processes: those of a call from Python would run the caller's script again.
    """

    def load() -> Loaded:
        scene = draw_scene(SCENE_SEED, index, NATIVE_SIZE)
        return Loaded(scene.photo, CITYSCAPES.to_indices(scene.labels))

    return Example(str(index), lambda: str(index), load)


def _key() -> str:
    """A name for what is trained: it changes whenever the scorer would."""
    content = [FORMAT, Streets.note, SCENES, HELD_OUT, PHOTO_SIZE, NATIVE_SIZE, asdict(ARCHITECTURE), asdict(SETTINGS)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
