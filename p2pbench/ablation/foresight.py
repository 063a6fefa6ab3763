"""What difference between two cells a grid's seeds could tell, said before it is trained."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from p2pbench.config import NOT_IDENTITY, RunConfig, run_config
from p2pbench.datasets.catalogue import open_dataset, run_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.errors import UserError
from reports import grids, layout, sensitivity, tables
from reports.errors import ReportError
from reports.grids import Description
from reports.layout import Grid
from reports.names import counted, typed

_LIKE = ("dataset", "direction", "test_split", "test_items", "image_size")
"""Settings that a grid must share for its chance of training, and its items, to tell of another's."""


def lines(results: Path, name: str, configs: Sequence[RunConfig], seeds: Collection[int]) -> Iterator[str]:
    """The smallest differences that so many seeds of each cell find, a line each.

    They rest on the grid's own scores where two of its cells have several seeds, else on those of the first other grid
    of the results folder that has the same test items and size; in which settings that one was trained otherwise is
    said. Where there is none, a line says how to know.

    Args:
        results: The results folder.
        name: The grid's name.
        configs: Of its runs, at least one of each cell.
        seeds: Those that are asked for; those that the grid has come on top.

    Raises:
        UserError: The dataset is not where the settings say, or a file of it cannot be read.
    """
    read = _descriptions(results)
    own = [seed for grid, description in read if grid.name == name for seed in description.seeds]
    number = len({*own, *seeds})
    if number == 1:
        yield "one training per cell: nothing will be decided over trainings; give --seeds 0,1,2 for that"
        return
    counts = sorted({number, *sensitivity.SEEDS})
    for grid, description in sorted(read, key=lambda each: each[0].name != name):
        if grid.name != name and not _is_like(description, configs[0]):
            continue
        if description.settings.get("clusters") != configs[0].clusters:  # its own are scored again by these
            continue
        scored = tables.read(grid, description)
        known = [(table, of) for table in scored if (of := sensitivity.lines(table, counts))]
        if known:
            items = counted(known[0][0].rows[0].n, "test item")
            others = [] if grid.name == name else _trained_otherwise(description, configs)
            which = f", which was trained with other {', '.join(others)}" if others else ""
            yield f"{sensitivity.MEANING}, on {items}, as the seeds of {grid.folder} tell{which}:"
            for _, of in known:
                yield from of
            return
        if sensitivity.lacking(scored) == sensitivity.NO_INTERVALS:
            yield f"how small a difference can be told is not known: {grid.folder} has {sensitivity.NO_INTERVALS}"
            return
    yield (
        "how small a difference between two cells can be told depends on how much trainings differ: after two seeds of "
        f"each cell, `p2pbench plan {typed(results)}` says it"
    )


def _descriptions(results: Path) -> list[tuple[Grid, Description]]:
    """The grids of a results folder that can be read; the report names others."""
    found = []
    for grid in layout.grids(results):
        try:
            found.append((grid, grids.read(grid)))
        except ReportError:
            continue
    return found


def _is_like(description: Description, config: RunConfig) -> bool:
    alike = all(description.settings.get(key) == getattr(config, key) for key in _LIKE)
    return alike and bool(_configs(description)) and _has_items(description, config)


def _trained_otherwise(description: Description, configs: Sequence[RunConfig]) -> list[str]:
    """The settings of which a grid's cells had other values than these runs have, where they have an effect."""
    cells = _configs(description)
    keys = [key for key in RunConfig.model_fields if key not in {*NOT_IDENTITY, *_LIKE, "seed"}]
    values = {key: (_values(cells, key), _values(configs, key)) for key in keys}
    return [key for key, (theirs, ours) in values.items() if theirs and ours and theirs != ours]


def _configs(description: Description) -> list[RunConfig]:
    """Of the cells, without what this version does not know; none where a setting is not what it may be."""
    cells = [{**description.settings, **cell} for cell in description.cells.values()]
    known = [{key: value for key, value in cell.items() if key in RunConfig.model_fields} for cell in cells]
    try:
        return [run_config(cell, description.title) for cell in known]
    except UserError:
        return []


def _values(configs: Iterable[RunConfig], key: str) -> set[str]:
    return {json.dumps(getattr(config, key)) for config in configs if not config.without_effect(key)}


def _has_items(description: Description, config: RunConfig) -> bool:
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
