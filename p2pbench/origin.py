"""Where a run's outputs come from, for the protocols of its scores."""

from __future__ import annotations

from p2pbench.datasets.catalogue import DATASETS
from p2pbench.results import read_run
from reports.layout import Run


def origin(run: Run) -> dict[str, object]:
    """How a run's outputs were made, as far as it changes a score."""
    record = read_run(run)
    config, test = record.settings, record.data["test"]
    return {
        "data": f"{config.dataset}, {test['n']} test items ({test['hash']})",
        "data_note": DATASETS[config.dataset].note,
        "image_size": config.image_size,
        "resizing": "Pillow bilinear; labels nearest neighbour",
        "test_dropout": config.test_dropout,
        "test_batch_norm": config.test_batch_norm,
    }
