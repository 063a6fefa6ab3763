"""One Ray cluster for the tests of this folder, or for those that one process of pytest-xdist gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the fixtures import what is slow to import
    from ray.cluster_utils import Cluster

    from p2pbench.cluster import jobs


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """A head and two nodes of one CPU each; who kills one adds another."""
    from tests.p2pbench.cluster.nodes import local_cluster

    with local_cluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def found(cluster: Cluster) -> Iterator[jobs.Cluster]:
    """The connection of a module's tests, so that they share worker processes, which take seconds to start."""
    from p2pbench.cluster.connection import connected

    with connected(cluster.address) as found:
        yield found
