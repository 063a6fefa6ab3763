"""Counter-based randomness of a run.

Every draw has an address: the run's seed, a purpose, and a counter such as the step or the epoch. No draw depends on
earlier ones, so a resumed run draws the same as an uninterrupted one, and each item has its own dropout noise.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """Purpose of a random stream."""

    WEIGHTS = 0
    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3
    TEST = 4


def stream(seed: int, purpose: Purpose, counter: int = 0) -> np.random.Generator:
    """Make numpy's generator of an address."""
    return np.random.default_rng([seed, purpose, counter])


def torch_seed(seed: int, purpose: Purpose, counter: int = 0) -> int:
    """Compute torch's seed of an address."""
    # SeedSequence hashes the address, so neighbouring steps get unrelated seeds. Shifted by a bit, to fit a signed
    # integer of 64 bits.
    return int(np.random.SeedSequence([seed, purpose, counter]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def default_generator(device: torch.device) -> torch.Generator:
    """Random generator of a device, which dropout draws from.

    Seeding it takes a microsecond; `torch.manual_seed` seeds those of all devices, and where CUDA is not in use it
    keeps the caller's stack for a third of a millisecond.
    """
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generator: torch.Generator = torch.cuda.default_generators[index]
        return generator
    return torch.default_generator


def item_number(item_id: str) -> int:
    """Counter of an item, from its id alone.

    So its noise does not depend on other items.
    """
    # Not Python's hash(), which differs between processes.
    return int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:8], "big")
