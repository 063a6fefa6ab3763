"""Execution of a grid: sequentially, concurrently, or on a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from p2pbench.ablation.data import Data, data_key, open_data
from p2pbench.ablation.grid import GridPlan, PlannedRun, read_plan
from p2pbench.ablation.references import check_references, fill_references
from p2pbench.ablation.run import RunOutcome, as_begun, begin, execute, is_finished, say_threads
from p2pbench.ablation.timing import SEQUENTIAL, NotMeasured, throughput, verdict
from p2pbench.ablation.workers import Workers, end_importing_worker, share, workers
from p2pbench.config import GridConfig, RunConfig
from p2pbench.datasets.catalogue import clusters_of_items, files_of, more_than_there_are
from p2pbench.errors import MENDABLE, UserError
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.files import locked
from p2pbench.runtime.interrupt import Stop, Stopped, StopSource, never_stopped
from p2pbench.runtime.precision import Precisions, precisions
from p2pbench.runtime.progress import QUIET, ProgressReporter
from p2pbench.runtime.result_tables import Displayed, ShownCell, ShownTable
from p2pbench.training.records import (
    RunRecord,
    check_files,
    check_fits,
    has_begun,
    read_runs,
    write_contents,
    write_grid,
)
from reports.store import apart
from reports.store.arithmetic import flaw
from reports.store.errors import checked_arguments
from reports.store.layout import Grid, Run
from reports.store.names import counted

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster


@dataclass(frozen=True, repr=False)
class Trained(Displayed):
    """A grid after training; shows as a table of its runs.

    Attributes:
        grid: Its folder.
        items: The number of test items of each requested run.
        device: The device of its settings.
    """

    grid: Grid
    items: Mapping[Run, int]
    device: str

    @property
    def results(self) -> Path:
        """The results folder, which scores and the report are made of."""
        return self.grid.folder.parent

    def tables(self) -> list[ShownTable]:
        """A row per run."""
        columns = ("cell", "seed", "test items", "folder")
        rows = [
            [ShownCell(text) for text in (run.cell, str(run.seed), str(n), str(run.folder))]
            for run, n in self.items.items()
        ]
        return [ShownTable(f"Grid {self.grid.name}: {counted(len(rows), 'run')} trained", columns, rows)]


@checked_arguments(UserError)
def train_grid(
    grid: str | Path | GridConfig,
    out: str | Path = "results",
    *,
    settings: RunConfig | Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    parallel: int = 1,
    reporter: ProgressReporter = QUIET,
) -> Trained:
    """Train a grid's cells with every seed and generate test outputs.

    Finished runs are skipped and interrupted ones resume: repeat the same call. An interrupt (KeyboardInterrupt) costs
    the steps since the last checkpoint, at most the setting `checkpoint_seconds`.

    Args:
        grid: A preset (losses, generators, patches, segmentation, colour), a TOML file of the same form, or a
            `GridConfig`, whose title then names the grid's folder.
        out: The results folder.
        settings: Settings that replace those of all cells, the dataset and its root among them; of a `RunConfig`
            those that were given to it.
        seeds: Train every cell once per seed; None takes the grid's.
        parallel: Maximum number of concurrent runs, each in its own process, only if that increases total throughput. A
            script then needs `if __name__ == "__main__":` around the call, as for all of Python's own processes.
        reporter: Receives progress, such as a `p2pbench.runtime.terminal.Terminal`; by default nothing is printed.

    Raises:
        UserError: Something in the settings, the data or the folders must be mended first, or runs failed.
        ReportError: The grid's folder is, holds or lies in the data's.

    Example:
        >>> from p2pbench import GridConfig, RunConfig, train_grid
        >>> grid = GridConfig(title="losses", cells={"L1": {"objective": "L1"}, "cGAN": {"objective": "cGAN"}})
        >>> items = {"dataset": "streets", "train_items": 4, "test_items": 3}
        >>> small = RunConfig(**items, image_size=32, ngf=4, ndf=4, receptive_field=16, epochs=1, device="cpu")
        >>> train_grid(grid, "results", settings=small, seeds=[0])
        Grid losses: 2 runs trained
        cell  seed  test items  folder
        L1    0     3           results/losses/L1/seed-0
        cGAN  0     3           results/losses/cGAN/seed-0
    """
    end_importing_worker()
    if parallel < 1:
        raise UserError(f"parallel = {parallel}: expected the number of runs at once, 1 or more")
    if isinstance(settings, RunConfig):
        settings = settings.model_dump(exclude_unset=True)
    overrides = {key: str(value) if isinstance(value, Path) else value for key, value in (settings or {}).items()}
    return run_grid(read_plan(grid, Path(out), overrides, seeds), reporter, parallel)


def run_grid(
    plan: GridPlan,
    reporter: ProgressReporter,
    parallel: int = 1,
    cluster: Cluster | None = None,
    stopping: StopSource = never_stopped,
) -> Trained:
    """Train every run of a grid and generate its outputs.

    Finished runs are skipped, interrupted ones resumed.

    Nothing is written before all settings, all data and all folders are checked. A run that fails does not stop the
    others; it is named at the end.

    Args:
        plan: The grid's runs.
        reporter: Receives progress.
        parallel: The number of concurrent runs, each in a process of its own, if that raises throughput.
        cluster: Trains on this cluster instead of here.
        stopping: Opens the stop flag while runs are trained.

    Raises:
        UserError: Settings, data or folders are invalid, or runs failed.
        ReportError: The grid's folder is, holds or lies in the data's.
        Stopped: The user asked to stop; all is saved.
    """
    folder = plan.grid
    available = _precisions(plan.runs, cluster)  # first: a missing device is reported before data are decoded
    made = read_runs(folder)
    runs = [
        replace(planned, config=as_begun(planned, of_run, made))
        for planned, of_run in zip(plan.runs, available, strict=True)
    ]
    data = _open_all(runs, reporter)
    for opened in data.values():
        apart.check(folder.folder, files_of(opened.items))
        clusters_of_items(opened.dataset, opened.items, runs[0].config)
    for run, config, of_run in (wanted := _wanted(runs, available, data)):
        check_files(run)
        check_fits(run, config, of_run.describe(), made, of_run.contents)
    first = data[data_key(runs[0].config)]
    check_references(folder, first, runs[0].config, made)
    with locked(folder.lock):
        made = read_runs(folder)  # again under the lock: another command may have started runs since
        for run, config, of_run in wanted:
            check_fits(run, config, of_run.describe(), made, of_run.contents)
        for of_run in data.values():
            write_contents(folder, of_run.describe(), of_run.contents)
        _write_grid(plan, runs, first)
        fill_references(folder, first, runs[0].config, reporter)
    left = [planned for planned in runs if not is_finished(planned.run, data[data_key(planned.config)].items.test)]
    for line in _remarks(runs, left, made):
        reporter.say(line)
    for notice in dict.fromkeys(line for planned in left for line in _notices(planned, data)):
        reporter.say(notice)
    with stopping() as stop:
        if cluster is not None:
            from p2pbench.ablation.ray import execute_on_cluster

            outcomes = execute_on_cluster(cluster, folder, left, data, reporter, stop)
        else:
            outcomes = _execute_here(left, data, parallel, reporter, stop)
        with closing(outcomes):  # on any exception, concurrent runs save their state before it propagates
            _report_outcomes(outcomes, len(left), reporter)
    items = {planned.run: len(data[data_key(planned.config)].items.test) for planned in runs}
    return Trained(folder, items, runs[0].config.device)


def _wanted(
    plan: Sequence[PlannedRun], available: Sequence[Precisions], data: Mapping[tuple[object, ...], Data]
) -> list[tuple[Run, RunConfig, Data]]:
    """Runs with the settings and data that must fit those of runs made before."""
    return [
        (
            planned.run,
            # CPU threads change the order of sums on a CPU only; on a GPU they change no result.
            planned.config if of_run.on_cpu else planned.config.model_copy(update={"threads": None}),
            data[data_key(planned.config)],
        )
        for planned, of_run in zip(plan, available, strict=True)
    ]


def _precisions(plan: Sequence[PlannedRun], cluster: Cluster | None) -> list[Precisions]:
    """Precisions available to each run on its device."""
    if cluster is None:
        return [precisions(pick_device(plan[0].config.device))] * len(plan)
    needs = [cluster.needs(planned.config.device, planned.config.threads) for planned in plan]
    # Asking the nodes takes seconds to minutes: once per number of GPUs, not per run.
    known = {gpus: cluster.precisions(gpus) for gpus in {need.gpus for need in needs}}
    return [known[need.gpus] for need in needs]


def _remarks(
    plan: Sequence[PlannedRun], left: Sequence[PlannedRun], made: Sequence[tuple[Run, RunRecord]]
) -> Iterator[str]:
    """Lines on skipped runs, and on flaws of runs made by older versions."""
    flaws = {run: wrong for run, _ in made if has_begun(run) and (wrong := flaw(run))}
    for planned in plan:
        if planned not in left:
            yield f"{planned.name}: finished before, skipped"
    for run, wrong in flaws.items():
        yield f"{run.cell} seed {run.seed}: {wrong}; delete {run.folder} to train it anew"
    old = [run for run, record in made if has_begun(run) and "content" not in record.data["test"]]
    if old:
        yield (
            f"{', '.join(f'{run.cell} seed {run.seed}' for run in old)}: made by an older version, which recorded no "
            "hashes of pictures; only the targets could be compared, and are the same"
        )


def _notices(planned: PlannedRun, data: Mapping[tuple[object, ...], Data]) -> Iterator[str]:
    """Lines for the user on a run's data."""
    of_run = data[data_key(planned.config)]
    yield from more_than_there_are(of_run.items, planned.config)
    yield from of_run.notices


def _execute_here(
    plan: Sequence[PlannedRun],
    data: Mapping[tuple[object, ...], Data],
    parallel: int,
    reporter: ProgressReporter,
    stop: Stop,
) -> Generator[RunOutcome, None, None]:
    """Run up to `parallel` runs concurrently, or sequentially if concurrency does not raise throughput."""
    count = min(parallel, len(plan))
    if count > 1:
        with workers(count, reporter, stop) as opened:
            if _is_quicker(opened, plan[:count], data, reporter):
                threads = share(count) if pick_device(plan[0].config.device).type == "cpu" else None
                say_threads(plan, threads, reporter)
                begun = []
                for planned in plan:
                    try:
                        begun.append(begin(planned, data[data_key(planned.config)], threads, reporter))
                    except MENDABLE as error:
                        yield planned, error
                yield from opened.execute(begun)
                return
    yield from _execute_sequentially(plan, data, reporter, stop)


def _is_quicker(
    opened: Workers, first: Sequence[PlannedRun], data: Mapping[tuple[object, ...], Data], reporter: ProgressReporter
) -> bool:
    """Whether concurrent runs raise total throughput, measured on the first of them; reports it."""
    cells = [(planned.config, data[data_key(planned.config)].channels) for planned in first]
    try:
        totals = throughput(opened.measure(cells))
        # A second try before giving up: other processes may have disturbed the first, and a wrong "no" costs hours.
        if not totals.raised:
            totals = max(totals, throughput(opened.measure(cells)), key=lambda measured: measured.gain)
    except NotMeasured as problem:
        reporter.say(f"{len(first)} concurrent runs: {problem}, {SEQUENTIAL}")
        return False
    reporter.say(verdict(len(first), totals))
    return totals.raised


def _execute_sequentially(
    plan: Sequence[PlannedRun], data: Mapping[tuple[object, ...], Data], reporter: ProgressReporter, stop: Stop
) -> Generator[RunOutcome, None, None]:
    threads = torch.get_num_threads()
    if plan and pick_device(plan[0].config.device).type == "cpu":
        say_threads(plan, threads, reporter)
    try:
        for planned in plan:
            try:
                of_run, device = data[data_key(planned.config)], pick_device(planned.config.device)
                begun = begin(planned, of_run, threads if device.type == "cpu" else None, reporter)
                torch.set_num_threads(begun.config.threads or threads)
                execute(begun, of_run, device, reporter, stop)
            except MENDABLE as error:
                yield planned, error
            else:
                yield planned, None
    finally:
        torch.set_num_threads(threads)


def _report_outcomes(outcomes: Iterator[RunOutcome], count: int, reporter: ProgressReporter) -> None:
    """Report each finished run; at the end raise its errors, `Stopped` first."""
    failed: list[Exception] = []
    for done, (planned, error) in enumerate(outcomes, 1):
        if error is None:
            reporter.say(f"[{done}/{count}] {planned.name}: trained, pictures made")
        else:
            failed.append(error)
            if isinstance(error, Stopped) or count == 1:
                break
            reporter.say(f"[{done}/{count}] {planned.name}: {error}")
    for error in failed:
        if isinstance(error, Stopped) or count == 1:
            raise error
    if failed:
        raise UserError(f"{len(failed)} of {count} runs failed; the first: {failed[0]}")


def _open_all(plan: Sequence[PlannedRun], reporter: ProgressReporter) -> dict[tuple[object, ...], Data]:
    """Open the data of all runs, each decoded once."""
    opened: dict[tuple[object, ...], Data] = {}
    for planned in plan:
        key = data_key(planned.config)
        if key not in opened:
            opened[key] = open_data(planned.config, lambda done, total: reporter.count("pictures decoded", done, total))
            for remark in opened[key].dataset.remarks:
                reporter.say(remark)
    return opened


def _write_grid(plan: GridPlan, runs: Sequence[PlannedRun], data: Data) -> None:
    config = runs[0].config
    write_grid(
        plan.grid,
        {
            "title": plan.config.title,
            "source": plan.config.source,
            "dataset": {
                "name": data.dataset.name,
                "root": config.root,
                "direction": data.dataset.direction,
                "test_split": config.test_split,
                "note": data.dataset.note,
                **data.describe(),
            },
            "settings": _shared(runs),
            "cells": {planned.run.cell: _own(planned, runs) for planned in runs},
            "seeds": sorted({planned.config.seed for planned in runs}),
        },
    )


def _shared(plan: Sequence[PlannedRun]) -> dict[str, Any]:
    """Settings that are equal in all cells."""
    first, *rest = (planned.config.model_dump(mode="json", exclude={"seed"}) for planned in plan)
    return {key: value for key, value in first.items() if all(other[key] == value for other in rest)}


def _own(planned: PlannedRun, plan: Sequence[PlannedRun]) -> dict[str, Any]:
    """Settings of a cell that are not equal in all cells."""
    shared = _shared(plan)
    settings = planned.config.model_dump(mode="json", exclude={"seed"})
    return {key: value for key, value in settings.items() if key not in shared}
