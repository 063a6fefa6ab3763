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

import p2pbench
from p2pbench.errors import UserError
from p2pbench.runtime.precision import ALL, Precisions, precisions_of_any
from p2pbench.training.records import versions
from reports.store import atomic

SECONDS_OF_A_FIRST_LOOK = 600.0  # a machine whose processors are all taken needs minutes to import torch


Node = dict[str, Any]


"""A machine as Ray describes it."""


def check(terms: Terms, nodes: Sequence[Node]) -> None:
    """Ask machines whether they can do the work, before any does.

    Raises:
        UserError: One cannot, or does not answer.
    """
    plain = terms.versions, terms.token, terms.secret
    for node, asked in [(node, _ask(node, sent(), *plain)) for node in nodes]:
        try:
            _, problem = ray.get(asked, timeout=SECONDS_OF_A_FIRST_LOOK)
        except GetTimeoutError:
            problem = f"no answer within {SECONDS_OF_A_FIRST_LOOK:.0f} s; look at Ray's logs there"
        except RayError:  # it is gone: the others do the work
            continue
        if problem is not None:
            raise UserError(f"Ray's node {node['NodeManagerAddress']}: {problem}")


def precisions_of_gpus(nodes: Sequence[Node]) -> Precisions:
    """What a run can be trained in on a GPU of one of these machines.

    A machine that does not answer is passed over: it is refused later, with the reason.
    """
    answers: list[Precisions] = []
    for asked in [_ask(node, _gpus()) for node in nodes]:
        try:
            answers += ray.get(asked, timeout=SECONDS_OF_A_FIRST_LOOK)
        except RayError:
            continue
    return precisions_of_any("the cluster", answers) if answers else Precisions("the cluster", ALL, "float32")


def _ask(node: Node, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 (a reference, of Ray)
    """Call a function on that machine at once, however busy it is."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "max_calls": 1, "scheduling_strategy": there}
    return ray.remote(**options)(function).remote(*arguments)


def sent() -> Callable[..., tuple[str, Any]]:
    """What a machine is sent: it looks whether it can do our work, and does it if there is some.

    A function of a function is sent by its code, and it unpacks the work itself: machines without our modules can run
    it, and say so.
    """

    def sent(
        versions: dict[str, str],
        token: str,
        secret: str,
        hub: object = None,
        packed: bytes | None = None,
        shared: bytes = b"",
    ) -> tuple[str, Any]:
        """The id of the machine, and its answer: why it cannot do the work, as text, or what came of it."""
        import pickle
        import socket

        import ray

        node = ray.get_runtime_context().get_node_id()
        try:
            from p2pbench.cluster.nodes import Terms, refusal
        except ImportError as error:
            return node, (
                f"machine {socket.gethostname()}: does not have this version of p2pbench ({error}); install the same "
                "version on all machines and start their Ray anew"
            )
        problem = refusal(Terms(versions, token, secret))
        if problem is not None or packed is None:
            return node, problem
        answer, attempt, do, arguments = pickle.loads(packed)
        return node, answer(hub, attempt, do, (*pickle.loads(shared), *arguments))

    return sent


def _gpus() -> Callable[[], list[Precisions]]:
    """A function, sent by its code, that says what each GPU of its machine computes in."""

    def gpus() -> list[Precisions]:
        import os

        # Ray hides the GPUs from whoever did not ask for one; to ask for one would be to wait for it.
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            del os.environ["CUDA_VISIBLE_DEVICES"]
        try:
            import torch

            from p2pbench.runtime.precision import precisions
        except ImportError:  # it is refused later, with the reason
            return []
        return [precisions(torch.device("cuda", place)) for place in range(torch.cuda.device_count())]

    return gpus


PACKAGES = ("p2pbench", "fcn", "reports")  # those whose code makes numbers


SECONDS_TO_APPEAR = 5.0  # a network file system may show a new file late


SECONDS_BETWEEN_LOOKS = 0.5


class Unfit(UserError):
    """This machine cannot do the work; others may."""


@dataclass(frozen=True)
class Terms:
    """What must be the same there as here.

    Attributes:
        versions: Of whatever makes numbers, by name; config.json gives those of the one that sends the work.
        token: A file in the folder of results.
        secret: Its content.
    """

    versions: dict[str, str]
    token: str
    secret: str


@contextmanager
def agreed(folder: Path) -> Iterator[Terms]:
    """The terms while the block runs: a file lies in the folder that only those find who see the same folder.

    Raises:
        ReportError: The folder cannot be written.
    """
    secret = secrets.token_hex(16)
    token = folder.absolute() / f".seen-{secrets.token_hex(8)}"
    atomic.write(token, secret.encode())
    try:
        yield Terms(own_versions(), str(token), secret)
    finally:
        token.unlink(missing_ok=True)


def own_versions() -> dict[str, str]:
    """What makes numbers here. The build of a library ("+cpu") may differ: a GPU machine and its head have two."""
    found = {name: version.partition("+")[0] for name, version in versions().items()}
    return {**found, "p2pbench": p2pbench.__version__, "the code of p2pbench": _code()}


def refusal(terms: Terms) -> str | None:
    """Why this process cannot do that work, with what to do about it; None if it can."""
    own = own_versions()
    for name, expected in terms.versions.items():
        if own.get(name) != expected:
            return (
                f"machine {socket.gethostname()}: found {name} {own.get(name)}, expected {expected} as where the "
                "command was given; install the same version on all machines and start their Ray anew"
            )
    if not _appears(Path(terms.token), terms.secret):
        return (
            f"machine {socket.gethostname()}: does not see the results folder {Path(terms.token).parent}; expected one "
            "that all machines share under the same path; use such a folder"
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
    """A hash of our own code: checkouts differ where version numbers do not."""
    home = Path(p2pbench.__file__).parent.parent
    state = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((home / package).rglob("*.py")):
            state.update(f"{path.relative_to(home).as_posix()}\n".encode())
            state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:12]
