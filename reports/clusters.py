"""Clusters of items, such as the frames of one drive: items that vary together, so that draws are of whole clusters.

Clusters of unequal sizes tell less than as many equal ones: where one has most of the items, a mean is little more than
that cluster's. Student's t has one degree of freedom less than there are equal clusters that would tell as much, the
effective number (Kish, Survey Sampling, 1965; Carter, Schnepel and Steigerwald, Asymptotic behavior of a t-test robust
to cluster heterogeneity, Review of Economics and Statistics 99, 2017), but at least the one of two clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reports.names import counted

ENOUGH = 5
"""With fewer, Student's t makes intervals so wide that little can be seen."""
FIELD = "clusters"
"""Where a protocol says how clusters were made."""


class Clusters(NamedTuple):
    """How the scored items were put into clusters.

    Attributes:
        by: What tells the clusters, such as "sequences".
        n: How many clusters the scored items are of.
        effective: As many equal clusters tell as much: 1 to n.
    """

    by: str
    n: int
    effective: float

    @property
    def things(self) -> str:
        """What intervals are over, such as "3 clusters of items (cities)"."""
        return f"{counted(self.n, 'cluster')} of items ({self.by})"

    @property
    def doubt(self) -> str:
        """What readers must know where clusters are few, a sentence without a full stop; else empty."""
        if self.effective >= ENOUGH:
            return ""
        if self.n == 1:
            return f"1 cluster of items ({self.by}): there is no interval, as nothing tells how others would score"
        unequal = self.effective < self.n - 0.05  # as the number below is written
        worth = f", of sizes that tell as much as {self.effective:.1f} equal ones" if unequal else ""
        return f"{self.things}{worth}: too few for intervals that mean much; have {ENOUGH} or more"


def effective(sizes: Sequence[int]) -> float:
    """How many equal clusters would tell as much as clusters of these sizes."""
    return float(sum(sizes) ** 2 / sum(size**2 for size in sizes))


def clusters_of(protocol: Mapping[str, object] | None) -> Clusters | None:
    """What a protocol says of clusters; None where items were drawn alone.

    Raises:
        ValueError: It says something else.
    """
    said = None if protocol is None else protocol.get(FIELD)
    if said is None:
        return None
    match said:
        case {"by": str(by), "n": int(n), "effective": int() | float() as worth} if 1 <= worth <= n:
            return Clusters(by, n, float(worth))
    raise ValueError(
        f"found {FIELD} = {said!r} in the protocol, expected by (text), n (a count) and effective (1 to n)"
    )
