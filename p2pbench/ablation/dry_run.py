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
    """Cells, steps, parameters and time of a grid, a line each; nothing is written.

    Raises:
        UserError: As for the grid itself, what is there already included, but only a few pictures are decoded yet.
    """
    folder, runs = plan.grid, plan.runs
    device = pick_device(runs[0].config.device, runs[0].config.threads)
    made, there = read_runs(folder), precisions(device)
    opened: dict[tuple[object, ...], tuple[Dataset, Items, Channels]] = {}
    seconds: dict[RunConfig, float] = {}
    total = 0.0
    notices: dict[str, None] = {}  # in order, each once
    configs = [as_begun(planned, there, made) for planned in runs]
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
    if made:  # whose data are only then looked at in full
        contents = {key: contents_of(dataset, items) for key, (dataset, items, _) in opened.items()}
        for planned, config in zip(runs, configs, strict=True):
            of_run = contents[data_key(config)]
            check_files(planned.run)
            threaded = config if there.on_cpu else config.model_copy(update={"threads": None})
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


_LIKE = tuple(key for key in affecting("items") if "targets" in effects(key))
"""Settings that a grid must share for its variance between trainings, and its items, to predict another's."""


def difference_lines(plan: GridPlan) -> Iterator[str]:
    """The smallest differences that the seeds of a grid's cells detect, a line each.

    They rest on the grid's own scores where two of its cells have several seeds, else on those of the first other grid
    of the results folder that has the same test items and size; settings in which that grid was trained otherwise are
    named. Where there is none, a line says how to know. The seeds that the grid has come on top of the plan's.

    Raises:
        UserError: The dataset is not where the settings say, or a file of it cannot be read.
    """
    results, name = plan.grid.folder.parent, plan.grid.name
    configs = [planned.config for planned in plan.runs]
    seeds = {config.seed for config in configs}
    read = _descriptions(results)
    own = [seed for grid, description in read if grid.name == name for seed in description.seeds]
    number = len({*own, *seeds})
    if number == 1:
        yield "one training per cell: nothing will be decided over trainings; give --seeds 0,1,2 for that"
        return
    counts = sorted({number, *trainings.SEED_COUNTS})
    for grid, description in sorted(read, key=lambda each: each[0].name != name):
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
            yield f"{trainings.DETECTABLE}, on {items}, as the seeds of {grid.folder} tell{which}:"
            for _, of in known:
                yield from of
            return
        if trainings.why_none_detectable(scored) == trainings.NO_INTERVALS:
            yield f"how small a difference can be told is not known: {grid.folder} has {trainings.NO_INTERVALS}"
            return
    yield (
        "how small a difference between two cells can be told depends on how much trainings differ: after two seeds of "
        f"each cell, `p2pbench plan {typed(results)}` says it"
    )


def _descriptions(results: Path) -> list[tuple[Grid, GridDescription]]:
    """The grids of a results folder that can be read; the report names others."""
    found = []
    for grid in layout.grids(results):
        try:
            found.append((grid, grids.read(grid)))
        except ReportError:
            continue
    return found


def _is_like(description: GridDescription, config: RunConfig) -> bool:
    alike = all(description.settings.get(key) == getattr(config, key) for key in _LIKE)
    return alike and bool(_configs(description)) and _has_items(description, config)


def _trained_otherwise(description: GridDescription, configs: Sequence[RunConfig]) -> list[str]:
    """The settings of which a grid's cells had other values than these runs have, where they have an effect."""
    cells = _configs(description)
    keys = [key for key in RunConfig.model_fields if key not in {*NOT_IDENTITY, *_LIKE, "seed"}]
    values = {key: (_values(cells, key), _values(configs, key)) for key in keys}
    return [key for key, (theirs, ours) in values.items() if theirs and ours and theirs != ours]


def _configs(description: GridDescription) -> list[RunConfig]:
    """Of the cells, without what this version does not know; none where a setting is not what it may be."""
    cells = [{**description.settings, **cell} for cell in description.cells.values()]
    known = [{key: value for key, value in cell.items() if key in RunConfig.model_fields} for cell in cells]
    try:
        return [run_config(cell, description.title) for cell in known]
    except UserError:
        return []


def _values(configs: Iterable[RunConfig], key: str) -> set[str]:
    return {json.dumps(getattr(config, key)) for config in configs if not config.without_effect(key)}


def _has_items(description: GridDescription, config: RunConfig) -> bool:
    """Whether a grid's test items are those of a run of these settings, with the same contents, wherever they lie."""
    was = description.dataset.get("test")
    if not isinstance(was, dict):
        return False
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    if "content" in was:
        return bool(was["content"] == digest(item_contents(dataset, items.test)))
    now = items.describe()["test"]  # older versions recorded no contents
    return all(was.get(key) == now[key] for key in ("n", "hash"))
