"""A trained generator applied to a folder of pictures of any size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.dataset import LABELS_TO_PHOTO, Dataset, LabelledPhotos
from p2pbench.datasets.train_ids import refuse_train_ids
from p2pbench.errors import UserError
from p2pbench.networks.norm import BatchNormMode
from p2pbench.training.card import GeneratorCard, load_generator
from p2pbench.training.generate import Translator
from reports import atomic

RECORD = "generation.json"


def translate_folder(
    generator_file: Path,
    inputs: Path,
    out: Path,
    device: torch.device,
    advance: Callable[[int, int], None],
    *,
    dropout: bool | None = None,
    batch_norm: BatchNormMode | None = None,
    seed: int | None = None,
) -> int:
    """Make a picture of every picture in a folder and those below it, at its own size; how many there are.

    Sides are mirrored up to multiples of the generator's stride and cut back afterwards, so that the aspect is kept;
    batch statistics are each picture's own. What made the pictures is recorded in `generation.json` beside them.

    Args:
        generator_file: a `generator.safetensors`, or the folder of a finished run.
        inputs: the folder of pictures.
        out: the folder to write to, one lossless picture an input, under its name.
        device: what computes.
        advance: called with the number of pictures done and of all.
        dropout: on or off; None takes what the run was tested with.
        batch_norm: "batch" or "running" statistics; None takes what the run was tested with.
        seed: of the dropout noise; None takes the run's.

    Raises:
        UserError: the generator or a picture cannot be used, or there are no pictures.
    """
    if generator_file.is_dir():
        generator_file /= "generator.safetensors"
    generator, card = load_generator(generator_file)
    changed = {"test_dropout": dropout, "test_batch_norm": batch_norm, "seed": seed}
    card = card.model_copy(update={key: value for key, value in changed.items() if value is not None})
    if not inputs.is_dir():
        raise UserError(f"{inputs}: no such folder; expected a folder of pictures")
    found = pictures.find_recursive(inputs)
    if not found:
        raise UserError(f"{inputs}: found no pictures; expected PNG, JPEG or TIFF files in it or below it")
    dataset = bare_dataset(card)
    if isinstance(dataset, LabelledPhotos) and dataset.direction == LABELS_TO_PHOTO:
        refuse_train_ids(dataset.table, list(found.values()))
    with Translator(generator.to(device), card, dataset).open() as translate:
        for done, (id_, path) in enumerate(found.items(), 1):
            values = pictures.convert(dataset.from_picture(pictures.read(path)), card.architecture.input_channels, path)
            pictures.write(out / id_, translate(values, id_))
            advance(done, len(found))
    record = {
        "generator": generator_file.name,
        "sha256": hashlib.sha256(generator_file.read_bytes()).hexdigest(),
        "padding": "mirrored at the right and lower edge up to the stride, cut off afterwards",
        "pictures": len(found),
        "card": card.model_dump(mode="json"),
    }
    atomic.write(out / RECORD, json.dumps(record, indent=1).encode() + b"\n")
    return len(found)


def bare_dataset(card: GeneratorCard) -> Dataset:
    """The dataset that a generator was trained on, without its files: how it makes inputs and keeps outputs.

    Raises:
        UserError: the card names a dataset that this version does not know.
    """
    if card.dataset not in DATASETS:
        raise UserError(f"the generator was trained on dataset '{card.dataset}', which this version does not know")
    return DATASETS[card.dataset](None, card.direction, files=False)
