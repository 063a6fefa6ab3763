"""Commands start quickly: imports and processor time of `--help`, and light commands without torch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from amt.protocol import Protocol
from amt.statistics.planning import ITEMS, ITEMS_ICC
from p2pbench.ablation.grid import preset_names
from p2pbench.cli import cli
from p2pbench.config import run_config
from p2pbench.datasets.pairs import PairedDataset
from p2pbench.datasets.photos import Colorization
from p2pbench.scoring.label_files import NUMBERINGS
from p2pbench.training.records import write_run
from reports import gallery, html
from reports.store.layout import Grid
from tests.amt.study import ALGORITHMS, make_pictures

HEAVY = {"torch", "pandas", "matplotlib", "scipy"}
MOST_SECONDS = 0.6  # of processor time
TRIES = 5
CODE = """
import sys
from p2pbench.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, and groups, with their names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(cli))


def run(*arguments: str, code: int = 0) -> tuple[str, set[str], float]:
    """A command in a process of its own: its output, the modules that were imported, seconds of processor time.

    Where it is to end with another code, what it prints on standard error belongs to its output.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *said, modules = done.stderr.splitlines()
    assert done.returncode == code, said
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + "\n".join(said) * (code != 0), set(modules.split()), seconds


def defaults(name: str, *more: str) -> dict[str | None, Any]:
    return {param.name: param.default for param in COMMANDS[name, *more].params}


@pytest.mark.process
@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_is_quick_and_imports_nothing_heavy(name: tuple[str, ...]) -> None:
    tried: list[float] = []
    while len(tried) < TRIES and min(tried, default=1.0) > MOST_SECONDS:
        output, modules, seconds = run(*name, "--help")
        assert f"Example: p2pbench {' '.join(name)}" in " ".join(output.split())
        assert not modules & HEAVY
        tried.append(seconds)
    assert min(tried) <= MOST_SECONDS


@pytest.mark.process
@pytest.mark.parametrize("name", ["datasets", "settings"])
def test_lists_import_nothing_heavy(name: str) -> None:
    output, modules, _ = run(name)
    assert len(output.splitlines()) > 20
    assert not modules & HEAVY


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train-ablation losses --set nonsense=1", "key 'nonsense' is unknown"),
        ("train-ablation losses --seeds 1,1", "--seeds 1,1: expected whole numbers"),
        ("train --set epochs=no", "key 'epochs': expected integer, found 'no'"),
        ("train --task facades", "task 'facades': unknown"),
        ("fcn-train --dataset maps --out fcn.safetensors", "key 'dataset': expected 'streets', "),
        ("fcn-score --self-test --dataset maps", "key 'dataset': expected 'streets', "),
    ],
)
def test_settings_are_refused_without_torch(line: str, expected: str) -> None:
    said, modules, _ = run(*line.split(), code=1)
    assert expected in said
    assert not modules & HEAVY


@pytest.mark.process
def test_a_study_and_its_report_import_no_torch(tmp_path: Path) -> None:
    results, grid = str(tmp_path / "results"), Grid(tmp_path / "results" / "losses")
    make_pictures(tmp_path / "pictures")
    grid.real.folder.mkdir(parents=True)
    (tmp_path / "pictures" / "real").rename(grid.real.images)
    split: dict[str, int | str] = {"n": 12, "hash": "0"}
    for seed, cell in enumerate(ALGORITHMS):
        config = run_config({"seed": seed, "objective": cell}, "test")
        write_run(grid.run(cell, seed), config, {"train": split, "test": split})
        (tmp_path / "pictures" / cell).rename(grid.run(cell, seed).images)
    cells: dict[str, object] = {cell: {} for cell in ALGORITHMS}
    document = {"title": "Losses", "cells": cells, "seeds": [0, 1], "dataset": {}, "settings": {}}
    grid.json.write_text(json.dumps(document))
    fakes = [f"--fake={cell}={grid.run(cell, seed).images}" for seed, cell in enumerate(ALGORITHMS)]
    small = ("--raters=2", "--practice=2", "--trials=4", "--size=16x16", "--simulated")
    for arguments, expected in (
        (("amt", "create", results, "--name=first", *small), "first: 2 algorithms (L1, cGAN), 12 items, 4 slots"),
        (("amt", "create", results, "--name=second", f"--real={grid.real.images}", *fakes, *small), "4 slots"),
        (("amt", "simulate", results, "--name=first"), "4 careful: completed"),
        (("amt", "status", results), "first (open, simulated)"),
        (("amt", "export", results, "--name=first", "--peek"), "answers.csv"),
        (("amt", "close", results, "--name=first"), "first: closed"),
        (("amt", "analyse", results, "--name=first"), "Study first: how often fakes were taken for real"),
        (("amt", "plan", "--difference=6"), "raters per algorithm"),
        (("report", results), "index.html"),
    ):
        output, modules, _ = run(*arguments)
        assert expected in output
        assert "torch" not in modules, arguments


def test_defaults_and_choices_in_help_are_those_of_the_program() -> None:
    from p2pbench.scoring.own_scorer import SCRATCH, VGG16  # imports torch

    create, protocol = defaults("amt", "create"), Protocol()
    assert (create["raters"], create["practice"], create["trials"], create["attention"], create["size"]) == (
        protocol.raters,
        protocol.practice,
        protocol.scored,
        protocol.attention,
        f"{protocol.width}x{protocol.height}",
    )
    assert defaults("amt", "plan")["items_icc"] == ITEMS_ICC
    assert f"[default: ({ITEMS}, or as many as trials)]" in _help("amt", "plan")
    assert f"as fit into {gallery.PICTURES} images, or {html.SINGLE_ITEMS} with --single-file" in _help("report")
    assert all(task in _help("train") for task in preset_names("tasks"))
    assert all(grid in _help("train-ablation") for grid in preset_names("grids"))
    assert defaults("fcn-train")["init"] == VGG16
    assert f"--init {VGG16}|{SCRATCH}|FILE" in _help("fcn-train")
    assert f"[{PairedDataset.name}|{Colorization.name}]" in _help("generator-import")
    assert all(numbering in _help("label-score") for numbering in NUMBERINGS)


def _help(*name: str) -> str:
    context = click.Context(COMMANDS[name], info_name=name[-1], terminal_width=1000, max_content_width=1000)
    return " ".join(COMMANDS[name].get_help(context).split())
