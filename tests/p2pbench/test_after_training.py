"""The scores by label maps that every command that trains ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fcn.labels import CITYSCAPES
from p2pbench.cli import cli
from reports.store.layout import Grid
from tests.p2pbench.drawn_scorer import make_cityscapes, make_scorer

pytestmark = pytest.mark.long

SMALL = ["image_size=32", "ngf=4", "ndf=4", "receptive_field=34", "epochs=1"]


def train(grid: str, out: Path, *arguments: str, settings: tuple[str, ...] = ()) -> Result:
    given = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    result = CliRunner().invoke(cli, ["train-ablation", grid, "--out", str(out), *given, "--device", "cpu", *arguments])
    assert result.exit_code == 0, result.exception
    return result


FEW = ("train_items=4", "test_items=3")


@pytest.mark.parametrize(
    ("grid", "scorers", "title"),
    [
        ("losses", ["fcn-official", "fcn-strict", "image"], "strict rules, own scorer: FCN-8s, drawn"),
        ("segmentation", ["image", "labels", "labels-official"], "Label scores, official"),
    ],
)
def test_street_scenes_are_scored_and_reported_with_the_ground_truth(
    grid: str, scorers: list[str], title: str, tmp_path: Path
) -> None:
    scorer = make_scorer(tmp_path / "fcn.safetensors", CITYSCAPES, 20)
    weights = ["--fcn-weights", str(scorer)] if "fcn-strict" in scorers else []  # refused where nothing is segmented
    train(grid, tmp_path / "results", *weights, settings=FEW)
    made = Grid(tmp_path / "results" / grid)
    assert all(run.scorers() == scorers for run in made.runs())
    assert made.real.scorers() == [name for name in scorers if name != "image"]
    assert title in (tmp_path / "results" / "report" / "index.html").read_text()


def test_a_dataset_without_a_scorer_is_told_how_to_get_one(tmp_path: Path) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", 2, 33)
    result = train("losses", tmp_path / "results", "--dataset", "cityscapes", "--root", str(root))
    assert "no FCN-score: dataset cityscapes needs a scorer's file" in result.stderr
    assert Grid(tmp_path / "results" / "losses").real.scorers() == []
