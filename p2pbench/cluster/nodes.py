"""Checks that nodes have the driver's code, library versions and results folder."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from p2pbench.errors import UserError
from p2pbench.installation import VERSION
from p2pbench.runtime.precision import ALL, Precisions, precisions_of_any
from p2pbench.training.records import versions
from reports.store import atomic

SECONDS_FOR_CHECK = 600.0  # a node whose processors are all busy needs minutes to import torch
PACKAGES = ("p2pbench", "fcn", "reports")  # those whose code computes results
SECONDS_TO_APPEAR = 5.0  # a network file system may show a new file late
SECONDS_BETWEEN_LOOKS = 0.5

Node = dict[str, Any]
"""Ray's description of a node."""


def check(environment: Environment, nodes: Sequence[Node]) -> None:
    """Check the environment of all nodes before any job starts.

    Raises:
        UserError: A node's environment differs, or it does not answer.
    """
    plain = environment.versions, environment.token, environment.secret  # a class of ours could not be unpickled there
    for node, reference in [(node, _call_on(node, remote_work(), *plain)) for node in nodes]:
        try:
            _, problem = ray.get(reference, timeout=SECONDS_FOR_CHECK)
        except GetTimeoutError:
            problem = f"no answer within {SECONDS_FOR_CHECK:.0f} s; look at Ray's logs there"
        except RayError:  # the node left the cluster meanwhile; the others get its jobs
            continue
        if problem is not None:
            raise UserError(f"Ray's node {node['NodeManagerAddress']}: {problem}")


def precisions_of_gpus(nodes: Sequence[Node]) -> Precisions:
    """Precisions available on at least one GPU of these nodes.

    A node that does not answer is skipped here; `check` refuses it, with the reason.
    """
    answers: list[Precisions] = []
    for reference in [_call_on(node, _gpus()) for node in nodes]:
        try:
            answers += ray.get(reference, timeout=SECONDS_FOR_CHECK)
        except RayError:
            continue
    return precisions_of_any("the cluster", answers) if answers else Precisions("the cluster", ALL, "float32")


def _call_on(node: Node, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 (a reference, of Ray)
    """Call a function on a node at once, however busy the node is (0 CPUs)."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_retries": 0,
        # Where Ray hid the GPUs from a process, no job may run in it; elsewhere one does, and imports nothing anew.
        "max_calls": 1 if node["Resources"].get("GPU") else 0,
        "scheduling_strategy": there,
    }
    return ray.remote(**options)(function).remote(*arguments)


def remote_work() -> Callable[..., tuple[str, Any]]:
    """Build the function that checks a node and runs a job.

    Ray pickles a nested function by its code, not by its name, and it unpickles the job itself; so it runs, and
    reports the problem, even on nodes without our modules.
    """

    def remote_work(
        versions: dict[str, str],
        token: str,
        secret: str,
        hub: object = None,
        packed: bytes | None = None,
        shared: bytes = b"",
    ) -> tuple[str, Any]:
        """Return the node id, with a refusal or the job's result."""
        import pickle
        import socket

        import ray

        node = ray.get_runtime_context().get_node_id()
        try:
            from p2pbench.cluster.nodes import Environment, refusal
        except ImportError as error:
            return node, (
                f"machine {socket.gethostname()}: does not have this version of p2pbench ({error}); install the same "
                "version on all machines and restart Ray there"
            )
        problem = refusal(Environment(versions, token, secret))
        if problem is not None or packed is None:
            return node, problem
        run_job, attempt, task, arguments = pickle.loads(packed)
        return node, run_job(hub, attempt, task, (*pickle.loads(shared), *arguments))

    return remote_work


def _gpus() -> Callable[[], list[Precisions]]:
    """Function for a node that returns the precisions of each of its GPUs."""

    def gpus() -> list[Precisions]:
        import os

        # Ray hides the GPUs from tasks that request none; requesting one would mean waiting until it is free.
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            del os.environ["CUDA_VISIBLE_DEVICES"]
        try:
            import torch

            from p2pbench.runtime.precision import precisions
        except ImportError:  # it is refused later, with the reason
            return []
        return [precisions(torch.device("cuda", i)) for i in range(torch.cuda.device_count())]

    return gpus


class Unfit(UserError):
    """This node cannot run the job; others may."""


@dataclass(frozen=True)
class Environment:
    """Environment that nodes must share with the driver.

    Attributes:
        versions: Versions of all that computes results, by name, as in config.json.
        token: A file in the results folder.
        secret: Its random content: a folder of the same path that is not shared does not have it.
    """

    versions: dict[str, str]
    token: str
    secret: str


@contextmanager
def shared_environment(folder: Path) -> Iterator[Environment]:
    """Describe the driver's environment during the block.

    A token file lies in the results folder meanwhile.

    Raises:
        ReportError: The folder cannot be written.
    """
    secret = secrets.token_hex(16)
    token = folder.absolute() / f".seen-{secrets.token_hex(8)}"
    atomic.write(token, secret.encode())
    try:
        yield Environment(own_versions(), str(token), secret)
    finally:
        token.unlink(missing_ok=True)


def own_versions() -> dict[str, str]:
    """Versions of all that computes results here."""
    # Without the build ("+cpu"): the head of a cluster often has the CPU build of the library that its GPU nodes have.
    libraries = {name: version.partition("+")[0] for name, version in versions().items()}
    return {**libraries, "p2pbench": VERSION, "the code of p2pbench": _code()}


def refusal(environment: Environment) -> str | None:
    """Reason why this process cannot run jobs, with its remedy.

    None if it can.
    """
    own = own_versions()
    for name, expected in environment.versions.items():
        if own.get(name) != expected:
            return (
                f"machine {socket.gethostname()}: found {name} {own.get(name)}, expected {expected} as on the machine "
                "of the command; install the same version on all machines and restart Ray there"
            )
    if not _appears(Path(environment.token), environment.secret):
        return (
            f"machine {socket.gethostname()}: does not see the results folder {Path(environment.token).parent}; "
            "expected one that all machines share under the same path; use such a folder"
        )
    return None


def _appears(token: Path, secret: str) -> bool:
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    while True:
        try:
            return token.read_bytes() == secret.encode()
        except OSError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _code() -> str:
    """Hash of our own code: checkouts may differ although version numbers do not."""
    home = Path(__file__).parents[2]
    state = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((home / package).rglob("*.py")):
            state.update(f"{path.relative_to(home).as_posix()}\n".encode())
            state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:12]
