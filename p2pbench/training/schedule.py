"""The learning rate of an epoch."""

from __future__ import annotations

from p2pbench.config import RunConfig


def learning_rate(config: RunConfig, epoch: int) -> float:
    """Constant, as in the released code, or falling in equal steps to 0 over the last `decay_epochs`.

    `epoch` counts from 0. The first decayed epoch is already below the full rate, and 0 would follow the last one.
    """
    if config.decay_epochs == 0:
        return config.learning_rate
    left = config.epochs - epoch
    return config.learning_rate * min(1.0, left / (config.decay_epochs + 1))
