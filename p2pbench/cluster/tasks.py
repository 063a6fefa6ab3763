"""Tasks done on a Ray cluster: each where there is room, and elsewhere again where a machine is lost."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from p2pbench.ablation.listener import Listener
from p2pbench.ablation.news import SECONDS_BETWEEN_NEWS, tell
from p2pbench.cluster.hub import Hub
from p2pbench.cluster.line import Answer, Attempt, Work, answer
from p2pbench.cluster.terms import Terms, agreed
from p2pbench.errors import UserError
from p2pbench.training.interrupt import Stop, Stopped

LOST = (NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError)
LOSSES_WITHOUT_PROGRESS = 3
SECONDS_OF_A_FIRST_LOOK = 120.0
SECONDS_BETWEEN_COUNTS = 10.0  # of the machines that are left
# A run's lock outlives a machine that dies by as long as its file server takes to notice: 90 s with NFS.
PATIENCE_AT_FIRST, PATIENCE_AFTER_A_LOSS = 10.0, 180.0


class Needs(NamedTuple):
    """What a task needs of a machine."""

    cpus: int
    gpus: int

    def met_by(self, node: dict[str, Any]) -> bool:
        """Whether a machine as Ray describes it is there and large enough, be it busy or not."""
        has = node["Resources"]
        return bool(node["Alive"]) and has.get("CPU", 0) >= self.cpus and has.get("GPU", 0) >= self.gpus

    def __str__(self) -> str:
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return f"{cpus} and a GPU" if self.gpus else cpus


@dataclass(frozen=True)
class Task:
    """Work for one machine.

    Attributes:
        name: What people call it.
        work: A function of a module, which all machines have.
        arguments: What it is called with, after its line and what all tasks share.
        needs: What it needs of a machine.
        kept: The file from which it goes on; as long as it changes, the task may be lost as often as it likes.
    """

    name: str
    work: Work
    arguments: tuple[Any, ...]
    needs: Needs
    kept: Path

    def state(self) -> int:
        """Another number whenever more of the work is kept."""
        return self.kept.stat().st_mtime_ns if self.kept.exists() else 0


@dataclass
class _Running:
    """A task that was handed to Ray."""

    number: int
    task: Task
    state: int
    losses: int = 0
    machine: str | None = None


@dataclass
class _Call:
    """One call of `carry_out`."""

    hub: Any
    terms: Terms
    listener: Listener
    shared: tuple[Any, ...]
    running: dict[Any, _Running] = field(default_factory=dict)
    counted: float = field(default_factory=time.monotonic)
    waiting: bool = False


class Cluster:
    """The cluster that Ray is connected to; see `p2pbench.cluster.connection`."""

    def needs(self, device: str, threads: int | None) -> Needs:
        """What a task needs that computes on that device with so many threads.

        Raises:
            UserError: No machine has that, or the device is one of a certain machine.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise UserError(f"device '{device}': with --engine ray expected auto, cpu or cuda; Ray chooses which")
        gpus = int(device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1))
        needs = Needs(threads or 1, gpus)
        if not any(needs.met_by(node) for node in ray.nodes()):
            raise UserError(
                f"a task needs {needs}, but no machine of the cluster has that; lower threads, change --device, or add "
                "such a machine"
            )
        return needs

    def carry_out(
        self, tasks: Sequence[Task], folder: Path, listener: Listener, stop: Stop, shared: tuple[object, ...] = ()
    ) -> Generator[tuple[int, Answer], None, None]:
        """Do tasks, as many at once as there is room; each as it is done, by its place, with its answer.

        A request to stop reaches all workers; each saves its state, and the answer is `Stopped`.

        Args:
            tasks: what is to do.
            folder: where the results go, on a file system that all machines share.
            listener: hears how far the work is.
            stop: whether somebody asked to stop.
            shared: arguments of all tasks, sent once to each machine.

        Raises:
            UserError: a machine has another version, or does not see the folder.
        """
        if not tasks:
            return
        with agreed(folder) as terms:
            _check_machines(terms, {task.needs for task in tasks})
            call = _Call(_start_hub(), terms, listener, (ray.put(shared),))
            for number, task in enumerate(tasks):
                _start(call, _Running(number, task, task.state()))
            try:
                while call.running:
                    done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_NEWS)
                    _hear(call, stopping=bool(stop))
                    for reference in done:
                        running = call.running.pop(reference)
                        given = _answer(call, running, reference, stop)
                        if given is not None:
                            yield running.number, given
            except KeyboardInterrupt:  # asked twice: nobody waits for anything
                call.running.clear()
                raise
            finally:
                _let_them_save(call)


def _start_hub() -> Any:  # noqa: ANN401 (a handle, which Ray makes)
    """A hub on this machine: it must outlive the others."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Hub).options(num_cpus=0, scheduling_strategy=here).remote()


def _start(call: _Call, running: _Running) -> None:
    task = running.task
    patience = PATIENCE_AFTER_A_LOSS if running.losses else PATIENCE_AT_FIRST
    attempt = Attempt(running.number, task.name, task.needs.gpus, patience)
    # Ray's own retries would do, but for what is said, and for an end to them that does not hurt long runs.
    remote: Any = ray.remote(answer).options(num_cpus=task.needs.cpus, num_gpus=task.needs.gpus, max_retries=0)
    reference = remote.remote(call.terms, call.hub, attempt, task.work, *call.shared, task.arguments)
    call.running[reference] = running


def _hear(call: _Call, *, stopping: bool) -> None:
    """Pass news on, and the wish to stop; say so when there is no machine left for what waits."""
    for item in map(pickle.loads, ray.get(call.hub.fetch.remote(stopping))):
        if item[0] == "started":
            number, machine = item[1]
            for running in call.running.values():
                if running.number == number:
                    running.machine = machine
                    call.listener.say(f"{running.task.name}: on {machine}")
        else:
            tell(call.listener, item)
    if stopping:
        for reference, running in call.running.items():
            if running.machine is None:  # perhaps it waits for a machine that never comes
                ray.cancel(reference)
    if time.monotonic() - call.counted >= SECONDS_BETWEEN_COUNTS:
        call.counted = time.monotonic()
        nodes = ray.nodes()
        lacking = {r.task.needs for r in call.running.values() if not any(map(r.task.needs.met_by, nodes))}
        if lacking and not call.waiting:
            call.listener.say(f"waiting for a machine with {' or '.join(map(str, lacking))} to join; Ctrl-C stops")
        call.waiting = bool(lacking)


def _answer(call: _Call, running: _Running, reference: Any, stop: Stop) -> Answer | None:  # noqa: ANN401 (of Ray)
    """What came of a task; None if it was lost and is given out again."""
    name = running.task.name
    try:
        given: Answer = ray.get(reference)
        return given
    except TaskCancelledError:
        return Answer(error=Stopped(f"{name}: stopped before it began; the same command goes on from here"))
    except LOST as error:
        reason = str(error).split(". ")[0].splitlines()[0]
    where = f" on {running.machine}" if running.machine else ""
    if stop:
        return Answer(
            error=Stopped(f"{name}: lost{where} while stopping; the same command goes on from its last state")
        )
    state = running.task.state()
    running.losses = 1 if state != running.state else running.losses + 1
    if running.losses >= LOSSES_WITHOUT_PROGRESS:
        return Answer(
            error=UserError(
                f"{name}: its worker died {running.losses} times without getting further ({reason}), perhaps for want "
                "of memory; lower batch_size or image_size, save more often (checkpoint_seconds), or look there"
            )
        )
    call.listener.say(f"{name}: lost{where} ({reason}); goes on from its last state where there is room")
    running.state, running.machine = state, None
    _start(call, running)
    return None


def _let_them_save(call: _Call) -> None:
    """Wait for what still runs when nobody waits for its answers."""
    while call.running:
        done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_NEWS)
        _hear(call, stopping=True)
        for reference in done:
            del call.running[reference]
    ray.kill(call.hub)


def _check_machines(terms: Terms, needs: set[Needs]) -> None:
    """Ask each machine that may get a task whether it can do it, before any does."""
    asked = []
    for node in ray.nodes():
        if any(need.met_by(node) for need in needs):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            remote = ray.remote(_look()).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked.append((node["NodeManagerAddress"], remote.remote(terms.versions, terms.token, terms.secret)))
    for address, reference in asked:
        try:
            problem = ray.get(reference, timeout=SECONDS_OF_A_FIRST_LOOK)
        except GetTimeoutError:
            problem = f"no answer within {SECONDS_OF_A_FIRST_LOOK:.0f} s; look at Ray's logs there"
        except RayError:  # it is gone: the others do the work
            continue
        if problem is not None:
            raise UserError(f"Ray's node {address}: {problem}")


def _look() -> Callable[[dict[str, str], str, str], str | None]:
    """A function of a function is sent by its code: machines without our modules can run it, and say so."""

    def look(versions: dict[str, str], token: str, secret: str) -> str | None:
        import socket

        try:
            from p2pbench.cluster.terms import Terms, refusal
        except ImportError as error:
            return (
                f"machine {socket.gethostname()}: does not have this version of p2pbench ({error}); install the same "
                "version on all machines and start their Ray anew"
            )
        return refusal(Terms(versions, token, secret))

    return look
