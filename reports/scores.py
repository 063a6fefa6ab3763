"""What one scorer says about one run: values, replicates, items and the protocol that made them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reports import bootstrap
from reports.bootstrap import Interval
from reports.errors import ReportError

_SCORER = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, eq=False)
class Metric:
    """One number about a run.

    Attributes:
        value: The metric over all scored items, finite.
        replicates: Its bootstrap replicates (replicates,), made with `bootstrap.item_weights`, finite.
        per_item: Its value for each item (n,), finite; None where an item has none, as with a histogram of them all.
    """

    value: float
    replicates: NDArray[np.floating]
    per_item: NDArray[np.floating] | None = None

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval over items."""
        return bootstrap.interval(self.replicates)


@dataclass(frozen=True, eq=False)
class Scores:
    """What one scorer says about one run.

    Attributes:
        scorer: The scorer's name, of a-z, 0-9, _ and -, as in its file name.
        protocol: Every choice that changes a value: text, numbers, booleans, None, lists and mappings of them.
        item_ids: The n items that were scored, each once.
        n_expected: How many items the split has, at least n.
        metrics: The metrics by name, all with the same number of replicates.
    """

    scorer: str
    protocol: Mapping[str, object]
    item_ids: tuple[str, ...]
    n_expected: int
    metrics: Mapping[str, Metric]

    @property
    def n(self) -> int:
        """How many items were scored."""
        return len(self.item_ids)

    @cached_property
    def fingerprint(self) -> str:
        """The short name of the protocol: scores are compared only where it is the same."""
        return fingerprint(self.protocol, self.scorer)

    def check(self) -> None:
        """Refuse parts that do not fit together, or values that a file cannot hold.

        Raises:
            ValueError: What was found, and what was expected.
        """
        distinct = len(set(self.item_ids))
        if not _SCORER.fullmatch(self.scorer):
            raise ValueError(f"found scorer {self.scorer!r}, expected a name of a-z, 0-9, _ and -")
        if not 1 <= self.n <= self.n_expected or distinct != self.n:
            raise ValueError(f"found {self.n} items, {distinct} distinct, expected 1 to {self.n_expected}, each once")
        lengths = {metric.replicates.shape for metric in self.metrics.values()}
        if len(lengths) != 1 or min(lengths) <= (0,) or len(min(lengths)) != 1:
            raise ValueError(f"found metrics with replicates {sorted(lengths)}, expected one length for all, above 0")
        for name, metric in self.metrics.items():
            _check_metric(name, metric, self.item_ids)


def fingerprint(protocol: Mapping[str, object], scorer: str) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a scorer's name and its protocol, as canonical JSON.

    Raises:
        ReportError: The protocol holds something that JSON cannot, such as NaN or an array.
    """
    try:
        canonical = json.dumps(
            {"protocol": dict(protocol), "scorer": scorer}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ReportError(
            f"protocol of scorer {scorer!r}: {error}; expected text, finite numbers, booleans, lists and mappings"
        ) from error
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _check_metric(name: str, metric: Metric, item_ids: tuple[str, ...]) -> None:
    if not math.isfinite(metric.value):
        raise ValueError(f"found {name} = {metric.value}, expected a finite number")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        finite = np.isfinite(np.asarray(metric.replicates, np.float32)).all()
    if not finite:
        raise ValueError(f"found a replicate of {name} that is not finite, expected numbers that fit in float32")
    if metric.per_item is None:
        return
    if metric.per_item.shape != (len(item_ids),):
        raise ValueError(f"found {name} per item of shape {metric.per_item.shape}, expected ({len(item_ids)},)")
    for item, value in zip(item_ids, metric.per_item, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"found {name} = {value} for item {item!r}, expected a finite number")
