"""One Ray cluster for the tests of this folder, or for those that one process of pytest-xdist gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the fixture imports what is slow to import
    from ray.cluster_utils import Cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """A head and two nodes of one CPU each; who kills one adds another."""
    from tests.p2pbench.cluster.nodes import local_cluster

    with local_cluster(nodes=2) as cluster:
        yield cluster
