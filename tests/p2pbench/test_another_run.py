"""Weights of another run are not taken for a run's own, and calls at once train on the same data or not at all."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from p2pbench.config import GridConfig
from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from p2pbench.runtime.files import locked
from p2pbench.training.generated_folder import generate
from reports.store import arithmetic, ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from tests.p2pbench.grids import estimate_lines, image_score, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

pytestmark = pytest.mark.long

L1 = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
L2 = GridConfig(title="One", cells={"L2": {"objective": "L2"}})
Start = Callable[..., Grid]


@pytest.fixture
def start(folders: Path, tmp_path: Path) -> Start:
    def run(
        out: str = "results",
        root: Path = folders,
        grid: GridConfig = L1,
        seeds: Any = (0,),  # noqa: ANN401
        notes: Notes | None = None,
        **changed: object,
    ) -> Grid:
        settings = {**TINY, "root": str(root), "device": "cpu", "epochs": 1, **changed}
        return run_grid(tmp_path / out, "one", grid, "own.toml", settings, seeds, notes or Notes())

    return run


@pytest.fixture
def other_root(folders: Path, tmp_path: Path) -> Path:
    """The small dataset with other pictures under the same names."""
    root = Path(shutil.copytree(folders, tmp_path / "other"))
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        Image.fromarray(picture(500 + number)).save(path)
    return root


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seeds": (7,)}, "found seed 7, expected 0"),
        ({"learning_rate": 0.001}, "found learning_rate 0.001, expected 0.0002"),
        ({"epochs": 2, "mirror": False}, "found mirror False, expected True; epochs 2, expected 1"),
        ({"train_items": 5}, "train items"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(start: Start, other: dict[str, Any], said: str) -> None:
    run = start().run("L1", 0)
    foreign = start("elsewhere", **other).run("L1", other.get("seeds", (0,))[0])
    run.generator.unlink()
    shutil.copy(foreign.checkpoint, run.checkpoint)
    with pytest.raises(UserError, match=r"checkpoint\.pt: is of another run") as error:
        start()
    assert said in str(error.value)
    assert not run.generator.exists()
    run.checkpoint.unlink()
    start()
    assert run.generator.exists()


def test_a_checkpoint_of_other_pictures_is_refused(start: Start, other_root: Path) -> None:
    run, foreign = start().run("L1", 0), start("elsewhere", other_root).run("L1", 0)
    run.generator.unlink()
    shutil.copy(foreign.checkpoint, run.checkpoint)
    with pytest.raises(UserError, match="is of another run, found train items"):
        start()


def test_a_checkpoint_of_an_older_version_which_names_no_run_goes_on(start: Start) -> None:
    run = start().run("L1", 0)
    before = run.generator.read_bytes()
    content = torch.load(run.checkpoint, weights_only=True)
    del content["run"]
    torch.save(content | {"format": 1}, run.checkpoint)
    run.generator.unlink()
    start()
    assert run.generator.read_bytes() == before


def test_a_generator_that_was_replaced_makes_no_pictures(start: Start, tmp_path: Path) -> None:
    run, foreign = start().run("L1", 0), start("elsewhere", epochs=3).run("L1", 0)
    own = run.generator.read_bytes()
    shutil.copy(foreign.generator, run.generator)
    (run.images / "p01.png").unlink()
    with pytest.raises(UserError, match=r"generator\.safetensors: is not the one that this run trained"):
        start()
    with pytest.raises(UserError, match=r"generator\.safetensors: is not the one that this run trained"):
        generate(run.folder, run.images, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (run.images / "p01.png").exists()
    run.generator.write_bytes(own)
    start()
    assert (run.images / "p01.png").exists()


def test_a_call_whose_data_another_call_replaced_does_not_train(start: Start, other_root: Path) -> None:
    """The other call comes after all was made ready and before the first run begins: the narrowest gap there is."""

    class Meanwhile(Notes):
        def say(self, text: str) -> None:
            super().say(text)
            if text.startswith("threads = "):
                start(root=other_root, grid=L2)

    with pytest.raises(UserError, match=r"real: another call made it anew, from other data"):
        start(notes=Meanwhile())
    grid = start(root=other_root, grid=L2)
    assert not grid.run("L1", 0).generator.exists()
    targets = {path.stem: np.asarray(Image.open(path)) for path in (other_root / "B" / "test").iterdir()}
    for id_, path in grid.real.pictures().items():
        expected = np.asarray(Image.fromarray(targets[id_]).resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(pictures.read(path).astype(int) - expected).mean() < 8, id_


def test_calls_make_a_grid_ready_one_after_the_other(start: Start, other_root: Path) -> None:
    """While one call makes it ready, another waits, and then sees what has begun."""
    grid = start()
    shutil.rmtree(grid.real.folder)
    held, seen = threading.Event(), []

    def hold() -> None:
        with locked(grid.lock):
            held.set()
            time.sleep(2.0)
            seen.append(grid.real.folder.exists())

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    start()
    holder.join()
    assert seen == [False]
    assert len(grid.real.pictures()) == 3
    with pytest.raises(UserError, match="was made with other settings or data"):
        start(root=other_root, grid=L2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train_items": 99}, "train_items = 99: there are 12 train items, and all are taken"),
        ({"test_items": 4}, "test_items = 4: there are 3 test items, and all are taken"),
        ({"batch_size": 13}, "batch_size = 13: there are 12 train items, and each batch has no more"),
        ({"batch_size": 12, "train_items": 12, "test_items": 3}, None),
    ],
)
def test_more_items_than_there_are_is_said(start: Start, settings: dict[str, int], said: str | None) -> None:
    start(notes=(notes := Notes()), **settings)
    assert [line for line in notes.said if "there are" in line] == ([said] if said else [])


def test_a_run_of_other_test_items_is_not_scored_against_the_grids(start: Start, other_root: Path) -> None:
    ours, theirs = start().run("L1", 0), start("elsewhere", other_root).run("L1", 0)
    shutil.rmtree(ours.folder)
    shutil.copytree(theirs.folder, ours.folder)
    before = ours.score("image").read_bytes()
    with pytest.raises(ReportError, match=r"L1/seed-0: was made from test items of other contents than those of .*one"):
        image_score(ours.folder.parents[2], native=False)
    assert ours.score("image").read_bytes() == before
    assert arithmetic.mark(ours) == "its test items have other contents than the grid's"
    assert arithmetic.mark(theirs) is None


def test_scores_of_another_run_are_none_of_this_one(start: Start) -> None:
    grid = start(seeds=(0, 1))
    shutil.copytree(grid.run("L1", 1).scores, grid.run("L1", 0).scores, dirs_exist_ok=True)
    with pytest.raises(ReportError, match=r"image\.json: found scores of L1, seed 1, expected those of L1, seed 0"):
        ledger.read(grid.run("L1", 0))
    assert ledger.read(grid.run("L1", 1))


def test_inputs_of_other_data_are_made_anew(start: Start, other_root: Path) -> None:
    grid, other = start(), start("elsewhere", other_root)
    ours = {path.name: path.read_bytes() for path in grid.input.images.iterdir()}
    shutil.rmtree(grid.input.folder)
    shutil.copytree(other.input.folder, grid.input.folder)
    start()
    assert {path.name: path.read_bytes() for path in grid.input.images.iterdir()} == ours
    grid.input_references.unlink()  # as of an older version
    start()
    assert {path.name: path.read_bytes() for path in grid.input.images.iterdir()} == ours


def test_a_dry_run_says_what_is_there(start: Start, folders: Path, other_root: Path, tmp_path: Path) -> None:
    start()
    settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1}
    lines = estimate_lines(tmp_path / "results", "one", L1, "own.toml", settings, (0, 1))
    assert lines[0] == "L1 seed 0: finished before, would be skipped"
    assert [line.split()[:3] for line in lines[2:-1]] == [["L1", "seed", "1"]]
    assert lines[-1].startswith("1 run on cpu, about ")
    with pytest.raises(UserError, match="was made with other settings or data: of .* other contents"):
        estimate_lines(tmp_path / "results", "one", L1, "own.toml", {**settings, "root": str(other_root)}, (0,))
