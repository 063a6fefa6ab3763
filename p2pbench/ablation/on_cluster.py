"""The runs of a grid on the machines of a Ray cluster, each a task."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from p2pbench.ablation.data import Data, data_key
from p2pbench.ablation.grid import Planned
from p2pbench.ablation.kept_data import KeptData
from p2pbench.ablation.listener import Listener
from p2pbench.ablation.run import carry_out
from p2pbench.ablation.workers import Outcome
from p2pbench.cluster.device import given_device
from p2pbench.cluster.line import Line
from p2pbench.cluster.tasks import Cluster, Task
from p2pbench.errors import UserError
from p2pbench.results import Description
from p2pbench.training.interrupt import Stop
from reports.layout import Grid


def carry_out_on(
    cluster: Cluster,
    grid: Grid,
    plan: Sequence[Planned],
    data: Mapping[tuple[object, ...], Data],
    listener: Listener,
    stop: Stop,
) -> Generator[Outcome, None, None]:
    """Carry out runs on a cluster; each as it is done, with the error that ended it, if any.

    Raises:
        UserError: a machine has another version, or does not see the results folder.
    """
    tasks = [_task(cluster, planned, data[data_key(planned.config)].items.describe()) for planned in plan]
    with closing(cluster.carry_out(tasks, grid.folder, listener, stop)) as answers:
        for number, answer in answers:
            yield plan[number], answer.error


def _task(cluster: Cluster, planned: Planned, described: Description) -> Task:
    # Workers have another working directory.
    run = replace(planned.run, folder=planned.run.folder.absolute())
    there = Planned(run, planned.config.with_absolute_root())
    needs = cluster.needs(planned.config.device, planned.config.threads)
    return Task(planned.name, _work, (there, described), needs, run.checkpoint)


_data = KeptData()  # of a worker process


def _work(line: Line, planned: Planned, described: Description) -> None:
    """One run in a worker; the data stay for the next.

    Raises:
        UserError: the data are others here; or as `carry_out` does.
    """
    config = planned.config
    device = given_device(line.attempt.gpus, config.threads)
    data = _data.of(config)
    if data.items.describe() != described:
        raise UserError(
            f"{planned.name}: {config.root} holds other items on this machine ({data.items.describe()}), expected "
            f"{described}; share the dataset's folder, or copy it whole"
        )
    carry_out(planned, data, device, line.news, line, line.attempt.patience)
