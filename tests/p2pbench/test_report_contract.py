"""What p2pbench writes and the report reads, and what the report writes and p2pbench reads again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from fcn.labels import CITYSCAPES, IGNORE
from p2pbench.ablation.grid import find_grid, plan_grid, preset_names
from p2pbench.cli import cli
from p2pbench.config import GridConfig, RunConfig, read_grid
from p2pbench.datasets import label_images
from p2pbench.errors import UserError
from p2pbench.metrics import image_metrics
from p2pbench.training.records import read_runs
from reports import classes, gallery, histograms, html, reproduce
from reports.gallery import Column
from reports.store import grids
from reports.store.grids import GridDescription
from reports.store.layout import Grid, Run
from reports.tables import ScoreTable
from tests.p2pbench.drawn_scorer import make_scorer, score, train

ODD = 'a "b" \\ 道路\nline\x7f'


def described(grid: GridConfig) -> GridDescription:
    return GridDescription(grid.title, grid.source, grid.cells, tuple(grid.seeds), {}, grid.settings, {}, None)


def read_back(description: GridDescription, folder: Path) -> GridConfig:
    path = folder / "again.toml"
    path.write_text(reproduce.grid_toml(description), "utf-8")
    return read_grid(path)


def planned(grid: GridConfig) -> dict[tuple[str, int], RunConfig]:
    plan = plan_grid(Grid(Path("grid")), grid, "test", {}, grid.seeds).runs
    return {(each.run.cell, each.config.seed): each.config for each in plan}


@pytest.mark.parametrize("name", preset_names("grids"))
def test_a_preset_reads_back_as_it_is(name: str, tmp_path: Path) -> None:
    _, grid = find_grid(name)
    again = read_back(described(grid), tmp_path)
    assert again == grid
    assert list(again.cells) == list(grid.cells)
    assert planned(again) == planned(grid)


def test_odd_settings_read_back_as_they_are(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"a": [1, [2.5, ODD]], ODD: {"b": True, ODD: [{"c": 1e-5}]}, "empty": {}, "none": []}
    grid = GridConfig(title=ODD, source=ODD, seeds=[3, 10**17], settings=settings, cells={ODD: {"x": ODD}, "y": {}})
    assert read_back(described(grid), tmp_path) == grid


def test_what_is_not_set_gets_its_default_again(tmp_path: Path) -> None:
    cells: dict[str, dict[str, object]] = {"few": {"train_items": 3, "test_split": None}, "all": {"train_items": None}}
    settings = {"root": None, "dataset": "streets", "threads": None, "learning_rate": 1e-5}
    description = GridDescription("Sizes", "", cells, (0, 2), {}, settings, {}, None)
    again = read_back(description, tmp_path)
    assert again.cells == {"few": {"train_items": 3}, "all": {}}
    runs = planned(again)
    assert [config.train_items for config in runs.values()] == [3, 3, None, None]
    assert all(config.learning_rate == 1e-5 and config.threads is None for config in runs.values())


def parse(line: str) -> dict[str, Any]:
    """The parameters of a command line, as click has them; nothing is run."""
    program, *arguments = shlex.split(line)
    assert program == "p2pbench"
    command: click.Command = cli
    context = cli.make_context(program, arguments, resilient_parsing=True)
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found, line
        command = found
        context = command.make_context(name, list(arguments), resilient_parsing=isinstance(command, click.Group))
    return context.params


@pytest.mark.parametrize("root", [None, "/data"])
def test_the_commands_of_a_report_are_ones_that_there_are(root: str | None) -> None:
    scorers = ("fcn-official", "fcn-strict", "labels", "labels-official", "image", "lpips", "fid", "kid", "amt-first")
    tables = [ScoreTable(scorer, (), (), None, (), {}, "", {}) for scorer in scorers]
    description = GridDescription("", "", {"L1": {}}, (0,), {"root": root}, {}, {}, None)
    lines = reproduce.commands(description, tables, "losses.toml")
    parsed = {line.split()[1] if " amt " not in line else " ".join(line.split()[1:3]): parse(line) for line in lines}
    amt = ["amt create", "amt serve", "amt close", "amt analyse"]
    assert list(parsed) == ["train-ablation", "fcn-score", "label-score", "image-score", *amt, "report"]
    train_again = parsed["train-ablation"]
    assert (train_again["grid"], train_again["root"]) == ("losses.toml", root and "DATASET")
    assert parsed["fcn-score"]["weights"] == (root and Path("WEIGHTS"))
    assert parsed["image-score"]["fid"] is True
    assert {parsed[each]["name"] for each in amt if each != "amt serve"} == {"first"}
    with pytest.raises(click.UsageError):
        parse("p2pbench report results --no-such-option")


def test_what_the_scorers_draw_is_what_the_report_reads(tmp_path: Path) -> None:
    labels = np.array([[0, 18, 19], [IGNORE, 3, 200]], np.uint8)
    label_images.write_label_image(tmp_path / "item.png", labels, CITYSCAPES, "test")
    expected = [[0, 18, IGNORE], [IGNORE, 3, IGNORE]]
    assert gallery.read_label_map(tmp_path / "item.png").values.tolist() == expected
    assert gallery.IGNORED == IGNORE


def test_the_histograms_of_image_score_are_what_the_report_reads(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in (0, 1)]
    counts = [np.asarray(image_metrics.lab_histograms(picture)) for picture in pictures]
    run = Grid(tmp_path / "losses").run("L1", 0)
    run.scores.mkdir(parents=True)
    run.lab_histograms.write_text(image_metrics.histogram_csv(*counts))
    found = histograms.read([run], "real")
    assert found
    assert found.damages == ()
    for cell, side in zip(("L1", "real"), counts, strict=True):
        for channel, bins in zip(histograms.CHANNELS, side, strict=True):
            shares = histograms.curves(found, channel)[cell]["share"]
            np.testing.assert_allclose(shares, bins / 256, rtol=1e-12)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid that was trained and scored by the program, with its report."""
    folder = tmp_path_factory.mktemp("contract")
    train(folder / "results", "tiny")
    assert (
        score(folder / "results", "--weights", make_scorer(folder / "fcn.safetensors", CITYSCAPES, 20)).exit_code == 0
    )
    html.write_report(folder / "results", folder / "results/report")
    return folder / "results"


@pytest.mark.long
def test_a_trained_grid_is_trained_again_from_its_report(scored: Path) -> None:
    file = scored / "report/tables/tiny.toml"
    name, again = find_grid(str(file))
    assert name == "tiny"
    trained = {
        (run.cell, run.seed): record.settings.model_copy(update={"threads": None})  # which each machine chooses
        for run, record in read_runs(Grid(scored / name))
    }
    assert trained == planned(again)
    result = CliRunner().invoke(cli, ["train-ablation", str(file), "--out", str(scored), "--dry-run"])
    assert result.exit_code == 0
    for cell in again.cells:
        assert cell in result.output


def runs(grid: Grid) -> list[Run]:
    description = grids.read(grid)
    return [*(grid.run(cell, seed) for cell in description.cells for seed in description.seeds), grid.real]


@pytest.mark.long
def test_the_classes_and_label_maps_of_a_scored_grid_are_read_without_a_complaint(scored: Path, tmp_path: Path) -> None:
    grid = Grid(scored / "tiny")
    (found,) = classes.read(grid, runs(grid))
    assert found.damages == ()
    assert found.names == CITYSCAPES.classes
    assert found.predictions == (*CITYSCAPES.classes, "beyond the classes")
    assert list(found.confusion) == ["L1", "cGAN", "real"]
    pixels = found.by_run[found.by_run["cell"] == "L1"].set_index("class")["pixels"]
    assert found.confusion["L1"].sum(axis=1).tolist() == pixels.loc[list(found.names)].tolist()
    items = sorted(grid.real.pictures())
    seen = gallery.write_label_maps(grid, [Column(run, {}) for run in runs(grid)], items, tmp_path)
    assert seen
    assert seen.damages == ()
    assert all(len(numbers) == len(items) for numbers in (seen.truth, *seen.segmented))


def test_a_setting_that_no_grid_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(reproduce.grid_toml(GridDescription("", "", {"L1": {}}, (0,), {}, {}, {}, None)) + "\n[extra]\n")
    with pytest.raises(UserError, match="extra"):
        read_grid(path)
