"""Jobs done on a Ray cluster: each where there is room, and elsewhere again where a machine is lost or unfit."""

from __future__ import annotations

import pickle
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from p2pbench.cluster import nodes
from p2pbench.cluster.nodes import Terms, agreed
from p2pbench.cluster.worker import SECONDS_TO_ANSWER, Attempt, Doing, Hub, JobResult, answer
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import Precisions, precisions
from p2pbench.runtime.progress import SECONDS_BETWEEN_EVENTS, ProgressReporter, report

LOST = (NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError)
LOSSES_WITHOUT_PROGRESS = 3
SECONDS_BETWEEN_COUNTS = 10.0  # of the machines that are left
# A run's lock outlives a machine that dies by as long as its file server takes to notice: 90 s with NFS.
PATIENCE_AT_FIRST, PATIENCE_AFTER_A_LOSS = 10.0, 180.0


class Needs(NamedTuple):
    """What a job needs of a machine."""

    cpus: int
    gpus: int

    def met_by(self, node: nodes.Node) -> bool:
        """Whether a machine as Ray describes it is there and large enough, be it busy or not."""
        has = node["Resources"]
        return bool(node["Alive"]) and has.get("CPU", 0) >= self.cpus and has.get("GPU", 0) >= self.gpus

    def __str__(self) -> str:
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return f"{cpus} and a GPU" if self.gpus else cpus


@dataclass(frozen=True)
class Job:
    """Work for one machine.

    Attributes:
        name: What people call it.
        do: A function of a module, which all machines have.
        arguments: What it is called with, after its line and what all jobs share.
        needs: What it needs of a machine.
        kept: The file from which it goes on; as long as it changes, the job may be lost as often as it likes.
    """

    name: str
    do: Doing
    arguments: tuple[Any, ...]
    needs: Needs
    kept: Path

    def state(self) -> int:
        """Another number whenever more of the work is kept."""
        return self.kept.stat().st_mtime_ns if self.kept.exists() else 0


@dataclass
class _Running:
    """A job that was handed to Ray."""

    number: int
    job: Job
    state: int
    losses: int = 0
    machine: str | None = None


@dataclass
class _Call:
    """One call of `carry_out`."""

    hub: Any
    terms: Terms
    reporter: ProgressReporter
    shared: Any
    running: dict[Any, _Running] = field(default_factory=dict)
    unfit: set[str] = field(default_factory=set)  # ids of machines
    counted: float = field(default_factory=time.monotonic)
    waiting: bool = False

    def has_room_for(self, needs: Needs) -> bool:
        """Whether there is a machine for it, be it busy or not."""
        return any(needs.met_by(node) and node["NodeID"] not in self.unfit for node in ray.nodes())


class Cluster:
    """The cluster that Ray is connected to; see `p2pbench.cluster.connection`."""

    def needs(self, device: str, threads: int | None) -> Needs:
        """What a job needs that computes on that device with so many threads.

        Raises:
            UserError: No machine has that, or the device is one of a certain machine.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise UserError(f"device '{device}': with --engine ray expected auto, cpu or cuda; Ray chooses which")
        gpus = int(device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1))
        needs = Needs(threads or 1, gpus)
        if not any(needs.met_by(node) for node in ray.nodes()):
            raise UserError(
                f"a job needs {needs}, but no machine of the cluster has that; lower threads, change --device, or add "
                "such a machine"
            )
        return needs

    def most_cpus(self) -> int:
        """The CPUs of the machine that has the most."""
        return max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])

    def precisions(self, gpus: int) -> Precisions:
        """What a job with so many GPUs, 0 or 1, can train in."""
        if not gpus:
            return precisions(torch.device("cpu"))
        return nodes.precisions_of_gpus([node for node in ray.nodes() if Needs(0, gpus).met_by(node)])

    def carry_out(
        self, jobs: Sequence[Job], folder: Path, reporter: ProgressReporter, stop: Stop, shared: tuple[object, ...] = ()
    ) -> Generator[tuple[int, JobResult], None, None]:
        """Do jobs, as many at once as there is room; each as it is done, by its place, with its answer.

        A request to stop reaches all workers; each saves its state, and the answer is `Stopped`.

        Args:
            jobs: what is to do.
            folder: where the results go, on a file system that all machines share.
            reporter: receives progress.
            stop: whether somebody asked to stop.
            shared: arguments of all jobs, sent once to each machine.

        Raises:
            UserError: a machine has another version, or does not see the folder; or the hub died.
        """
        if not jobs:
            return
        with agreed(folder) as terms:
            nodes.check(terms, [node for node in ray.nodes() if any(job.needs.met_by(node) for job in jobs)])
            call = _Call(_start_hub(), terms, reporter, ray.put(pickle.dumps(shared)))
            for number, job in enumerate(jobs):
                _start(call, _Running(number, job, job.state()))
            try:
                while call.running:
                    done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_EVENTS)
                    _hear(call, stopping=bool(stop))
                    for reference in done:
                        running = call.running.pop(reference)
                        given = _answer(call, running, reference, stop)
                        if given is not None:
                            yield running.number, given
            except RayActorError:
                raise UserError(
                    "the process that collects the news of all machines died on this one, perhaps for want of memory; "
                    "all work stopped and saved its state, and the same command goes on from here"
                ) from None
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
    job, terms = running.job, call.terms
    patience = PATIENCE_AFTER_A_LOSS if running.losses else PATIENCE_AT_FIRST
    attempt = Attempt(running.number, job.name, job.needs.gpus, patience)
    options: dict[str, Any] = {
        "name": f"p2pbench {job.name}",
        "num_cpus": job.needs.cpus,
        "num_gpus": job.needs.gpus,
        # A process that has used a GPU keeps its context and some memory there, and would use the same one again.
        "max_calls": 1 if job.needs.gpus else 0,
        # Ray's own retries would do, but for what is said, and for an end to them that does not hurt long runs.
        "max_retries": 0,
        "label_selector": {"ray.io/node-id": f"!in({', '.join(sorted(call.unfit))})"} if call.unfit else None,
    }
    remote = ray.remote(**options)(nodes.sent())
    packed = pickle.dumps((answer, attempt, job.do, job.arguments))
    reference = remote.remote(terms.versions, terms.token, terms.secret, call.hub, packed, call.shared)
    call.running[reference] = running


def _hear(call: _Call, *, stopping: bool) -> None:
    """Pass news on, and the wish to stop; say so when there is no machine left for what waits.

    Raises:
        RayActorError: The hub died.
    """
    for item in map(pickle.loads, ray.get(call.hub.fetch.remote(stopping))):
        if item[0] == "started":
            number, machine = item[1]
            for running in call.running.values():
                if running.number == number:
                    running.machine = machine
                    call.reporter.say(f"{running.job.name}: on {machine}")
        else:
            report(call.reporter, item)
    if stopping:
        _cancel_waiting(call)
    if time.monotonic() - call.counted >= SECONDS_BETWEEN_COUNTS:
        call.counted = time.monotonic()
        lacking = {needs for needs in {r.job.needs for r in call.running.values()} if not call.has_room_for(needs)}
        if lacking and not call.waiting:
            call.reporter.say(f"waiting for a machine with {' or '.join(map(str, lacking))} to join; Ctrl-C stops")
        call.waiting = bool(lacking)


def _cancel_waiting(call: _Call) -> None:
    """Take back what has not begun: perhaps it waits for a machine that never comes."""
    for reference, running in call.running.items():
        if running.machine is None:
            ray.cancel(reference)


def _answer(call: _Call, running: _Running, reference: Any, stop: Stop) -> JobResult | None:  # noqa: ANN401 (of Ray)
    """What came of a job; None if it is given out again."""
    name = running.job.name
    try:
        node, given = ray.get(reference)
    except TaskCancelledError:
        return JobResult(error=Stopped(f"{name}: stopped before it began; the same command goes on from here"))
    except LOST as error:
        return _after_a_loss(call, running, str(error).split(". ")[0].splitlines()[0], stop)
    if isinstance(given, str):
        return _after_a_refusal(call, running, node, given)
    if isinstance(given.error, Stopped) and not stop:
        return _after_a_loss(call, running, f"it heard nothing from here for {SECONDS_TO_ANSWER:.0f} s", stop)
    answered: JobResult = given
    return answered


def _after_a_loss(call: _Call, running: _Running, reason: str, stop: Stop) -> JobResult | None:
    """Go on with a job whose worker was lost; not if that is of no use."""
    name = running.job.name
    where = f" on {running.machine}" if running.machine else ""
    if stop:
        return JobResult(
            error=Stopped(f"{name}: lost{where} while stopping; the same command goes on from its last state")
        )
    state = running.job.state()
    running.losses = 1 if state != running.state else running.losses + 1
    if running.losses >= LOSSES_WITHOUT_PROGRESS:
        return JobResult(
            error=UserError(
                f"{name}: its worker was lost {running.losses} times without getting further ({reason}), perhaps for "
                "want of memory; save more often (checkpoint_seconds), look there, or lower batch_size or image_size "
                "(into another results folder where a checkpoint was saved)"
            )
        )
    call.reporter.say(f"{name}: lost{where} ({reason}); goes on from its last state where there is room")
    running.state, running.machine = state, None
    _start(call, running)
    return None


def _after_a_refusal(call: _Call, running: _Running, node: str, problem: str) -> JobResult | None:
    """Do a job elsewhere that a machine cannot do, if there is one that may."""
    new = node not in call.unfit
    call.unfit.add(node)
    if not call.has_room_for(running.job.needs):
        return JobResult(error=UserError(problem))
    if new:
        call.reporter.say(f"{problem}; it gets no more work from this command, which goes on elsewhere")
    running.machine = None
    _start(call, running)
    return None


def _let_them_save(call: _Call) -> None:
    """Wait for what still runs when nobody waits for its answers."""
    while call.running:
        done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_EVENTS)
        try:
            _hear(call, stopping=True)
        except RayActorError:  # without a hub they stop by themselves
            _cancel_waiting(call)
        for reference in done:
            del call.running[reference]
    ray.kill(call.hub)
