"""An analysis as plain dicts and lists, for JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

if TYPE_CHECKING:
    from amt.statistics.analysis import Analysis

FORMAT = 3  # 2: the learning curve of each algorithm; 3: claims and pairs over raters and items by components


def document(analysis: Analysis) -> dict[str, object]:
    """All of an analysis at full precision; what is undefined is None.

    The fields are those of the classes in `analysis`, with two more: the format's version, and the protocol's
    fingerprint beside its settings.
    """
    fields = {field.name: plain(getattr(analysis, field.name)) for field in dataclasses.fields(analysis)}
    return {"format": FORMAT, "fingerprint": analysis.protocol.fingerprint} | fields


def plain(value: object) -> object:
    """A value in types that JSON has; named tuples and dataclasses become dicts."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(each) for name, each in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
