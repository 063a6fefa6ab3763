"""What a grid will cost, from a few measured steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from p2pbench.ablation.data import data_key
from p2pbench.ablation.grid import expand
from p2pbench.ablation.pace import measure_step
from p2pbench.config import GridConfig, RunConfig
from p2pbench.datasets.cache import Channels
from p2pbench.datasets.catalogue import Items, files_of, more_than_there_are, open_dataset, run_items
from p2pbench.datasets.filled import dataset_lines
from p2pbench.datasets.survey import sample_channels
from p2pbench.training.device import pick_device
from p2pbench.training.model import build
from p2pbench.training.precision import resolved
from reports import apart
from reports.layout import Grid
from reports.names import counted


def estimate_lines(
    results: Path, name: str, grid: GridConfig, where: str, overrides: Mapping[str, Any], seeds: Sequence[int] | None
) -> Iterator[str]:
    """Cells, steps, parameters and time of a grid, a line each; nothing is written.

    Raises:
        UserError: as for the grid itself, but only a few pictures are decoded yet.
    """
    plan = expand(Grid(results / name), grid, where, overrides, seeds or grid.seeds)
    device = pick_device(plan[0].config.device, plan[0].config.threads)
    opened: dict[tuple[object, ...], tuple[Items, Channels]] = {}
    seconds: dict[RunConfig, float] = {}
    total = 0.0
    notices: dict[str, None] = {}  # in order, each once
    configs = [resolved(planned.config, device) for planned in plan]
    for config in configs:
        if data_key(config) not in opened:
            dataset = open_dataset(config)
            items = run_items(dataset, config)
            apart.check(results / name, files_of(items))
            channels = sample_channels(dataset, [*items.train, *items.test], config)
            yield from dataset.remarks
            notices |= dict.fromkeys(dataset_lines(dataset, items, channels, config))
            opened[data_key(config)] = items, channels
        notices = dict.fromkeys(more_than_there_are(opened[data_key(config)][0], config)) | notices
    yield f"{'run':<28} {'steps':>8} {'parameters G':>12} {'parameters D':>12} {'ms/step':>7} {'time':>8}"
    for planned, config in zip(plan, configs, strict=True):
        items, channels = opened[data_key(config)]
        unseeded = config.model_copy(update={"seed": 0})
        model = build(config, channels, device)
        if unseeded not in seconds:
            seconds[unseeded] = measure_step(config, channels, device)
        steps = math.ceil(len(items.train) / config.batch_size) * config.epochs
        total += steps * seconds[unseeded]
        yield (
            f"{f'{planned.run.cell} seed {config.seed}':<28} {steps:>8} {_parameters(model.generator):>12,} "
            f"{_parameters(model.discriminator):>12,} {1000 * seconds[unseeded]:>7.1f} "
            f"{_time(steps * seconds[unseeded]):>8}"
        )
    yield from notices
    order = ", one after the other" if len(plan) > 1 else ""
    yield f"{counted(len(plan), 'run')} on {device}, about {_time(total)} of training{order}"


def _parameters(network: torch.nn.Module | None) -> int:
    return sum(parameter.numel() for parameter in network.parameters()) if network is not None else 0


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
