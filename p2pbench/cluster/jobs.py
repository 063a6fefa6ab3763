"""Scheduling of jobs on a Ray cluster.

Jobs of lost or unfit nodes are restarted elsewhere.
"""

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
from p2pbench.cluster.nodes import Environment, shared_environment
from p2pbench.cluster.worker import SECONDS_TO_ANSWER, Attempt, JobResult, JobTask, MessageHub, run_job
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import Precisions, precisions
from p2pbench.runtime.progress import SECONDS_BETWEEN_EVENTS, ProgressReporter, report

LOST = (NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError)
LOSSES_WITHOUT_PROGRESS = 3
SECONDS_BETWEEN_COUNTS = 10.0  # of the nodes that are left
# The lock of a run outlives its node until the file server notices the loss: 90 s with NFS. A first attempt waits only
# for a process that is just ending.
PATIENCE_AT_FIRST, PATIENCE_AFTER_A_LOSS = 10.0, 180.0


class Needs(NamedTuple):
    """Resources of a job: CPUs, and 0 or 1 GPUs."""

    cpus: int
    gpus: int

    def met_by(self, node: nodes.Node) -> bool:
        """Whether a node is alive and large enough, busy or not."""
        resources = node["Resources"]
        return bool(node["Alive"]) and resources.get("CPU", 0) >= self.cpus and resources.get("GPU", 0) >= self.gpus

    def __str__(self) -> str:
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return f"{cpus} and a GPU" if self.gpus else cpus


@dataclass(frozen=True)
class Job:
    """Work for one node.

    Attributes:
        name: Name in messages.
        task: A function of a module, which all nodes have.
        arguments: Its arguments, after its link and the shared ones.
        needs: Its resources.
        kept: The file from which it resumes; while this file changes, the job is restarted without limit.
    """

    name: str
    task: JobTask
    arguments: tuple[Any, ...]
    needs: Needs
    kept: Path

    def state(self) -> int:
        """Version of the saved state: the file's modification time, 0 without one."""
        return self.kept.stat().st_mtime_ns if self.kept.exists() else 0


@dataclass
class _Running:
    """A job that was submitted to Ray; `machine` is None until it starts."""

    index: int
    job: Job
    state: int
    losses: int = 0  # since its state last changed
    machine: str | None = None


@dataclass
class _Call:
    """State of one call of `execute`."""

    hub: Any
    environment: Environment
    reporter: ProgressReporter
    shared: Any
    running: dict[Any, _Running] = field(default_factory=dict)
    unfit: set[str] = field(default_factory=set)  # ids of nodes
    counted: float = field(default_factory=time.monotonic)
    waiting: bool = False

    def has_room_for(self, needs: Needs) -> bool:
        """Whether a fit node is large enough, busy or not."""
        return any(needs.met_by(node) and node["NodeID"] not in self.unfit for node in ray.nodes())


class Cluster:
    """The cluster that Ray is connected to; see `p2pbench.cluster.connection`."""

    def needs(self, device: str, threads: int | None) -> Needs:
        """Resources of a job on a device with `threads` CPU threads.

        Raises:
            UserError: No node has them, or the device names one GPU of a node.
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
        """CPUs of the largest node."""
        return max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])

    def precisions(self, gpus: int) -> Precisions:
        """Precisions available to a job with 0 or 1 GPUs."""
        if not gpus:
            return precisions(torch.device("cpu"))
        return nodes.precisions_of_gpus([node for node in ray.nodes() if Needs(0, gpus).met_by(node)])

    def execute(
        self, jobs: Sequence[Job], folder: Path, reporter: ProgressReporter, stop: Stop, shared: tuple[object, ...] = ()
    ) -> Generator[tuple[int, JobResult], None, None]:
        """Run jobs concurrently as resources allow.

        Yields the index and result of each finished job.

        A stop request reaches all workers; each saves its state, and its result is `Stopped`.

        Args:
            jobs: The jobs.
            folder: The results folder, on a file system that all nodes share.
            reporter: Receives progress.
            stop: The stop flag.
            shared: Arguments of all jobs, sent once to each node.

        Raises:
            UserError: A node has another version, or does not see the folder; or the hub died.
        """
        if not jobs:
            return
        with shared_environment(folder) as environment:
            nodes.check(environment, [node for node in ray.nodes() if any(job.needs.met_by(node) for job in jobs)])
            # Pickled by us, so that a node unpacks it only after its environment was checked (see `nodes.remote_work`).
            call = _Call(_start_hub(), environment, reporter, ray.put(pickle.dumps(shared)))
            for i, job in enumerate(jobs):
                _start(call, _Running(i, job, job.state()))
            try:
                while call.running:
                    done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_EVENTS)
                    # Before the results: events that a job sent before it ended are reported before its end.
                    _forward_events(call, stopping=bool(stop))
                    for reference in done:
                        running = call.running.pop(reference)
                        result = _result(call, running, reference, stop)
                        if result is not None:
                            yield running.index, result
            except RayActorError:
                raise UserError(
                    "the process that collects progress events died on this machine, perhaps for lack of memory; "
                    "all jobs stopped and saved their state, rerun the same command to resume"
                ) from None
            except KeyboardInterrupt:  # the second Ctrl-C: do not wait for jobs to save
                call.running.clear()
                raise
            finally:
                _let_them_save(call)


def _start_hub() -> Any:  # noqa: ANN401 (a handle, which Ray makes)
    """Start the hub on this machine: it must not be lost with another node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(MessageHub).options(num_cpus=0, scheduling_strategy=here).remote()


def _start(call: _Call, running: _Running) -> None:
    job, expected = running.job, call.environment
    patience = PATIENCE_AFTER_A_LOSS if running.losses else PATIENCE_AT_FIRST
    attempt = Attempt(running.index, job.name, job.needs.gpus, patience)
    options: dict[str, Any] = {
        "name": f"p2pbench {job.name}",
        "num_cpus": job.needs.cpus,
        "num_gpus": job.needs.gpus,
        # A process that has used a GPU keeps its CUDA context and memory, and stays on that GPU: one job per process.
        "max_calls": 1 if job.needs.gpus else 0,
        # We retry ourselves: Ray's retries are silent, and their limit would count losses of a run that still advances.
        "max_retries": 0,
        # Keeps a job off the nodes that refused one; Ray's scheduler does not know that they did.
        "label_selector": {"ray.io/node-id": f"!in({', '.join(sorted(call.unfit))})"} if call.unfit else None,
    }
    remote = ray.remote(**options)(nodes.remote_work())
    packed = pickle.dumps((run_job, attempt, job.task, job.arguments))
    reference = remote.remote(expected.versions, expected.token, expected.secret, call.hub, packed, call.shared)
    call.running[reference] = running


def _forward_events(call: _Call, *, stopping: bool) -> None:
    """Report events of the workers, send the stop flag, and report when no node is left for waiting jobs.

    Raises:
        RayActorError: The hub died.
    """
    for event in map(pickle.loads, ray.get(call.hub.fetch.remote(stopping))):
        if event[0] == "started":
            index, machine = event[1]
            for running in call.running.values():
                if running.index == index:
                    running.machine = machine
                    call.reporter.say(f"{running.job.name}: on {machine}")
        else:
            report(call.reporter, event)
    if stopping:
        _cancel_waiting(call)
    if time.monotonic() - call.counted >= SECONDS_BETWEEN_COUNTS:
        call.counted = time.monotonic()
        lacking = {needs for needs in {r.job.needs for r in call.running.values()} if not call.has_room_for(needs)}
        # Said when room is lost, not again at each count.
        if lacking and not call.waiting:
            call.reporter.say(f"waiting for a machine with {' or '.join(map(str, lacking))} to join; Ctrl-C stops")
        call.waiting = bool(lacking)


def _cancel_waiting(call: _Call) -> None:
    """Cancel jobs that have not started: they may wait for a node that never joins."""
    for reference, running in call.running.items():
        if running.machine is None:
            ray.cancel(reference)


def _result(call: _Call, running: _Running, reference: Any, stop: Stop) -> JobResult | None:  # noqa: ANN401 (of Ray)
    """Result of a job; None if it was restarted."""
    name = running.job.name
    try:
        node, answer = ray.get(reference)
    except TaskCancelledError:
        return JobResult(error=Stopped(f"{name}: stopped before it began; rerun the same command to start it"))
    except LOST as error:
        return _after_a_loss(call, running, str(error).split(". ")[0].splitlines()[0], stop)
    if isinstance(answer, str):
        return _after_a_refusal(call, running, node, answer)
    if isinstance(answer.error, Stopped) and not stop:  # its link was silent, so it had to assume that we are gone
        return _after_a_loss(call, running, f"no answer from this machine for {SECONDS_TO_ANSWER:.0f} s", stop)
    result: JobResult = answer
    return result


def _after_a_loss(call: _Call, running: _Running, reason: str, stop: Stop) -> JobResult | None:
    """Restart a job whose worker was lost, unless it was lost too often without progress."""
    name = running.job.name
    where = f" on {running.machine}" if running.machine else ""
    if stop:
        return JobResult(
            error=Stopped(f"{name}: lost{where} while stopping; rerun the same command to resume from its last state")
        )
    state = running.job.state()
    # A run of days may lose many nodes; only losses without a new checkpoint between them point at the job itself.
    running.losses = 1 if state != running.state else running.losses + 1
    if running.losses >= LOSSES_WITHOUT_PROGRESS:
        return JobResult(
            error=UserError(
                f"{name}: its worker was lost {running.losses} times without progress ({reason}), perhaps for "
                "lack of memory; save more often (checkpoint_seconds), check that machine, or lower batch_size or "
                "image_size (into another results folder where a checkpoint was saved)"
            )
        )
    call.reporter.say(f"{name}: lost{where} ({reason}); resumes from its last state on a free machine")
    running.state, running.machine = state, None
    _start(call, running)
    return None


def _after_a_refusal(call: _Call, running: _Running, node: str, problem: str) -> JobResult | None:
    """Restart a job that a node refused on another, if one is large enough."""
    new = node not in call.unfit
    call.unfit.add(node)
    if not call.has_room_for(running.job.needs):
        return JobResult(error=UserError(problem))
    if new:
        call.reporter.say(f"{problem}; it gets no more work from this command, which continues elsewhere")
    running.machine = None
    _start(call, running)
    return None


def _let_them_save(call: _Call) -> None:
    """Stop jobs that still run, and wait until they have saved their state."""
    while call.running:
        done, _ = ray.wait(list(call.running), timeout=SECONDS_BETWEEN_EVENTS)
        try:
            _forward_events(call, stopping=True)
        except RayActorError:  # without a hub workers stop by themselves, see `WorkerLink.call`
            _cancel_waiting(call)
        for reference in done:
            del call.running[reference]
    ray.kill(call.hub)
