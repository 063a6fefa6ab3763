"""FID and KID of a run as scores: of all its outputs against all real pictures, with what few items do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from p2pbench.metrics import fid, kid
from p2pbench.metrics.missing import Missing
from reports import bootstrap
from reports.names import counted
from reports.scores import Metric, Scores

FID, KID = "fid", "kid"
ENOUGH = 2048  # items; of fewer, the covariance of 2048 features has not even full rank
FEWEST = 10  # items; of fewer, a draw may well hold a single item again and again
MOST = 10_000  # items of KID, whose kernels hold a number for each pair of them: 0.8 GB
FID_REPLICATES = 100  # each costs a decomposition: seconds where items are thousands
KID_REPLICATES = 1000

Features = NDArray[np.float32]


def score_fid(
    item_ids: Sequence[str], outputs: Features, real: Features, n_expected: int, protocol: Mapping[str, object]
) -> Scores:
    """The FID of features (n, 2048) of the same items.

    Args:
        item_ids: the items, by row.
        outputs: what the network saw in the outputs.
        real: what it saw in the targets.
        n_expected: how many items the split has.
        protocol: how the features were made.

    Raises:
        Missing: the items are too few.
    """
    _check_enough("FID", len(item_ids))
    draws = fid.replicates(outputs, real, bootstrap.item_weights(item_ids, FID_REPLICATES))
    metric = Metric(value := fid.fid(outputs, real), _around(value, draws))
    said = warning(len(item_ids))
    more = {
        "distance": "Frechet distance of Gaussians, covariances over n - 1",
        **_sampling(len(item_ids), len(draws)),
        **({"warning": said} if said else {}),
    }
    return Scores(FID, {**protocol, **more}, tuple(item_ids), n_expected, {FID: metric})


def score_kid(
    item_ids: Sequence[str], outputs: Features, real: Features, n_expected: int, protocol: Mapping[str, object]
) -> Scores:
    """The KID of features (n, 2048) of the same items; the arguments are those of `score_fid`.

    Raises:
        Missing: the items are too few or too many.
    """
    _check_enough("KID", len(item_ids))
    if len(item_ids) > MOST:
        raise Missing(f"KID takes at most {MOST} items, found {len(item_ids)}; FID takes any number")
    draws = kid.replicates(outputs, real, bootstrap.item_weights(item_ids, KID_REPLICATES))
    metric = Metric(value := kid.kid(outputs, real), _around(value, draws))
    more = {
        "distance": "squared MMD, unbiased for outputs beside their own targets (i = j in no term), kernel "
        "(x'y / 2048 + 1)^3, all items at once and no subsets",
        **_sampling(len(item_ids), len(draws)),
    }
    return Scores(KID, {**protocol, **more}, tuple(item_ids), n_expected, {KID: metric})


def warning(n: int) -> str | None:
    """What readers of a FID of so few items must know; None where they are enough."""
    if n >= ENOUGH:
        return None
    items = counted(n, "item")
    return f"{items}: fewer than {ENOUGH} make FID too high; compare it only with a FID of {items}"


def _sampling(n: int, replicates: int) -> dict[str, object]:
    return {
        "n": n,
        "interval": f"over items, {replicates} draws shared by outputs and targets, shifted to a mean of the value: it "
        "has the spread of the draws, not the bias of few items",
    }


def _around(value: float, draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draws moved to the value: they repeat items, hold fewer distinct ones than there are, and lie too high for it."""
    return np.asarray(draws - draws.mean() + value)


def _check_enough(scorer: str, n: int) -> None:
    if n < FEWEST:
        raise Missing(f"{scorer} takes at least {FEWEST} items, found {n}; it is a distance of distributions")
