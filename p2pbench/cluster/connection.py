"""Connection to a Ray cluster for one command."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from p2pbench.cli import SPINS
from p2pbench.errors import UserError

if TYPE_CHECKING:  # Ray is an extra: it is imported only with --engine ray
    from p2pbench.cluster.jobs import Cluster

AUTO = "auto"
SECONDS_TO_ANSWER = 5.0
_ADDRESS = re.compile(r"(?P<host>[^\s:/]+):(?P<port>[0-9]{1,5})")


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to a cluster for the block.

    Args:
        address: HOST:PORT of its head; "auto" for the cluster of this machine; None starts one of this machine alone,
            which ends with the block.

    Raises:
        UserError: Ray is not installed, there is no cluster at the address, or it has another version of Ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported; nothing is sent unasked
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--engine ray needs Ray ({error}): pip install 'p2pbench[cluster]'") from None
    from p2pbench.cluster.jobs import Cluster

    if address is not None and address != AUTO:
        _check_reachable(address)
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"env_vars": {"GOMP_SPINCOUNT": SPINS}},  # as the command line has it
            include_dashboard=False if address is None else None,  # of a running cluster it cannot be chosen
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        if address is None:
            raise UserError(
                f"--engine ray: Ray cannot be started on this machine ({reason}); look at its memory and the space in "
                "its temporary folder, or use --engine local"
            ) from None
        raise UserError(
            f"--address {address}: no Ray cluster can be used ({reason}); start one with `ray start --head` and the "
            "same versions of Python and Ray, or leave out --address"
        ) from None
    # Ray would print lines on lost nodes to standard output, among results; `jobs` reports them on standard error.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield Cluster()
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address that does not answer: Ray itself would retry for minutes."""
    matched = _ADDRESS.fullmatch(address)
    if matched is None:
        raise UserError(
            f"--address {address}: expected {AUTO} or HOST:PORT of the cluster's head, such as 10.0.0.1:6379; give the "
            "command on a machine of the cluster, which has the results folder too"
        )
    try:
        socket.create_connection((matched["host"], int(matched["port"])), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address}: does not answer ({error}); expected the head of a Ray cluster: start it with "
            f"`ray start --head --port={matched['port']}`, or look at its firewall"
        ) from None
