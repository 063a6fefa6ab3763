"""The FCN-score on a cluster: the same matrices, scores and segmentations as here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from ray.cluster_utils import Cluster

from fcn import weights
from fcn.confusion import load
from fcn.labels import CITYSCAPES
from p2pbench.cli import cli
from reports.store.layout import Grid
from tests.p2pbench.drawn_scorer import ITEMS, make_scorer, train

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two cells of labels to street scenes, and the ground truth."""
    results = tmp_path_factory.mktemp("trained") / "results"
    train(results, "tiny")
    return results


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_results_folder_gets_the_same_scores(
    cluster: Cluster, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = make_scorer(tmp_path / "fcn.safetensors", CITYSCAPES, 20)
    here, there = (shutil.copytree(trained, tmp_path / name / "results") for name in ("here", "there"))
    printed = []
    for folder, engine in ((here, ()), (there, ("--engine", "ray", "--address", cluster.address))):
        monkeypatch.chdir(folder.parent)  # relative paths lead elsewhere in a worker
        arguments = ["fcn-score", "results", "--weights", str(scorer), "--device", "cpu", *engine]
        ended = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert ended.exit_code == 0
        printed.append(ended.stdout)
    assert printed[0] == printed[1]
    assert written(here) == written(there)
    for run in (*Grid(there / "tiny").runs(), Grid(there / "tiny").real):
        assert len(load(run.confusion, weights.digest(scorer))) == ITEMS


def test_a_plain_folder_too(cluster: Cluster, trained: Path, tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "fcn.safetensors", CITYSCAPES, 20)
    images = Grid(trained / "tiny").run("L1", 0).images
    for name, engine in (("here", ()), ("there", ("--engine", "ray", "--address", cluster.address))):
        arguments = [str(images), "--labels", "streets:", "--allow-partial", "--out", str(tmp_path / name)]
        ended = CliRunner().invoke(
            cli, ["fcn-score", *arguments, "--weights", str(scorer), "--device", "cpu", *engine], catch_exceptions=False
        )
        assert ended.exit_code == 0
    assert written(tmp_path / "here") == written(tmp_path / "there")
