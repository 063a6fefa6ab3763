"""FID and KID as scores of a run, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.metrics import distributions
from p2pbench.metrics.published import Missing
from reports.store import bootstrap
from reports.store.names import counted
from reports.store.scores import Metric, Scores

FID, KID = "fid", "kid"
ENOUGH = 2048  # items; with fewer, the covariance of 2048 features does not have full rank
FEWEST = 10  # items; with fewer, a bootstrap draw may consist of a single item
MOST = 10_000  # items of KID, whose kernel matrix has one number per pair of items: 0.8 GB
HALVES = 40  # each needs a matrix decomposition, which takes seconds with thousands of items


class ItemFeatures(NamedTuple):
    """Features of outputs and targets of the same items.

    Attributes:
        item_ids: The items, by row.
        outputs: Features (n, 2048) of the outputs.
        real: Features (n, 2048) of the targets.
        n_expected: The number of items in the split.
        protocol: The choices behind the features.
        clusters: Items that are drawn together, if any.
    """

    item_ids: Sequence[str]
    outputs: NDArray[np.float32]
    real: NDArray[np.float32]
    n_expected: int
    protocol: Mapping[str, object]
    clusters: ItemClusters | None = None


def score_fid(features: ItemFeatures) -> Scores:
    """Compute the FID of features.

    Raises:
        Missing: The items are too few.
    """
    item_ids, outputs, real, *_, clusters = features
    _check_enough("FID", len(item_ids))
    value, influence = distributions.fid(outputs, real), distributions.fid_influence(outputs, real)
    if clusters is None:
        variance = distributions.fid_variance(outputs, real, bootstrap.halves(item_ids, HALVES))
        metric = _metric(value, influence, variance, item_ids)
    else:
        metric = _clustered(value, influence, item_ids, clusters)
    warning = few_items_warning(len(item_ids))
    more = {
        "distance": "Frechet distance of Gaussians, covariances over n - 1",
        **_sampling(item_ids, f"influence of each item, second order by {HALVES} halves", clusters),
        **({"warning": warning} if warning else {}),
    }
    return _scores(FID, features, more, metric)


def score_kid(features: ItemFeatures) -> Scores:
    """Compute the KID of features.

    Raises:
        Missing: The items are too few or too many.
    """
    item_ids, outputs, real, *_, clusters = features
    _check_enough("KID", len(item_ids))
    if len(item_ids) > MOST:
        raise Missing(f"KID takes at most {MOST} items, found {len(item_ids)}; FID takes any number")
    value, influence = distributions.kid(outputs, real), distributions.kid_influence(outputs, real)
    if clusters is None:
        metric = _metric(value, influence, distributions.kid_variance(outputs, real), item_ids)
    else:
        metric = _clustered(value, influence, item_ids, clusters)
    more = {
        "distance": "squared MMD, unbiased for outputs beside their own targets (i = j in no term), kernel "
        "(x'y / 2048 + 1)^3, all items at once and no subsets",
        **_sampling(item_ids, "unbiased variance of a U-statistic", clusters),
    }
    return _scores(KID, features, more, metric)


def _scores(name: str, features: ItemFeatures, more: Mapping[str, object], metric: Metric) -> Scores:
    protocol = {**features.protocol, **more}
    return Scores(name, protocol, tuple(features.item_ids), features.n_expected, {name: metric})


def few_items_warning(n: int) -> str | None:
    """Warning about a FID of too few items.

    None where they are enough.
    """
    if n >= ENOUGH:
        return None
    items = counted(n, "item")
    return f"{items}: fewer than {ENOUGH} make FID too high; compare it only with a FID of {items}"


def _sampling(item_ids: Sequence[str], variance: str, clusters: ItemClusters | None) -> dict[str, object]:
    over = "items"
    if clusters is not None:
        over, variance = "clusters of items", "influence of each cluster, by bootstrap"
    said = {"n": len(item_ids), "interval": f"over {over}, each an output with its target; variance: {variance}"}
    return said | of_clusters(clusters, item_ids)


def _metric(value: float, influence: NDArray[np.float64], variance: float, item_ids: Sequence[str]) -> Metric:
    """Metric of a distance with replicates from the influence of each item, scaled to a variance.

    The distance of a bootstrap draw itself is biased: repeated items make it a sample of fewer distinct items.
    """
    draws = bootstrap.item_weights(item_ids) @ influence / len(item_ids)
    return Metric(value, bootstrap.scaled(draws, value, variance, len(item_ids)))


def _clustered(value: float, influence: NDArray[np.float64], item_ids: Sequence[str], clusters: ItemClusters) -> Metric:
    """Metric of a distance with replicates from the summed influences of each cluster's items.

    Draws of clusters differ in their number of items, on which FID depends; means of influences do not.
    """
    weights = weights_of(item_ids, clusters)
    return Metric(value, value + weights @ influence / weights.sum(axis=1))


def _check_enough(scorer: str, n: int) -> None:
    if n < FEWEST:
        raise Missing(f"{scorer} takes at least {FEWEST} items, found {n}; it is a distance of distributions")
