"""The number of threads of a run on a CPU, which changes how sums are rounded: said and recorded, unless it is set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from p2pbench.ablation import timing
from p2pbench.ablation.workers import share
from p2pbench.config import GridConfig
from p2pbench.training.records import read_runs
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY

pytestmark = pytest.mark.long

GRID = GridConfig(title="Two", cells={"L1": {"objective": "L1"}, "L1+cGAN": {}})


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("parallel", "threads"), [(1, 3), (2, share(2))])
def test_threads_that_nobody_set_are_said_before_training_and_recorded(
    parallel: int, threads: int, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "NO_GAIN", 0.0)
    settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1}
    notes = Notes()
    grid = run_grid(tmp_path, "two", GRID, "own.toml", settings, [0], notes, parallel)
    (place,) = [index for index, line in enumerate(notes.said) if line.startswith("threads = ")]
    assert notes.said[place].startswith(f"threads = {threads} for each run, recorded with it: another number, ")
    assert notes.said[place].endswith("; --set threads=N fixes it")
    assert "trained, pictures made" in notes.said[place + 1]
    assert [record.settings.threads for _, record in read_runs(grid)] == [threads, threads]
    notes = Notes()
    run_grid(tmp_path, "two", GRID, "own.toml", settings, [0], notes, parallel)  # finished before
    assert not any(line.startswith("threads = ") for line in notes.said)


def test_threads_that_were_set_need_no_word(folders: Path, tmp_path: Path) -> None:
    notes = Notes()
    settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1, "threads": 1}
    grid = run_grid(tmp_path, "two", GRID, "own.toml", settings, [0], notes)
    assert not any(line.startswith("threads = ") for line in notes.said)
    assert [record.settings.threads for _, record in read_runs(grid)] == [1, 1]
