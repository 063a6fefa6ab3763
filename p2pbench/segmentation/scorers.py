"""Which network scores which dataset."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from fcn import weights
from fcn.preprocessing import MEAN_BGR
from fcn.scoring import Scorer
from fcn.segmenting import settled
from p2pbench.ablation.listener import Listener
from p2pbench.datasets.drawn import Streets
from p2pbench.errors import UserError
from p2pbench.segmentation.streets_scorer import streets_scorer
from p2pbench.segmentation.truth import Truth


def open_scorer(truth: Truth, path: Path | None, device: torch.device, listener: Listener) -> Scorer:
    """The scorer in a file; without a file that of the street scenes, which needs none.

    Raises:
        UserError: No file is given and the dataset needs one, or the file's scorer knows other labels.
        FcnError: The file is no scorer's.
    """
    if path is None:
        if not isinstance(truth.dataset, Streets):
            raise UserError(f"{no_weights(truth.dataset.name)}. Give it as --weights FILE")
        path = streets_scorer(listener)
    network, card = weights.load(path)
    if (card.labels, card.classes) != (truth.table.name, truth.table.classes):
        raise UserError(
            f"{path}: this scorer was trained for {card.labels} ({len(card.classes)} classes); expected one for "
            f"{truth.table.name} ({len(truth.table.classes)} classes), as {truth.dataset.name} has them"
        )
    return Scorer(settled(network, device), card, weights.digest(path))


def scorer_protocol(scorer: Scorer) -> dict[str, object]:
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
    """What to do where a dataset has no scorer."""
    return (
        f"dataset {dataset} needs a scorer's file. Three ways to get one: for Cityscapes take over the published "
        "weights (p2pbench fcn-import fcn-8s-cityscapes.caffemodel fcn8s.safetensors); train your own "
        f"(p2pbench fcn-train --dataset {dataset} --root DIR --out FILE); or use one that someone else imported or "
        "trained"
    )
