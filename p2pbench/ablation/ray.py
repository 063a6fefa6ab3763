"""Runs of a grid as jobs on a Ray cluster."""

from __future__ import annotations

import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from p2pbench.ablation.data import Data, KeptData, data_key
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.run import RunOutcome, begin, execute, say_threads
from p2pbench.cluster.jobs import Cluster, Job, Needs
from p2pbench.cluster.nodes import Unfit
from p2pbench.cluster.worker import WorkerLink, given_device
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import resolved
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.training.records import Description
from reports.store.layout import Grid


def execute_on_cluster(
    cluster: Cluster,
    grid: Grid,
    plan: Sequence[PlannedRun],
    data: Mapping[tuple[object, ...], Data],
    reporter: ProgressReporter,
    stop: Stop,
) -> Generator[RunOutcome, None, None]:
    """Train runs on a cluster.

    Yields each finished run with its error, if any.

    Raises:
        UserError: A node has another version, or does not see the results folder.
    """
    on_cpus = [planned for planned in plan if not _needs(cluster, planned).gpus]
    say_threads(on_cpus, 1, reporter)
    jobs = [_job(cluster, planned, data[data_key(planned.config)], reporter) for planned in plan]
    with closing(cluster.execute(jobs, grid.folder, reporter, stop)) as answers:
        for i, answer in answers:
            yield plan[i], answer.error


def _job(cluster: Cluster, planned: PlannedRun, data: Data, reporter: ProgressReporter) -> Job:
    needs = _needs(cluster, planned)
    begun = begin(planned, data, None if needs.gpus else 1, reporter)
    # Workers have another working directory.
    run = replace(begun.run, folder=begun.run.folder.absolute())
    anywhere = PlannedRun(run, begun.config.with_absolute_root())
    return Job(planned.name, _train, (anywhere, data.describe()), needs, run.checkpoint)


def _needs(cluster: Cluster, planned: PlannedRun) -> Needs:
    # A run that began with more threads than a machine has cores keeps them: another number would change its weights.
    return cluster.needs(planned.config.device, min(planned.config.threads or 1, cluster.most_cpus()))


_data = KeptData()  # per worker process: Ray reuses it for later runs, which then need not decode the data again


def _train(link: WorkerLink, planned: PlannedRun, described: Description) -> None:
    """Train one run in a worker process.

    Raises:
        Unfit: The node's GPU cannot be used, or lacks the run's precision.
        UserError: The data on this node differ; or as `execute`.
    """
    config = planned.config
    device = given_device(link.attempt.gpus, config.threads)
    try:
        resolved(config, device)
    except UserError as error:
        raise Unfit(f"machine {socket.gethostname()}: {error}") from None

    def advance(done: int, total: int) -> None:
        link.progress.count(f"{planned.name}: pictures decoded", done, total)
        if link:
            raise Stopped(f"{planned.name}: stopped while decoding pictures; rerun the same command to resume")

    data = _data.of(config, advance)
    if data.describe() != described:
        raise UserError(
            f"{planned.name}: {config.root} holds other items on this machine ({data.describe()}), expected "
            f"{described}; share the dataset's folder, or copy it whole"
        )
    execute(planned, data, device, link.progress, link, link.attempt.patience)
