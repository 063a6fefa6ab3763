"""Settings: read, checked, refused with key, expected and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pbench.ablation.grid import find_grid, find_task, plan_grid, preset_names
from p2pbench.config import GridConfig, parse_setting, read_grid, run_config
from p2pbench.errors import UserError
from reports.store.layout import Grid


def test_defaults_are_the_papers() -> None:
    config = run_config({}, "test")
    assert (config.learning_rate, config.beta1, config.beta2) == (2e-4, 0.5, 0.999)
    assert (config.weight_l1, config.batch_size, config.epochs, config.decay_epochs) == (100, 1, 200, 0)
    assert (config.image_size, config.load_side, config.mirror) == (256, 286, True)
    assert (config.ngf, config.ndf, config.receptive_field, config.bottleneck_norm) == (64, 64, 70, False)
    assert (config.objective, config.conditional) == ("L1+cGAN", True)
    assert (config.test_dropout, config.test_batch_norm) == (True, "batch")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epoch": 2}, "key 'epoch' is unknown; did you mean 'epochs'?"),
        ({"epochs": "two"}, "key 'epochs': expected integer, found 'two'"),
        ({"epochs": 2.5}, "key 'epochs': expected integer, found 2.5"),
        ({"epochs": 0}, "key 'epochs': expected greater than 0, found 0"),
        ({"threads": 100_000}, "key 'threads': expected less than or equal to 1024, found 100000"),
        ({"mirror": "yes"}, "key 'mirror': expected boolean, found 'yes'"),
        ({"image_size": 100}, "expected a power of two from 32 up, found 100; try 64 or 128"),
        ({"image_size": 16}, "found 16; try 32 or 64"),
        ({"image_size": -5}, "found -5; try 32 or 64"),
        ({"image_size": 360}, "found 360; try 256 or 512"),
        ({"objective": "L1+WGAN"}, 'found "L1+WGAN"'),
        ({"objective": "GAN+cGAN"}, 'found "GAN+cGAN"'),
        ({"objective": "L1+L1"}, 'found "L1+L1"'),
        ({"objective": ""}, 'found ""'),
        ({"receptive_field": 100}, "key 'receptive_field': expected 1, 16, 34, 70, 142 or 286, found 100"),
        ({"receptive_field": 286, "image_size": 64}, "needs an image_size of at least 128, found 64"),
        ({"decay_epochs": 300}, "key 'decay_epochs': expected at most epochs, 200, found 300"),
        ({"input_range": [10, 3]}, "key 'input_range': expected two whole numbers from 0 to 65535"),
        ({"learning_rate": float("nan")}, "key 'learning_rate'"),
        ({"dataset": "cityscape"}, "key 'dataset'"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        run_config(settings, "own.toml")
    assert str(error.value).startswith("own.toml: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_l1_alone_needs_no_discriminator_and_so_no_size_for_one() -> None:
    assert not run_config({"objective": "L1", "receptive_field": 286, "image_size": 32}, "test").adversarial


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("epochs=2", "epochs", 2),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("mirror=false", "mirror", False),
        ("objective=L1+cGAN", "objective", "L1+cGAN"),
        ("input_range=[0, 1023]", "input_range", [0, 1023]),
        ("root=/a=b", "root", "/a=b"),
    ],
)
def test_a_setting_is_toml_or_a_string(text: str, key: str, value: object) -> None:
    assert parse_setting(text) == (key, value)


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(UserError, match="expected key=value"):
        parse_setting("epochs")


PRESETS = {
    "losses": ["L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN"],
    "generators": ["encoder-decoder L1", "encoder-decoder L1+cGAN", "U-Net L1", "U-Net L1+cGAN"],
    "patches": ["1x1", "16x16", "70x70", "286x286"],
    "segmentation": ["L1", "cGAN", "L1+cGAN"],
    "colour": ["L1", "cGAN", "L1+cGAN", "1x1"],
}


def test_the_presets_are_the_papers_ablations(tmp_path: Path) -> None:
    assert preset_names("grids") == sorted(PRESETS)
    for name, cells in PRESETS.items():
        _, grid = find_grid(name)
        plan = plan_grid(Grid(tmp_path / name), grid, name, {}, [0]).runs
        assert [planned.run.cell for planned in plan] == cells
    fields = [
        planned.config.receptive_field
        for planned in plan_grid(Grid(tmp_path), find_grid("patches")[1], "", {}, [0]).runs
    ]
    assert fields == [1, 16, 70, 286]


# docs/paper-protocol.md#tasks: epochs, batch, whether jittered, whether mirrored.
TASKS = {
    "cityscapes-labels-to-photo": (200, 1, True, True),
    "cityscapes-photo-to-labels": (200, 1, True, True),
    "facades-labels-to-photo": (200, 1, True, True),
    "maps-map-to-aerial": (200, 1, True, True),
    "maps-aerial-to-map": (200, 1, True, True),
    "colorization": (6, 4, False, True),
    "edges-to-shoes": (15, 4, False, False),
    "edges-to-handbags": (15, 4, False, False),
    "day-to-night": (17, 4, True, True),
    "thermal-to-colour": (10, 4, False, False),
    "inpainting": (25, 4, False, False),
}


def test_the_tasks_are_the_papers() -> None:
    assert preset_names("tasks") == sorted(TASKS)
    for name, (epochs, batch_size, jitter, mirror) in TASKS.items():
        config = run_config(find_task(name).settings, name)
        assert (config.epochs, config.batch_size, config.mirror) == (epochs, batch_size, mirror), name
        assert config.load_side == (286 if jitter else 256), name


def test_a_grid_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "widths.toml"
    file.write_text(
        'title = "Widths"\nseeds = [0, 1]\n[settings]\nepochs = 3\n[cells.a]\nngf = 8\n[cells.b]\nngf = 16\n'
    )
    name, grid = find_grid(str(file))
    plan = plan_grid(Grid(tmp_path / name), grid, str(file), {"epochs": 2}, grid.seeds).runs
    assert name == "widths"
    assert [(p.run.cell, p.config.seed, p.config.ngf, p.config.epochs) for p in plan] == [
        ("a", 0, 8, 2),
        ("a", 1, 8, 2),
        ("b", 0, 16, 2),
        ("b", 1, 16, 2),
    ]
    assert plan[3].run.folder == tmp_path / "widths" / "b" / "seed-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = 1\n[cells.a]\n", "key 'title': expected string, found 1"),
        ('title = "x"\n', "key 'cells' is missing"),
        ('title = "x"\n[cell.a]\n', "key 'cell' is unknown; did you mean 'cells'?"),
        ('title = "x"\nseeds = ["a"]\n[cells.a]\n', "key 'seeds.0': expected integer, found 'a'"),
        ('title = "x\n', "not valid TOML"),
    ],
)
def test_wrong_grids_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_grid(file)
    assert str(file) in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("cells", "overrides", "said"),
    [
        ({"a": {"ngf": 8}, "b": {"ngf": 16}}, {"ngf": 4}, "cells 'a' and 'b' have the same settings"),
        ({"a": {"seed": 1}}, {}, "seeds are an axis"),
        ({"a": {"widths": 1}}, {}, "own.toml, cell a: key 'widths' is unknown"),
        ({"../a": {}}, {}, "cell '../a': expected a name that can be a folder's"),
        ({"real": {}}, {}, "not real, input or contents, which lie beside the cells"),
        ({"Contents": {}}, {}, "not real, input or contents, which lie beside the cells"),
    ],
)
def test_grids_that_make_no_sense_are_refused(
    tmp_path: Path, cells: dict[str, Any], overrides: dict[str, Any], said: str
) -> None:
    grid = GridConfig(title="x", cells=cells)
    with pytest.raises(UserError) as error:
        plan_grid(Grid(tmp_path), grid, "own.toml", overrides, [0])
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["report", "Study"])
def test_a_grid_does_not_lie_where_the_report_or_the_studies_do(tmp_path: Path, name: str) -> None:
    grid = GridConfig(title="x", cells={"a": {}})
    with pytest.raises(UserError, match=f"found a grid named '{name}', the folder of the results' {name.lower()}"):
        plan_grid(Grid(tmp_path / name), grid, f"{name}.toml", {}, [0])


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UserError, match="colour, generators, losses, patches, segmentation"):
        find_grid("loses")
    with pytest.raises(UserError, match="facades-labels-to-photo"):
        find_task("facades")
