"""An option without effect is an error that says so, whatever the command; the same call without it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2pbench.ablation.grid import check_effect, plan_grid
from p2pbench.cli import main
from p2pbench.config import GridConfig, run_config
from p2pbench.datasets.catalogue import DATASETS, fitting
from p2pbench.errors import UserError
from reports.store.layout import Grid


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # else `main` sets how threads wait, for later tests too
    monkeypatch.chdir(tmp_path)


def failed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and last line of what a command printed on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code, capfd.readouterr().err.splitlines()[-1]


SELF_TEST = ["fcn-score", "--self-test", "--dataset", "streets"]
FOLDER = ["fcn-score", "outputs", "--labels", "streets:"]
CREATE = ["amt", "create", "results", "--name", "first"]


@pytest.mark.parametrize(
    ("arguments", "idle", "said"),
    [
        (SELF_TEST, ["--labels", "streets:"], "with --self-test"),
        (SELF_TEST, ["--protocol", "strict"], "with --self-test"),
        (SELF_TEST, ["--classes"], "with --self-test"),
        (SELF_TEST, ["--json"], "with --self-test"),
        (SELF_TEST, ["--allow-partial"], "with --self-test"),
        (["fcn-score", "results"], ["--test-items", "3"], "without --self-test"),
        (["fcn-score", "results", "--json"], ["--classes"], "with --json"),
        (FOLDER, ["--root", "data"], "with --labels, which name the root"),
        (["label-score", "outputs", "--labels", "streets:"], ["--root", "data"], "with --labels, which name the root"),
        (["train-ablation", "losses", "--dry-run"], ["--parallel", "2"], "with --dry-run"),
        (["train-ablation", "losses", "--dry-run"], ["--engine", "ray"], "with --dry-run"),
        ([*CREATE, "--real", "real", "--fake", "a=a"], ["--grid", "losses"], "with --real and --fake"),
        ([*CREATE, "--real", "real", "--fake", "a=a"], ["--seed", "0"], "with --real and --fake"),
        ([*CREATE, "--pairing", "paired"], ["--task", "map"], "with --pairing"),
        (["amt", "analyse", "answers.csv"], ["--name", "first"], "for a CSV"),
        (["amt", "analyse", "answers.csv"], ["--peek"], "for a CSV"),
        (["amt", "analyse", "answers.csv"], ["--database", "sqlite:///x"], "for a CSV"),
        (["amt", "analyse", "answers.csv"], ["--practice", "3"], "for an answers.csv"),
        (["amt", "analyse", "results"], ["--practice", "3"], "for a study"),
        (["amt", "simulate", "results", "--raters", "lazy=3"], ["--fooling", "L1=20"], "without raters that look"),
    ],
)
def test_an_idle_option_is_named(
    arguments: list[str], idle: list[str], said: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "answers.csv").write_text("session,choice\n")
    code, line = failed([*arguments, *idle], capfd)
    assert code == 2
    assert line.startswith(f"Error: {idle[0]}: no effect {said}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv"]
    if arguments[0] not in ("train-ablation", "fcn-score") or arguments[1] == "results":  # those would go to work
        assert "no effect" not in failed(arguments, capfd)[1]


def test_the_environment_and_defaults_are_no_idle_options(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("P2PBENCH_DATABASE", "sqlite:///x")
    (tmp_path / "answers.csv").write_text("session,choice\n")
    assert "no effect" not in failed(["amt", "analyse", "answers.csv", "--practice", "10"], capfd)[1]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"weight_l1": 10.0, "objective": "cGAN"}, "the objective cGAN has no L1"),
        ({"weight_l2": 10.0}, r"the objective L1\+cGAN has no L2"),
        ({"ndf": 8, "objective": "L1"}, "the objective L1 has no discriminator"),
        ({"receptive_field": 16, "objective": "L2"}, "the objective L2 has no discriminator"),
        ({"crop_from_one": True, "jitter": 1.0}, "jitter = 1 leaves nothing to crop"),
    ],
)
def test_a_setting_without_effect_in_any_cell_is_refused(
    override: dict[str, object], reason: str, tmp_path: Path
) -> None:
    one = GridConfig(title="x", cells={"a": {}})
    with pytest.raises(UserError, match=f"has no effect: {reason}; leave it out"):
        check_effect(plan_grid(Grid(tmp_path), one, "own.toml", override, [0]), override)
    other = GridConfig(
        title="x", settings={"jitter": 2.0}, cells={"a": {"objective": "L1"}, "b": {"objective": "L2+GAN"}}
    )
    shared = {key: value for key, value in override.items() if key not in ("objective", "jitter")}
    check_effect(plan_grid(Grid(tmp_path), other, "own.toml", shared, [0]), shared)  # some cell uses it


def test_both_training_commands_refuse_such_a_setting(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for command in (["train"], ["train-ablation", "losses"]):
        code, line = failed([*command, "--set", "weight_l2=5.0"], capfd)
        assert code == 1
        assert "key 'weight_l2' has no effect: the objective" in line
    assert list(tmp_path.iterdir()) == []


def put(path: Path, width: int = 40, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((20, width, channels), np.uint8)
    Image.fromarray(values[..., 0] if channels == 1 else values).save(path)


PHOTOS = ["colorization", "inpainting", "edges"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train/a.png", "trainannot/a.png", "test/a.png", "testannot/a.png"], ["camvid", "paired", *PHOTOS]),
        (["A/train/a.png", "B/train/a.png", "A/test/a.png", "B/test/a.png"], ["folders"]),
        (["train/a.png", "val/a.png"], ["paired", *PHOTOS]),
        (
            [
                f"{part}/{split}/bonn/bonn_0_0_{ending}.png"
                for part, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"))
                for split in ("train", "val")
            ],
            ["cityscapes"],
        ),
        ([], []),
    ],
)
def test_a_root_without_its_dataset_is_an_error_that_names_what_fits(
    files: list[str], expected: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name in files:
        put(root / name)
    assert fitting(root) == expected
    for name in expected:
        kind = DATASETS[name](root)
        assert kind.items("train")
        assert kind.items("test")
    said = f"the dataset {' | '.join(expected)}" if expected else "no dataset of `p2pbench datasets`"
    for command in (
        ["train", "--root", str(root)],
        ["train-ablation", "losses", "--root", str(root), "--dry-run"],
        ["train", "--set", f"root={root}"],
        ["fcn-train", "--dataset", "streets", "--root", str(root), "--out", "x.safetensors"],
        [*SELF_TEST, "--root", str(root)],
        ["fcn-score", "outputs", "--labels", f"streets:{root}"],
    ):
        code, line = failed(command, capfd)
        assert code == 1
        assert f"dataset streets is drawn and takes no root, found {root}; its files fit {said}" in line, command
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_split_of_drawn_scenes_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert "has one test split, found test_split 'val'" in failed(["train", "--set", "test_split=val"], capfd)[1]


def test_weights_of_a_scorer_that_will_not_score_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], folders: Path
) -> None:
    weights = ["--fcn-weights", "x.safetensors"]
    without_labels = [
        "train-ablation",
        "losses",
        "--set",
        "direction=AtoB",
        "--dataset",
        "folders",
        "--root",
        str(folders),
    ]
    assert (
        "there will be no FCN-score, its dataset folders has no label table"
        in failed([*without_labels, *weights], capfd)[1]
    )
    backwards = ["train-ablation", "losses", "--set", "direction=photo-to-labels"]
    assert "there will be no FCN-score, its direction is photo-to-labels" in failed([*backwards, *weights], capfd)[1]
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_no_run_has_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    grid = Grid(tmp_path / "results" / "one")
    grid.folder.mkdir(parents=True)
    grid.json.write_text('{"cells": {"L1": {}}, "seeds": [0]}')
    data = {split: {"n": 1, "hash": ""} for split in ("train", "test")}
    record = {"settings": run_config({}, "test").model_dump(), "data": data, "versions": {}}
    run = grid.run("L1", 0)
    run.folder.mkdir(parents=True)
    run.config.write_text(json.dumps(record))
    for command in ("fcn-score", "label-score"):
        assert (
            "no run of results has a root, since its dataset is drawn"
            in failed([command, "results", "--root", "data"], capfd)[1]
        )
        assert "has a root" not in failed([command, "results"], capfd)[1]
