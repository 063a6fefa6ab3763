"""The scorer of the street scenes: trained when it is first needed, on scenes of its own, and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

import torch

from fcn import weights
from fcn.initial import draw_weights, with_batch_norm
from fcn.labels import CITYSCAPES
from fcn.network import FCN, Architecture
from fcn.scoring import Example, Loaded, Photo
from fcn.training import Progress, Settings, train
from fcn.weights import Card
from p2pbench.ablation.listener import Listener
from p2pbench.datasets.cache import cache_folder
from p2pbench.datasets.drawn import NATIVE_SIZE, Streets
from p2pbench.datasets.streets import Scene, draw_scene

FORMAT = 1  # raise it when the same settings train another scorer
SCENE_SEED = 2  # 0 and 1 are the scenes that generators are trained and tested on
SCENES, HELD_OUT = 1232, 32
PHOTO_SIZE = 64
ARCHITECTURE = Architecture(len(CITYSCAPES.classes), width=1 / 4, hidden=128, stride=4, padding="layers")
SETTINGS = Settings(steps=600, batch_size=8, learning_rate=8e-3, validate_every=300)
CHECKPOINT_SECONDS = 15.0
WORK = "scorer of the street scenes"


def streets_scorer(listener: Listener) -> Path:
    """The file of the scorer, which is trained now if nobody has done so before.

    Raises:
        FcnError: The cache cannot be written.
    """
    path = cache_folder() / f"fcn-streets-{_key()}.safetensors"
    with _alone(path.with_suffix(".lock")):
        if not path.exists():
            listener.say("training a scorer for the street scenes, once: about a minute")
            _train(path, listener)
    return path


def _train(path: Path, listener: Listener) -> None:
    examples = [_example(index, scene) for index, scene in enumerate(_scenes(listener))]
    network = FCN(ARCHITECTURE)
    draw_weights(network, torch.Generator().manual_seed(SETTINGS.seed))
    with_batch_norm(network)
    checkpoint = path.with_suffix(".checkpoint.pt")

    def hear(progress: Progress) -> None:
        listener.count(WORK, progress.step, progress.total)

    trained = train(
        network,
        len(CITYSCAPES.classes),
        PHOTO_SIZE,
        examples[HELD_OUT:],
        examples[:HELD_OUT],
        SETTINGS,
        path.stem,
        checkpoint,
        CHECKPOINT_SECONDS,
        hear,
    )
    source = f"p2pbench, {SCENES - HELD_OUT} street scenes, step {trained.step} of {SETTINGS.steps}"
    card = Card(ARCHITECTURE, CITYSCAPES.classes, CITYSCAPES.name, PHOTO_SIZE, source, None)
    weights.save(path, trained.network, card)
    checkpoint.unlink(missing_ok=True)


def _scenes(listener: Listener) -> Iterator[Scene]:
    """The scenes to learn from, drawn by as many processes as there are cores."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        drawn = pool.map(draw_scene, repeat(SCENE_SEED), range(SCENES), repeat(NATIVE_SIZE), chunksize=16)
        for done, scene in enumerate(drawn, 1):
            listener.count("street scenes drawn", done, SCENES)
            yield scene


def _example(index: int, scene: Scene) -> Example:
    labels = CITYSCAPES.to_indices(scene.labels)
    return Example(str(index), lambda: str(index), lambda: Loaded(Photo(scene.photo), labels))


def _key() -> str:
    """A name for what is trained: it changes whenever the scorer would."""
    content = [FORMAT, Streets.note, SCENES, HELD_OUT, PHOTO_SIZE, NATIVE_SIZE, asdict(ARCHITECTURE), asdict(SETTINGS)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock: who comes second waits, and finds the work done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
