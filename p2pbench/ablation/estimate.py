"""What a grid will cost, from a few measured steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from p2pbench.ablation.data import contents_of, data_key, describe
from p2pbench.ablation.grid import expand
from p2pbench.ablation.pace import measure_step
from p2pbench.ablation.run import is_finished
from p2pbench.ablation.runner import as_begun
from p2pbench.config import GridConfig, RunConfig
from p2pbench.datasets.cache import Channels
from p2pbench.datasets.catalogue import Items, clusters_of_items, files_of, more_than_there_are, open_dataset, run_items
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.filled import dataset_lines
from p2pbench.datasets.survey import sample_channels
from p2pbench.results import check_files, check_fits, read_runs
from p2pbench.training.device import pick_device
from p2pbench.training.model import build
from p2pbench.training.precision import precisions
from reports import apart
from reports.layout import Grid
from reports.names import counted, duration


def estimate_lines(
    results: Path, name: str, grid: GridConfig, where: str, overrides: Mapping[str, Any], seeds: Sequence[int] | None
) -> Iterator[str]:
    """Cells, steps, parameters and time of a grid, a line each; nothing is written.

    Raises:
        UserError: as for the grid itself, what is there already included, but only a few pictures are decoded yet.
    """
    folder = Grid(results / name)
    plan = expand(folder, grid, where, overrides, seeds or grid.seeds)
    device = pick_device(plan[0].config.device, plan[0].config.threads)
    made, there = read_runs(folder), precisions(device)
    opened: dict[tuple[object, ...], tuple[Dataset, Items, Channels]] = {}
    seconds: dict[RunConfig, float] = {}
    total = 0.0
    notices: dict[str, None] = {}  # in order, each once
    configs = [as_begun(planned, there, made) for planned in plan]
    for config in configs:
        if data_key(config) not in opened:
            dataset = open_dataset(config)
            items = run_items(dataset, config)
            apart.check(results / name, files_of(items))
            notices |= dict.fromkeys(clusters_of_items(dataset, items, config).notices)
            channels = sample_channels(dataset, [*items.train, *items.test], config)
            yield from dataset.remarks
            notices |= dict.fromkeys(dataset_lines(dataset, items, channels, config))
            opened[data_key(config)] = dataset, items, channels
        notices = dict.fromkeys(more_than_there_are(opened[data_key(config)][1], config)) | notices
    if made:  # whose data are only then looked at in full
        contents = {key: contents_of(dataset, items) for key, (dataset, items, _) in opened.items()}
        for planned, config in zip(plan, configs, strict=True):
            of_run = contents[data_key(config)]
            check_files(planned.run)
            threaded = config if there.on_cpu else config.model_copy(update={"threads": None})
            check_fits(planned.run, threaded, describe(opened[data_key(config)][1], of_run), made, of_run)
    left = []
    for planned, config in zip(plan, configs, strict=True):
        if is_finished(planned.run, opened[data_key(config)][1].test):
            yield f"{planned.name}: finished before, would be skipped"
        else:
            left.append((planned, config))
    if left:
        yield f"{'run':<28} {'steps':>8} {'parameters G':>12} {'parameters D':>12} {'ms/step':>7} {'time':>8}"
    for planned, config in left:
        _, items, channels = opened[data_key(config)]
        unseeded = config.model_copy(update={"seed": 0})
        model = build(config, channels, device)
        if unseeded not in seconds:
            seconds[unseeded] = measure_step(config, channels, device)
        steps = math.ceil(len(items.train) / config.batch_size) * config.epochs
        total += steps * seconds[unseeded]
        yield (
            f"{f'{planned.run.cell} seed {config.seed}':<28} {steps:>8} {_parameters(model.generator):>12,} "
            f"{_parameters(model.discriminator):>12,} {1000 * seconds[unseeded]:>7.1f} "
            f"{duration(steps * seconds[unseeded]):>8}"
        )
    yield from notices
    order = ", one after the other" if len(left) > 1 else ""
    yield f"{counted(len(left), 'run')} on {device}, about {duration(total)} of training{order}"


def _parameters(network: torch.nn.Module | None) -> int:
    return sum(parameter.numel() for parameter in network.parameters()) if network is not None else 0
