"""What the paper reports in the tables that are scored by label maps, under the names of our cells."""

from __future__ import annotations

from typing import NamedTuple

from reports.layout import REAL


class PaperScores(NamedTuple):
    """A row of a table of the paper, as printed there to two digits."""

    pixel_accuracy: float
    class_accuracy: float
    class_iou: float


# Cityscapes labels -> photo, scored by the FCN; Table 6 is photo -> labels, scored by colours.
GROUND_TRUTH = PaperScores(0.80, 0.26, 0.21)
FCN_TABLES: dict[str, dict[str, PaperScores]] = {
    "Table 1": {
        "L1": PaperScores(0.42, 0.15, 0.11),
        "GAN": PaperScores(0.22, 0.05, 0.01),
        "cGAN": PaperScores(0.57, 0.22, 0.16),
        "L1+GAN": PaperScores(0.64, 0.20, 0.15),
        "L1+cGAN": PaperScores(0.66, 0.23, 0.17),
        REAL: GROUND_TRUTH,
    },
    "Table 2": {
        "encoder-decoder L1": PaperScores(0.35, 0.12, 0.08),
        "encoder-decoder L1+cGAN": PaperScores(0.29, 0.09, 0.05),
        "U-Net L1": PaperScores(0.48, 0.18, 0.13),
        "U-Net L1+cGAN": PaperScores(0.55, 0.20, 0.14),
    },
    "Table 3": {
        "1x1": PaperScores(0.39, 0.15, 0.10),
        "16x16": PaperScores(0.65, 0.21, 0.17),
        "70x70": PaperScores(0.66, 0.23, 0.17),
        "286x286": PaperScores(0.42, 0.16, 0.11),
    },
}
LABEL_TABLES: dict[str, dict[str, PaperScores]] = {
    "Table 6": {
        "L1": PaperScores(0.86, 0.42, 0.35),
        "cGAN": PaperScores(0.74, 0.28, 0.22),
        "L1+cGAN": PaperScores(0.83, 0.36, 0.29),
    },
}


def paper_row(tables: dict[str, dict[str, PaperScores]], source: str, cell: str) -> PaperScores | None:
    """The paper's row of a cell's name: of the table that the grid's source names, else of the first that has it."""
    named = [rows for title, rows in tables.items() if title in source]
    return next((rows[cell] for rows in [*named, *tables.values()] if cell in rows), None)
