"""Grids carried out: what is written, skipped, finished and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import reports
from p2pbench.ablation.grid import find_grid, plan_grid
from p2pbench.config import GridConfig
from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from p2pbench.runtime.progress import TrainingProgress
from reports import html
from reports.store.errors import ReportError
from reports.store.layout import RECORD, Grid
from tests.p2pbench.grids import estimate_lines, image_score, run_grid
from tests.p2pbench.tiny import TINY, picture


class Notes:
    """A reporter that keeps what it gets."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.counted: list[tuple[str, int, int]] = []
        self.trained: list[tuple[str, TrainingProgress]] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def count(self, work: str, done: int, total: int) -> None:
        self.counted.append((work, done, total))

    def train(self, work: str, progress: TrainingProgress) -> None:
        self.trained.append((work, progress))


METRICS = ["gmsd", "histogram_a", "histogram_b", "histogram_l", "l1", "psnr", "sharpness", "ssim"]
GRID = GridConfig(
    title="Two objectives", source="a test", settings={"epochs": 1}, cells={"L1": {"objective": "L1"}, "L1+cGAN": {}}
)
Run = Callable[..., Grid]


@pytest.fixture
def run(folders: Path, tmp_path: Path) -> Run:
    def start(grid: GridConfig = GRID, notes: Notes | None = None, seeds: Any = (0, 1), **changed: Any) -> Grid:  # noqa: ANN401
        settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1, **changed}
        return run_grid(tmp_path / "results", "two", grid, "own.toml", settings, seeds, notes or Notes())

    return start


def files_of(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "grid.json"
    }


@pytest.mark.long
def test_a_grid_leaves_the_results_folder_that_the_design_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    notes = Notes()
    grid = run(notes=notes)
    assert [(r.cell, r.seed) for r in grid.runs()] == [("L1", 0), ("L1", 1), ("L1+cGAN", 0), ("L1+cGAN", 1)]
    for each in grid.runs():
        assert sorted(path.name for path in each.folder.iterdir()) == [
            "checkpoint.pt",
            "config.json",
            "generator.safetensors",
            "images",
            "losses.csv",
            "made.jsonl",
            "samples",
            "scores",
        ]
        assert list(each.pictures()) == ["p00", "p01", "p02"]
        losses = pd.read_csv(each.losses)
        assert losses["step"].tolist() == [10, 12]
        assert losses["G_L1"].between(0, 2).all()
        assert losses["D_real"].isna().all() == (each.cell == "L1")
        assert pictures.read(each.samples / "epoch-0001.png").shape == (96, 96, 3)
    content = json.loads(grid.json.read_text())
    assert list(content["cells"]) == ["L1", "L1+cGAN"]
    assert content["cells"]["L1"] == {"objective": "L1"}
    assert content["seeds"] == [0, 1]
    assert content["dataset"]["test"]["n"] == 3
    assert content["settings"]["ngf"] == 4
    assert {"torch", "p2pbench"} <= content["versions"].keys()
    assert [work for work, done, total in notes.counted if done == total][:3] == [
        "pictures decoded",
        "pictures decoded",
        "inputs and targets",
    ]
    assert notes.trained[-1][1].step == notes.trained[-1][1].total == 12


@pytest.mark.long
def test_real_and_input_are_what_the_networks_see(run: Run, folders: Path) -> None:
    grid = run(seeds=[0])
    for row, side in ((grid.real, "B"), (grid.input, "A")):
        for name, path in row.pictures().items():
            original = Image.open(folders / side / "test" / f"{name}.png")
            expected = np.asarray(original.resize((32, 32), Image.Resampling.BILINEAR))
            assert np.array_equal(np.asarray(Image.open(path)), expected)


@pytest.mark.long
def test_what_is_finished_is_left_and_what_is_missing_is_made(run: Run) -> None:
    grid = run()
    before = files_of(grid.folder)
    notes = Notes()
    run(notes=notes)
    assert files_of(grid.folder) == before
    assert notes.trained == []
    assert sum("finished before, skipped" in line for line in notes.said) == 4
    picture_file = grid.run("L1", 1).images / "p01.png"
    old = picture_file.read_bytes()
    picture_file.unlink()
    shutil.rmtree(grid.run("L1+cGAN", 0).folder)
    notes = Notes()
    run(notes=notes)
    assert picture_file.read_bytes() == old
    assert {work for work, _ in notes.trained} == {"L1+cGAN seed 0"}
    assert files_of(grid.folder).keys() == before.keys()


@pytest.mark.long
def test_more_seeds_may_be_added(run: Run) -> None:
    run(seeds=[0])
    notes = Notes()
    grid = run(seeds=[2], notes=notes)
    assert {work for work, _ in notes.trained} == {"L1 seed 2", "L1+cGAN seed 2"}
    assert json.loads(grid.json.read_text())["seeds"] == [0, 2]


@pytest.mark.long
def test_same_seed_same_images_other_seed_other_images(run: Run, tmp_path: Path) -> None:
    first = run()
    images = {(r.cell, r.seed): [p.read_bytes() for p in r.pictures().values()] for r in first.runs()}
    shutil.rmtree(tmp_path / "results")
    second = run()
    assert images == {(r.cell, r.seed): [p.read_bytes() for p in r.pictures().values()] for r in second.runs()}
    assert images["L1", 0] != images["L1", 1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"batch_size": 2}, "batch_size was 1, is 2"),
        ({"epochs": 2}, "epochs was 1, is 2"),
        ({"mirror": False}, "mirror was True, is False"),
        ({"train_items": 5}, "train_items was None, is 5"),
    ],
)
def test_other_settings_under_the_same_name_are_refused(run: Run, changed: dict[str, Any], said: str) -> None:
    grid = run(seeds=[0])
    before = files_of(grid.folder)
    with pytest.raises(UserError) as error:
        run(seeds=[0], **changed)
    assert said in str(error.value)
    assert "another results folder" in str(error.value)
    assert files_of(grid.folder) == before


@pytest.mark.long
def test_seeds_of_a_cell_share_settings_and_cells_share_test_pictures(run: Run) -> None:
    run(seeds=[0])
    with pytest.raises(UserError, match=r"L1/seed-0 was made with other settings or data: epochs was 1, is 2"):
        run(seeds=[1], epochs=2)
    other = GridConfig(title="x", cells={"wide": {"ngf": 6}})
    with pytest.raises(UserError, match="image_size was 32, is 64"):
        run(other, seeds=[0], image_size=64)
    with pytest.raises(UserError, match=r"the test items were 3 .* are 2 \(\w+\), gone: p02\. "):
        run(other, seeds=[0], test_items=2)
    run(GridConfig(title="x", cells={"long": {"decay_epochs": 1}}), seeds=[0])


@pytest.mark.long
def test_other_items_under_the_same_name_are_refused(run: Run, folders: Path, tmp_path: Path) -> None:
    grid = run(seeds=[0])
    moved = tmp_path / "moved"
    shutil.copytree(folders, moved)
    run(seeds=[0], root=str(moved))  # the same items elsewhere are the same data
    for side in "AB":
        Image.fromarray(picture(77)).save(moved / side / "train" / "more.png")
    with pytest.raises(UserError, match=r"the train items were 12 .* are 13 \(\w+\), new: more\. "):
        run(seeds=[0], root=str(moved))
    first = max((moved / "A" / "train").iterdir()).stem
    for side in "AB":
        (moved / side / "train" / f"{first}.png").unlink()
    with pytest.raises(UserError, match=rf"the train items were 12 .* are 12 \(\w+\), new: more, gone: {first}\. "):
        run(seeds=[0], root=str(moved))
    assert grid.run("L1", 0).generator.exists()


@pytest.mark.long
def test_bookkeeping_may_change(run: Run) -> None:
    run(seeds=[0])
    notes = Notes()
    run(seeds=[0], notes=notes, log_every=3, checkpoint_seconds=5.0)
    assert notes.trained == []


@pytest.mark.long
def test_a_folder_without_its_settings_is_not_taken_over(run: Run) -> None:
    grid = run(seeds=[0])
    grid.run("L1", 0).config.unlink()
    with pytest.raises(UserError, match=r"checkpoint\.pt but no config\.json"):
        run(seeds=[0])
    grid.run("L1", 0).config.write_text('{"settings": {}')
    with pytest.raises(ReportError, match=r"config\.json: found no JSON .*; put it back"):
        run(seeds=[0])


def test_cells_are_tested_on_the_same_pictures(tmp_path: Path) -> None:
    grid = GridConfig(title="x", cells={"a": {"image_size": 64}, "b": {"image_size": 128}})
    with pytest.raises(UserError, match="'a' and 'b' differ in 'image_size'"):
        plan_grid(Grid(tmp_path), grid, "own.toml", {}, [0])
    subsets = GridConfig(title="x", cells={"a": {"train_items": 5}, "b": {"train_items": 10}})
    assert len(plan_grid(Grid(tmp_path), subsets, "own.toml", {}, [0]).runs) == 2


def test_a_corrupt_picture_is_named_before_anything_is_written(folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "torn"
    shutil.copytree(folders, root)
    bad = root / "B" / "train" / "p07.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    settings = {**TINY, "root": str(root), "device": "cpu"}
    with pytest.raises(UserError) as error:
        run_grid(tmp_path / "results", "two", GRID, "own.toml", settings, [0], Notes())
    assert str(bad) in str(error.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_scores_and_report_of_a_grid(run: Run, tmp_path: Path) -> None:
    grid = run()
    results = tmp_path / "results"
    table = reports.read(results)
    of_all = table[table["item"] == "all"]
    assert sorted(of_all["metric"].unique()) == METRICS
    assert len(of_all) == 4 * len(METRICS)
    one = table[(table["cell"] == "L1") & (table["seed"] == 0) & (table["metric"] == "l1")].set_index("item")["value"]
    made, real = (
        np.asarray(Image.open(row.images / "p01.png")).astype(float) for row in (grid.run("L1", 0), grid.real)
    )
    assert one["p01"] == pytest.approx(np.abs(made - real).mean() / 255)
    assert one["all"] == pytest.approx(one.drop("all").mean())
    page = html.write_report(results, results / "report").read_text()
    assert "Two objectives" in page
    assert (results / "report" / "tables" / "two--image.csv").exists()


@pytest.mark.long
def test_scoring_again_at_the_targets_own_size(run: Run, tmp_path: Path) -> None:
    run(seeds=[0])
    scored = image_score(tmp_path / "results", native=True)
    assert [scores.n for each in scored for scores in each.scores] == [3, 3]
    protocols = {scores.protocol["pictures"] for each in scored for scores in each.scores}
    assert protocols == {"outputs resized to the target's own size (Pillow bilinear)"}


@pytest.mark.long
def test_scoring_names_what_is_missing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run found"):
        image_score(tmp_path, native=False)
    grid = run(seeds=[0])
    lost = grid.run("L1", 0).images / "p02.png"
    lost.rename(lost.with_name("renamed.png"))
    with pytest.raises(ReportError, match=r"renamed\.png: was not made by this run"):
        image_score(tmp_path / "results", native=False)
    (lost.parents[1] / RECORD).unlink()  # as an older version left it; and renamed.png is no picture of an item
    with pytest.raises(UserError, match="2 of 3 pictures there; missing p02"):
        image_score(tmp_path / "results", native=False)


@pytest.mark.long
def test_a_dry_run_says_what_it_will_cost_and_writes_nothing(folders: Path, tmp_path: Path) -> None:
    name, grid = find_grid("patches")
    settings = {**TINY, "root": str(folders), "device": "cpu", "image_size": 128, "batch_size": 5, "direction": "AtoB"}
    del settings["receptive_field"]
    lines = estimate_lines(tmp_path / "results", name, grid, "patches", settings, [0, 1])
    assert len(lines) == 1 + 8 + 1
    cells = [line.rsplit(" seed ", 1)[0] for line in lines[1:-1]]
    assert cells == ["1x1", "1x1", "16x16", "16x16", "70x70", "70x70", "286x286", "286x286"]
    steps = {int(line.rsplit(" seed ", 1)[1].split()[1]) for line in lines[1:-1]}
    assert steps == {6}  # ceil(12 / 5) x 2 epochs
    assert lines[-1].startswith("8 runs on cpu, about ")
    assert lines[-1].endswith(" of training, sequentially")
    assert not (tmp_path / "results").exists()
