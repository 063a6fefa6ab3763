"""The settings of `p2pbench quickstart`: the losses ablation on the embedded street scenes, in minutes."""

from __future__ import annotations

from typing import Any

GRID = "losses"
SETTINGS: dict[str, Any] = {
    "dataset": "streets",
    "image_size": 64,
    "ngf": 16,
    "ndf": 32,
    "receptive_field": 34,
    "batch_size": 4,
    "epochs": 20,
    "learning_rate": 3e-4,
    "threads": 1,
}
