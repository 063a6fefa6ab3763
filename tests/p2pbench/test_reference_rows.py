"""The rows `input/` and `real/` beside the cells of a grid: pictures that a user put there are not touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2pbench.config import GridConfig
from p2pbench.errors import UserError
from reports.store.layout import Grid
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

pytestmark = pytest.mark.long

Start = Callable[[], Grid]


@pytest.fixture
def start(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))

    def run() -> Grid:
        grid = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
        settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1}
        return run_grid(tmp_path / "results", "one", grid, "own.toml", settings, [0], Notes())

    return run


def put(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(9, 32)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("ever", [False, True])
@pytest.mark.parametrize("name", ["real/images/mine.png", "input/images/mine.tif", "real/images/ITEM.png"])
def test_a_users_pictures_are_refused_and_stay(
    start: Start, folders: Path, tmp_path: Path, name: str, ever: bool
) -> None:
    item = sorted((folders / "A" / "test").iterdir())[0].stem
    if ever:
        start()
    path = tmp_path / "results" / "one" / name.replace("ITEM", item)
    content = put(path)
    with pytest.raises(UserError, match="was not made by this program, or was replaced since; .* move the file away"):
        start()
    assert path.read_bytes() == content
    path.unlink()
    start()


def test_other_files_of_a_user_and_equal_pictures_do_not_matter(start: Start) -> None:
    grid = start()
    for row in (grid.real, grid.input):
        (row.folder / "made.jsonl").unlink()
        (row.images / "notes.txt").write_text("mine")
    grid.references.unlink()
    grid.real.scores.mkdir(exist_ok=True)
    grid.real.score("mine").write_text("{}")
    shutil.rmtree(grid.run("L1", 0).folder)
    start()
    assert all((row.images / "notes.txt").read_text() == "mine" for row in (grid.real, grid.input))
    assert grid.real.score("mine").read_text() == "{}"


def test_rows_of_an_older_version_follow_the_data(start: Start, folders: Path) -> None:
    grid = start()
    for row in (grid.real, grid.input):
        (row.folder / "made.jsonl").unlink()
    shutil.rmtree(grid.run("L1", 0).folder)
    first, *_ = sorted((folders / "A" / "test").iterdir())
    Image.fromarray(picture(7)).save(first)
    start()
    expected = Image.fromarray(picture(7)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(Image.open(grid.input.pictures()[first.stem])), np.asarray(expected))
