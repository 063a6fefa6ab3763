"""Sessions written by hand, as rows of the table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amt.statistics import table

Row = dict[str, object]
OTHER = {"left": "right", "right": "left"}


def session(
    name: str,
    fooled: Sequence[int | None],
    algorithm: str = "a",
    items: Sequence[str] | None = None,
    **changes: object,
) -> list[Row]:
    """The scored trials of one session: fakes right and left in turn, all well timed, None for no answer."""
    rows = []
    for number, outcome in enumerate(fooled, 1):
        fake = "left" if number % 2 == 0 else "right"
        item = items[number - 1] if items else f"item {number}"
        row: Row = {
            "study": "toy",
            "algorithm": algorithm,
            "rater": f"rater of {name}",
            "session": name,
            "state": "completed",
            "phase": "scored",
            "trial": number,
            "item": item,
            "real_item": item,
            "fake_side": fake,
            "choice": None if outcome is None else OTHER[fake] if outcome else fake,
            "fooled": outcome,
            "response_ms": None if outcome is None else 500.0,
            "frame_ms": 10.0,
            "left_ms": 1000.0,
            "right_ms": 1000.0,
            "answered_at": None if outcome is None else "2026-10-01T10:00:00+00:00",
        }
        rows.append(row | changes)
    return rows


def drawn(algorithm: str, raters: int, trials: int, items: int, rate: float, rng: np.random.Generator) -> list[Row]:
    """Sessions of raters who each see some of the items, once each, and are fooled more or less often."""
    rows = []
    for number in range(raters):
        own = np.clip(rate + rng.normal(0, 0.1), 0.02, 0.98)
        seen = [f"item {item}" for item in rng.permutation(items)[:trials]]
        rows += session(f"{algorithm}{number}", (rng.random(trials) < own).astype(int).tolist(), algorithm, seen)
    return rows


def put(answers: pd.DataFrame, path: Path) -> None:
    """Write a table of answers as an export has it."""
    path.write_text(table.text(answers), "utf-8", newline="")


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as they are, unchecked."""
    return pd.DataFrame(list(rows))
