"""All randomness of a run, counted instead of carried along.

Every draw has an address: the run's seed, a purpose, and a number such as the step or the epoch. Nothing depends on
what was drawn before, so a resumed run draws what an uninterrupted one does, and an item's dropout noise is its own.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a random stream is for."""

    WEIGHTS = 0
    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3
    TEST = 4


def stream(seed: int, purpose: Purpose, number: int = 0) -> np.random.Generator:
    """A numpy generator for one address."""
    return np.random.default_rng([seed, purpose, number])


def torch_seed(seed: int, purpose: Purpose, number: int = 0) -> int:
    """A seed for torch for one address."""
    return int(np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def default_generator(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from on a device.

    Seeding it takes a microsecond; `torch.manual_seed` seeds those of all devices, and where CUDA is not in use it
    keeps the caller's stack for a third of a millisecond.
    """
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generator: torch.Generator = torch.cuda.default_generators[index]
        return generator
    return torch.default_generator


def item_number(item_id: str) -> int:
    """An item's number, from its id alone: its noise is the same whatever other items there are."""
    return int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:8], "big")
