"""Scores of one scorer for one run: values, replicates, items, protocol."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reports.store import variance
from reports.store.bootstrap import ClusterCounts, Interval, clusters_of
from reports.store.errors import ReportError
from reports.store.metrics import STUDY, describe, describe_scorer
from reports.store.names import counted
from reports.store.variance import ScoreSample

_SCORER = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FAR, _ENOUGH_FAR, _FEWEST_TO_DOUBT = 10.0, 10, 8  # see `Scores.doubt`


@dataclass(frozen=True, eq=False)
class Metric:
    """One number about a run.

    Attributes:
        value: The metric over all scored items, finite; NaN if no item counts.
        replicates: Its bootstrap replicates (replicates,), made with `bootstrap.item_weights`, finite; all NaN where
            there is no interval.
        per_item: Its value for each item (n,), finite, or NaN where the item does not count, as an image that the
            official protocol drops; None if items have no values, as with a histogram of all items.
        ends: Its 95 % interval if given by another analysis, as that of a study; None if it follows from replicates.
        freedom: Degrees of freedom of the replicates' variance if given by another analysis, as that of a study with
            its raters and items; None for one less than there are items, or clusters.
    """

    value: float
    replicates: NDArray[np.floating]
    per_item: NDArray[np.floating] | None = None
    ends: Interval | None = None
    freedom: float | None = None


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one scorer for one run.

    If fewer than two items, or clusters, count, there is no interval: all replicates become NaN.

    Attributes:
        scorer: The scorer's name, of a-z, 0-9, _ and -, as in its file name.
        protocol: Every choice that changes a value: text, numbers, booleans, None, lists and mappings of them.
        item_ids: The n distinct scored items.
        n_expected: Number of items in the split, at least n.
        metrics: The metrics by name, all with the same number of replicates.
    """

    scorer: str
    protocol: Mapping[str, object]
    item_ids: tuple[str, ...]
    n_expected: int
    metrics: Mapping[str, Metric]

    def __post_init__(self) -> None:
        if self.units < 2:
            # One unit does not show how others would score.
            nothing = {name: np.full_like(each.replicates, np.nan) for name, each in self.metrics.items()}
            metrics = {name: replace(each, replicates=nothing[name], ends=None) for name, each in self.metrics.items()}
            object.__setattr__(self, "metrics", metrics)

    @property
    def n(self) -> int:
        """Number of scored items."""
        return len(self.item_ids)

    @cached_property
    def counted(self) -> int:
        """Number of items that count, by their own values if any."""
        left_out = self._left_out()
        return self.n if left_out is None else int((~left_out).sum())

    @cached_property
    def clusters(self) -> ClusterCounts | None:
        """Clusters that are drawn; None where single items are."""
        return clusters_of(self.protocol)

    @property
    def over(self) -> str:
        """Scope of the intervals, such as "items"."""
        return describe_scorer(self.scorer, self.protocol).over

    @property
    def units(self) -> int:
        """Number of units that are drawn: items, or clusters of them."""
        return self.counted if self.clusters is None else min(self.counted, self.clusters.n)

    @property
    def worth(self) -> float:
        """Effective number of units, fewer where clusters are unequal."""
        return float(self.units if self.clusters is None else min(self.units, self.clusters.effective))

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the protocol; only equal ones are comparable."""
        return fingerprint(self.protocol, self.scorer)

    def check(self) -> None:
        """Refuse inconsistent parts, or values that a file cannot hold.

        Raises:
            ValueError: They are; the message says what was found and expected.
        """
        distinct = len(set(self.item_ids))
        if not _SCORER.fullmatch(self.scorer):
            raise ValueError(f"found scorer {self.scorer!r}, expected a name of a-z, 0-9, _ and -")
        if not 1 <= self.n <= self.n_expected or distinct != self.n:
            raise ValueError(f"found {self.n} items, {distinct} distinct, expected 1 to {self.n_expected}, each once")
        if self.clusters is not None and self.clusters.n > self.n:
            raise ValueError(f"found {self.clusters.n} clusters of {self.n} items, expected at most as many")
        lengths = {metric.replicates.shape for metric in self.metrics.values()}
        if len(lengths) != 1 or min(lengths) <= (0,) or len(min(lengths)) != 1:
            raise ValueError(f"found metrics with replicates {sorted(lengths)}, expected one length for all, above 0")
        for name, metric in self.metrics.items():
            _check_metric(name, metric, self.item_ids, self._left_out())

    def interval(self, metric: str) -> Interval:
        """The 95 % interval of a metric for this training only.

        That of a fooling rate is over raters and items, as in the study's analysis.
        """
        given = self.metrics[metric].ends
        return given or variance.estimate(cell_sample([self], metric, trained=False)).interval

    def doubt(self, metric: str) -> str:
        """Reason why an interval of a metric cannot be trusted; else empty.

        A few items far from all others leave their frequency elsewhere unknown. A mean is in doubt where fewer than
        ten items lie more than ten interquartile ranges beyond the quartiles.
        """
        per_item = self.metrics[metric].per_item
        if per_item is None or self.counted < _FEWEST_TO_DOUBT or self.scorer.startswith(STUDY):
            return ""
        values = per_item[~np.isnan(per_item)]
        if not math.isclose(self.metrics[metric].value, values.mean(), rel_tol=1e-6, abs_tol=1e-12):
            return ""  # the metric is no mean over items
        low, high = np.percentile(values, [25, 75])  # quartiles are robust to the far items themselves
        reach = _FAR * (high - low)
        far = (per_item < low - reach) | (per_item > high + reach)
        count = int(far.sum())
        if not 0 < count < _ENOUGH_FAR:
            return ""
        first = self.item_ids[int(np.flatnonzero(far)[0])]
        return f"{count} of {counted(self.counted, 'item')} far from all others, such as {first}: no interval holds"

    def by_item(self, metric: str) -> dict[str, float]:
        """Values of the items that count, by id; may be empty."""
        per_item = self.metrics[metric].per_item
        values = () if per_item is None else zip(self.item_ids, per_item.tolist(), strict=True)
        return {item: value for item, value in values if not math.isnan(value)}

    def summary(self) -> dict[str, object]:
        """Summary for JSON, without replicates and items; null if undefined."""
        return {
            "scorer": self.scorer,
            "scorer_title": describe_scorer(self.scorer, self.protocol).title,
            "n": self.n,
            "n_expected": self.n_expected,
            "metrics": {name: null_if_nan(metric.value) for name, metric in self.metrics.items()},
            "intervals": {name: list(ends) if (ends := self.interval(name)).known else None for name in self.metrics},
            "intervals_over": self.over,
            "intervals_doubt": (self.clusters.doubt if self.clusters else "") or None,
            "fingerprint": self.fingerprint,
            "protocol": dict(self.protocol),
        }

    def _left_out(self) -> NDArray[np.bool_] | None:
        """Mask of items (n,) that do not count; None without item values."""
        known = (metric.per_item for metric in self.metrics.values() if metric.per_item is not None)
        return next((np.isnan(per_item) for per_item in known), None)


def cell_sample(runs: Sequence[Scores], metric: str, *, trained: bool) -> ScoreSample:
    """Sample of a cell's mean over runs, one per seed.

    Args:
        runs: At least one.
        metric: Its name.
        trained: False for pictures without a training, as the ground truth.
    """
    metrics = [run.metrics[metric] for run in runs]
    replicates = np.stack([each.replicates for each in metrics])
    if any(run.doubt(metric) for run in runs):
        replicates = np.full_like(replicates, np.nan)  # no interval
    info = describe(metric)
    values, freedoms = [each.value for each in metrics], [each.freedom for each in metrics]
    of_items = max(1.0, runs[0].worth - 1)  # of two clusters the larger may have all but a few items
    cell = variance.sample(values, replicates, runs[0].units, freedoms, of_items=of_items, trained=trained)
    return replace(cell, least=info.least, most=info.most)


def null_if_nan(value: float) -> float | None:
    """A number for JSON, null for NaN."""
    return None if math.isnan(value) else float(value)


def fingerprint(protocol: Mapping[str, object], scorer: str) -> str:
    """Short SHA-256 of a scorer's name and protocol as canonical JSON.

    Raises:
        ReportError: The protocol holds a value that JSON cannot, such as NaN or an array.
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


def _check_metric(name: str, metric: Metric, item_ids: tuple[str, ...], left_out: NDArray[np.bool_] | None) -> None:
    nothing = left_out is not None and bool(left_out.all())
    if not (math.isnan(metric.value) if nothing else math.isfinite(metric.value)):
        raise ValueError(f"found {name} = {metric.value}, expected {'none' if nothing else 'a finite number'}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        replicates = np.asarray(metric.replicates, np.float32)
    if not np.isfinite(replicates).all() and not np.isnan(replicates).all():
        raise ValueError(f"found a replicate of {name} that is not finite, expected numbers that fit in float32")
    if metric.freedom is not None and not metric.freedom > 0:
        raise ValueError(f"found {name} with {metric.freedom} degrees of freedom, expected above 0")
    if metric.ends is not None and metric.ends.known and not metric.ends.low <= metric.value <= metric.ends.high:
        raise ValueError(f"found {name} = {metric.value} in {list(metric.ends)}, expected it between the two")
    if metric.per_item is None or left_out is None:
        return
    if metric.per_item.shape != (len(item_ids),):
        raise ValueError(f"found {name} per item of shape {metric.per_item.shape}, expected ({len(item_ids)},)")
    for item, value, out in zip(item_ids, metric.per_item, left_out, strict=True):
        if not (math.isnan(value) if out else math.isfinite(value)):
            expected = "none, as of another metric" if out else "a finite number"
            raise ValueError(f"found {name} = {value} for item {item!r}, expected {expected}")
