"""config.json and grid.json: settings and data of runs.

With the checks whether a new run fits them.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from p2pbench.config import NOT_IDENTITY, SHARED, RunConfig, affecting, run_config
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.datasets.dataset import MOST_NAMED, Dataset, Item, item_hash
from p2pbench.errors import UserError
from p2pbench.installation import VERSION
from p2pbench.runtime.files import is_held, owned
from p2pbench.training.leftovers import check_leftovers, check_outputs
from reports.store import atomic, grids, json_files
from reports.store.arithmetic import ARITHMETIC, flaw
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run
from reports.store.names import counted

VERSIONED = ("torch", "torchvision", "numpy", "scikit-image", "pillow")


Description = dict[str, dict[str, int | str]]
"""Items of each split: their number, a hash of their ids, and a hash of their contents (older versions: none)."""

Contents = Mapping[str, Mapping[str, str]]
"""Hash of each item's content by its id, by split; see `p2pbench.datasets.contents`."""


class RunRecord(BaseModel):
    """config.json: settings, data and versions of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: RunConfig
    data: Description
    versions: dict[str, str]
    arithmetic: int = 1  # which older versions did not write

    @field_validator("data")
    @classmethod
    def _described(cls, data: Description) -> Description:
        for split in ("train", "test"):
            of_split = data.get(split, {})
            if type(of_split.get("n")) is not int or not isinstance(of_split.get("hash"), str):
                raise ValueError(f"expected n and hash of the {split} items, found {of_split}")
        return data


def check_files(run: Run) -> None:
    """Refuse a run's folder with foreign or replaced files.

    They would be taken for the run's own.

    Raises:
        UserError: one is there; it is named.
    """
    if not run.config.exists():
        leftovers = [path.name for path in (run.checkpoint, run.generator) if path.exists()]
        if leftovers:
            raise UserError(
                f"{run.folder}: holds {leftovers[0]} but no config.json; move it away, or use another results folder"
            )
    check_outputs(run)
    if not has_begun(run):
        check_leftovers(run)


def check_fits(
    run: Run,
    config: RunConfig,
    data: Description,
    made: Sequence[tuple[Run, RunRecord]],
    contents: Contents | None = None,
) -> None:
    """Refuse a run that does not fit the grid's runs.

    A run resumes only with its own settings and data. Other seeds of its cell must have the same, and other cells the
    same test pictures, for they stand in one table. Where nothing was trained, nothing has to fit.

    Args:
        run: the run to be.
        config: its settings.
        data: its items.
        made: all runs that are there.
        contents: those of its items, so that the ones that differ can be named.

    Raises:
        UserError: settings or items differ, each difference is shown; or the run would resume from weights that an
            older version trained with wrong gradients, or another one by an arithmetic that is not known here.
    """
    for other, record in made:
        if not has_begun(other):
            continue
        # Within a cell all settings but the seed must agree; across cells only those that select the test pictures.
        keys = set(RunConfig.model_fields) - NOT_IDENTITY if other.cell == run.cell else set(SHARED) - NOT_IDENTITY
        splits = data.keys() if other.cell == run.cell else {"test"}
        if other.seed != run.seed:
            keys -= {"seed"}
        # The same run: another number of threads would round sums differently from here on.
        elif other.cell == run.cell and record.settings.threads is not None and config.threads is not None:
            keys |= {"threads"}
        differences = [
            *_differences(record, config, keys),
            *_data_differences(other, record, data, contents or {}, splits),
        ]
        if differences:
            raise UserError(
                f"{other.folder} was made with other settings or data: {'; '.join(differences)}. "
                "Use another results folder, or delete that folder to train anew"
            )
        wrong = flaw(other)
        if other == run and wrong and not other.generator.exists():
            raise UserError(
                f"{other.folder}: {wrong}; it is not finished, and would resume from their state. "
                "Delete that folder to train anew, or finish it with the version that began it"
            )


def identity(config: RunConfig, data: Description) -> dict[str, Any]:
    """Identity of a run: settings and items as plain values."""
    settings = config.model_dump(mode="json", exclude=set(NOT_IDENTITY))
    return settings | {f"{split} items": dict(of_split) for split, of_split in data.items()}


def has_begun(run: Run) -> bool:
    """Whether a run has files of training, or another process holds it."""
    return run.checkpoint.exists() or run.generator.exists() or is_held(run)


def how_to_change(run: Run, *, shared: bool) -> str:
    """Advice on how to change a run's settings.

    Given the runs that must fit it; see `check_fits`.

    Args:
        run: the run.
        shared: whether the settings may be those that all cells share, instead of the cell's own.
    """
    others = [other for other in grid_of(run).runs() if shared or other.cell == run.cell]
    kept = [other for other in {run, *others} if other.checkpoint.exists() or other.generator.exists()]
    if not kept:
        return "nothing was kept of it, so the same command may change its settings"
    folders = ", ".join(sorted(str(other.folder) for other in kept))
    return f"what has begun keeps its settings, so change them in another results folder, or delete {folders} first"


def _differences(record: RunRecord, config: RunConfig, keys: Collection[str]) -> list[str]:
    old, new = record.settings.model_dump(), config.model_dump()
    if old["precision"] == "auto":  # made before runs said what they ran in
        keys = set(keys) - {"precision"}
    return [
        f"{key} was {_shown(old[key])}, is {_shown(new[key])}" for key in new if key in keys and old[key] != new[key]
    ]


def _data_differences(
    run: Run, record: RunRecord, data: Description, contents: Contents, splits: Collection[str]
) -> list[str]:
    """List how a run's items differ from others.

    The first new, missing or changed ones are named.
    """
    found = []
    for split in sorted(splits):
        was, now = record.data[split], data[split]
        # Older versions recorded ids only; then changed contents go unnoticed.
        old = read_contents(grid_of(run), str(was["content"])) if "content" in was else {}
        if (was["n"], was["hash"]) != (now["n"], now["hash"]):
            found.append(
                f"the {split} items were {was['n']} ({was['hash']}), are {now['n']} ({now['hash']})"
                f"{_new_and_gone(old, contents.get(split, {}))}"
            )
        elif "content" in was and "content" in now and was["content"] != now["content"]:
            found.append(f"of {counted(int(now['n']), f'{split} item')} {changed_items(old, contents.get(split, {}))}")
    return found


def check_test_items(run: Run, record: RunRecord, dataset: Dataset, items: Sequence[Item]) -> None:
    """Refuse to score a run against changed test items.

    Not checked where photos are missing.

    Raises:
        UserError: they have other contents; they are named.
    """
    was = record.data["test"]
    there = all(file.exists() for item in items for file in item.files)
    if "content" not in was or not there or item_hash(items) != was["hash"]:
        return
    contents = item_contents(dataset, items)
    if digest(contents) != was["content"]:
        changed = changed_items(read_contents(grid_of(run), str(was["content"])), contents)
        raise UserError(
            f"{run.folder} was made from other test items: of {len(items)} {changed}. Put those back that it was made "
            "from, name the folder where those are now, or train anew into another results folder"
        )


def changed_items(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Number of items with changed contents, and the first."""
    ids = [id_ for id_ in new if id_ in old and old[id_] != new[id_]]
    if not ids:  # what they were is not known
        return "some have other contents"
    named = ", ".join(ids[:MOST_NAMED]) + (", ..." if len(ids) > MOST_NAMED else "")
    return f"{len(ids)} {'has' if len(ids) == 1 else 'have'} other contents: {named}"


def _new_and_gone(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Name the first new and the first missing item, if both lists are known."""
    if not old or not new:
        return ""
    others = (("new", [id_ for id_ in new if id_ not in old]), ("gone", [id_ for id_ in old if id_ not in new]))
    return "".join(f", {word}: {ids[0]}{', ...' * (len(ids) > 1)}" for word, ids in others if ids)


def grid_of(run: Run) -> Grid:
    """Grid of a trained run."""
    return Grid(run.folder.parent.parent)


def write_contents(grid: Grid, data: Description, contents: Contents) -> None:
    """Write the hash of each item's content.

    So that changed items can be named later.
    """
    for split, of_items in contents.items():
        path = grid.contents(str(data[split]["content"]))
        if not path.exists():
            atomic.write(path, json.dumps(dict(of_items), indent=0).encode() + b"\n")


def read_contents(grid: Grid, digest: str) -> dict[str, str]:
    """Read the hash of each item's content by its id.

    Empty where the file is missing.
    """
    try:
        return json_files.read(grid.contents(digest), dict[str, str], "delete it")
    except ReportError:
        return {}


def read_references(path: Path) -> dict[str, str]:
    """Read what each target, or input, picture was made from, by item.

    Nothing where that is damaged, as the pictures can be made again.
    """
    try:
        return json_files.read(path, dict[str, str], "delete it")
    except ReportError:
        return {}


def read_runs(grid: Grid) -> list[tuple[Run, RunRecord]]:
    """Read the runs of a grid that have a config.json.

    Raises ReportError if one is damaged.
    """
    return [(run, read_run(run)) for run in grid.runs() if run.config.exists()]


def write_run(run: Run, config: RunConfig, data: Description) -> None:
    """Write config.json, unless the run has begun or has the same one.

    Raises:
        UserError: another process is at a run that had other settings or data.
    """
    record = RunRecord(settings=config, data=data, versions=versions(), arithmetic=ARITHMETIC)
    if not run.config.exists():
        _write_record(run, record)
    elif not has_begun(run) and read_run(run) != record:
        with owned(run):
            _write_record(run, record)


def _write_record(run: Run, record: RunRecord) -> None:
    atomic.write(run.config, record.model_dump_json(indent=1).encode() + b"\n")


def read_run(run: Run) -> RunRecord:
    """Read config.json.

    Raises:
        ReportError: it is missing, damaged, or of another version.
    """
    return json_files.read(run.config, RunRecord, "put it back, or move the run's folder away")


def write_grid(grid: Grid, content: dict[str, Any]) -> None:
    """Write grid.json, the description of the whole ablation for the report.

    Cells and seeds of earlier calls stay in it.
    """
    if grid.json.exists():
        old = grids.read(grid)
        content = content | {
            "cells": content["cells"]
            | {name: cell for name, cell in old.cells.items() if name not in content["cells"]},
            "seeds": sorted({*content["seeds"], *old.seeds}),
        }
    content = content | {"versions": versions(), "git_revision": git_revision()}
    atomic.write(grid.json, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def found_now(settings: RunConfig, grid: Grid, root: str | None = None, clusters: str | None = None) -> RunConfig:
    """Update settings that may change after training.

    To those given, or the grid's last.

    Args:
        settings: Those of its training.
        grid: Its grid.
        root: Folder of its data.
        clusters: Clusters of its test items.

    Raises:
        UserError: grid.json holds clusters that cannot be.
    """
    known = grids.read(grid) if grid.json.exists() else None
    now: dict[str, object] = {"clusters": clusters or (known.settings.get("clusters") if known else settings.clusters)}
    if settings.root is not None:
        now["root"] = root or (known.dataset.get("root") if known else None) or settings.root
    return run_config({**settings.model_dump(), **now}, str(grid.json))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), "p2pbench": VERSION, **_found()}  # which need not be installed


@cache
def _found() -> dict[str, str]:
    """Versions of packages, which are those of the process even if others are installed meanwhile."""
    return {name: importlib.metadata.version(name) for name in VERSIONED}


def git_revision() -> str | None:
    """Git revision of the code, where it runs from a checkout."""
    # With "-dirty" for uncommitted changes, which a revision alone would hide.
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def origin(run: Run) -> dict[str, object]:
    """Protocol entries on how a run's outputs were made."""
    record = read_run(run)
    config, test = record.settings, record.data["test"]
    return {
        "data": f"{config.dataset}, {test['n']} test items ({test['hash']})",
        "data_note": DATASETS[config.dataset].note,
        "resizing": "Pillow bilinear; labels nearest neighbour",
        **{key: getattr(config, key) for key in affecting("outputs")},
    }
