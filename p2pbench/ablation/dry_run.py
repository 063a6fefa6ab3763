"""Dry run: steps, parameters, estimated time and detectable differences of a grid."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from p2pbench.ablation.data import contents_of, data_key, describe
from p2pbench.ablation.grid import GridPlan
from p2pbench.ablation.run import as_begun, is_finished
from p2pbench.ablation.timing import measure_step
from p2pbench.config import NOT_IDENTITY, RunConfig, affecting, effects, run_config
from p2pbench.datasets.catalogue import Items, clusters_of_items, files_of, more_than_there_are, open_dataset, run_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.datasets.dataset import Channels, Dataset
from p2pbench.datasets.survey import dataset_lines, sample_channels
from p2pbench.errors import UserError
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.precision import precisions
from p2pbench.training.model import build
from p2pbench.training.records import check_files, check_fits, read_runs
from reports import tables, trainings
from reports.store import apart, grids, layout
from reports.store.errors import ReportError
from reports.store.grids import GridDescription
from reports.store.layout import Grid
from reports.store.names import counted, duration, typed


def estimate_lines(plan: GridPlan) -> Iterator[str]:
    """Cells, steps, parameters and time of a grid, one line each.

    Nothing is written.

    Raises:
        UserError: As `run_grid`, runs made before included; but only a few pictures are decoded.
    """
    folder, runs = plan.grid, plan.runs
    device = pick_device(runs[0].config.device, runs[0].config.threads)
    made, available = read_runs(folder), precisions(device)
    opened: dict[tuple[object, ...], tuple[Dataset, Items, Channels]] = {}
    seconds: dict[RunConfig, float] = {}
    total = 0.0
    notices: dict[str, None] = {}  # in order, each once
    configs = [as_begun(planned, available, made) for planned in runs]
    for config in configs:
        if data_key(config) not in opened:
            dataset = open_dataset(config)
            items = run_items(dataset, config)
            apart.check(folder.folder, files_of(items))
            notices |= dict.fromkeys(clusters_of_items(dataset, items, config).notices)
            channels = sample_channels(dataset, [*items.train, *items.test], config)
            yield from dataset.remarks
            notices |= dict.fromkeys(dataset_lines(dataset, items, channels, config))
            opened[data_key(config)] = dataset, items, channels
        notices = dict.fromkeys(more_than_there_are(opened[data_key(config)][1], config)) | notices
    # Hashing every file of a large dataset takes minutes: only worth it where made runs have to be compared with.
    if made:
        contents = {key: contents_of(dataset, items) for key, (dataset, items, _) in opened.items()}
        for planned, config in zip(runs, configs, strict=True):
            of_run = contents[data_key(config)]
            check_files(planned.run)
            threaded = config if available.on_cpu else config.model_copy(update={"threads": None})
            check_fits(planned.run, threaded, describe(opened[data_key(config)][1], of_run), made, of_run)
    left = []
    for planned, config in zip(runs, configs, strict=True):
        if is_finished(planned.run, opened[data_key(config)][1].test):
            yield f"{planned.name}: finished before, would be skipped"
        else:
            left.append((planned, config))
    if left:
        yield f"{'run':<28} {'steps':>8} {'parameters G':>12} {'parameters D':>12} {'ms/step':>7} {'time':>8}"
    for planned, config in left:
        _, items, channels = opened[data_key(config)]
        unseeded = config.model_copy(update={"seed": 0})  # seeds of a cell take equally long: each cell is timed once
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
    order = ", sequentially" if len(left) > 1 else ""
    yield f"{counted(len(left), 'run')} on {device}, about {duration(total)} of training{order}"


def _parameters(network: torch.nn.Module | None) -> int:
    return sum(parameter.numel() for parameter in network.parameters()) if network is not None else 0


_LIKE = tuple(key for key in affecting("items") if "targets" in effects(key))
"""Settings in which a grid must agree for its variance between trainings to predict that of another."""


def difference_lines(plan: GridPlan) -> Iterator[str]:
    """Smallest differences between cells detectable with the grid's seeds, one line each.

    Estimated from the grid's own scores if two of its cells have several seeds, else from those of the first other
    grid of the results folder with the same test items and image size; settings that differ there are named. Without
    either, a line says how to find out. Seeds that the grid has already count in addition to the plan's.

    Raises:
        UserError: The dataset is not where the settings say, or a file of it cannot be read.
    """
    results, name = plan.grid.folder.parent, plan.grid.name
    configs = [planned.config for planned in plan.runs]
    seeds = {config.seed for config in configs}
    read = _descriptions(results)
    own = [seed for grid, description in read if grid.name == name for seed in description.seeds]
    n_seeds = len({*own, *seeds})
    if n_seeds == 1:
        yield "one training per cell: nothing will be decided over trainings; give --seeds 0,1,2 for that"
        return
    counts = sorted({n_seeds, *trainings.SEED_COUNTS})
    for grid, description in sorted(read, key=lambda pair: pair[0].name != name):  # the grid itself first
        if grid.name != name and not _is_like(description, configs[0]):
            continue
        if description.settings.get("clusters") != configs[0].clusters:  # its own are scored again by these
            continue
        scored = tables.read(grid, description)
        known = [(table, of) for table in scored if (of := trainings.detectable_lines(table, counts))]
        if known:
            items = counted(known[0][0].rows[0].n, "test item")
            others = [] if grid.name == name else _trained_otherwise(description, configs)
            which = f", which was trained with other {', '.join(others)}" if others else ""
            yield f"{trainings.DETECTABLE}, on {items}, estimated from the seeds of {grid.folder}{which}:"
            for _, of in known:
                yield from of
            return
        if trainings.why_none_detectable(scored) == trainings.NO_INTERVALS:
            yield f"the smallest detectable difference is unknown: {grid.folder} has {trainings.NO_INTERVALS}"
            return
    yield (
        "the smallest detectable difference between two cells depends on how much trainings differ: after two seeds "
        f"per cell, `p2pbench plan {typed(results)}` estimates it"
    )


def _descriptions(results: Path) -> list[tuple[Grid, GridDescription]]:
    """The grids of a results folder that can be read; the report names the others."""
    readable = []
    for grid in layout.grids(results):
        try:
            readable.append((grid, grids.read(grid)))
        except ReportError:
            continue
    return readable


def _is_like(description: GridDescription, config: RunConfig) -> bool:
    alike = all(description.settings.get(key) == getattr(config, key) for key in _LIKE)
    return alike and bool(_configs(description)) and _has_items(description, config)


def _trained_otherwise(description: GridDescription, configs: Sequence[RunConfig]) -> list[str]:
    """Settings with an effect whose values differ between a grid's cells and these runs."""
    cells = _configs(description)
    keys = [key for key in RunConfig.model_fields if key not in {*NOT_IDENTITY, *_LIKE, "seed"}]
    values = {key: (_values(cells, key), _values(configs, key)) for key in keys}
    return [key for key, (theirs, ours) in values.items() if theirs and ours and theirs != ours]


def _configs(description: GridDescription) -> list[RunConfig]:
    """Settings of the cells, without those unknown to this version; empty if one is invalid."""
    cells = [{**description.settings, **cell} for cell in description.cells.values()]
    known = [{key: value for key, value in cell.items() if key in RunConfig.model_fields} for cell in cells]
    try:
        return [run_config(cell, description.title) for cell in known]
    except UserError:
        return []


def _values(configs: Iterable[RunConfig], key: str) -> set[str]:
    return {json.dumps(getattr(config, key)) for config in configs if not config.without_effect(key)}


def _has_items(description: GridDescription, config: RunConfig) -> bool:
    """Whether a grid has the test items of these settings, by content, in whatever folder."""
    was = description.dataset.get("test")
    if not isinstance(was, dict):
        return False
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    if "content" in was:
        return bool(was["content"] == digest(item_contents(dataset, items.test)))
    now = items.describe()["test"]  # older versions recorded no contents
    return all(was.get(key) == now[key] for key in ("n", "hash"))
