"""A grid that gets other clusters after runs were trained: all scores of a table stay over the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from p2pbench.cli import cli
from p2pbench.metrics.published import ALEXNET, INCEPTION
from reports.store import ledger
from reports.store.layout import Grid
from tests.p2pbench.random_weights import write_alexnet, write_inception
from tests.p2pbench.tiny import TINY, picture

pytestmark = pytest.mark.long

ITEMS = [f"p{number}" for number in range(10)]  # as FID takes no fewer
HALVES = {item: "a" if item < "p5" else "b" for item in ITEMS}
AGAIN = "scored again, as scores were over other clusters than the grid has now"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten pairs to train on and ten to test on, whose targets are not square."""
    for split in ("train", "test"):
        for side, shift in (("A", 0), ("B", 100)):
            folder = tmp_path / "data" / side / split
            folder.mkdir(parents=True)
            for number, item in enumerate(ITEMS):
                Image.fromarray(np.ascontiguousarray(picture(number + shift, 48)[:40])).save(folder / f"{item}.png")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network's weights but those that a test writes."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def table(path: Path, clusters: dict[str, str]) -> Path:
    path.write_text("".join(f"{item},{cluster}\n" for item, cluster in clusters.items()))
    return path


def train(root: Path, *arguments: str) -> list[str]:
    """Trains a small grid beside the data; the lines that it prints."""
    toml = root.parent / "grid.toml"
    settings = {**TINY, "epochs": 1, "device": "cpu", "threads": 1}
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    toml.write_text("\n".join(['title = "x"', "[settings]", *lines, "[cells]", 'cGAN = {objective = "cGAN"}', ""]))
    given = ["--root", str(root), "--out", str(results(root)), *arguments]
    done = CliRunner().invoke(cli, ["train-ablation", str(toml), *given])
    assert done.exit_code == 0, done.exception
    return done.stderr.splitlines()


def results(root: Path) -> Path:
    return root.parent / "results"


def over(root: Path, scorer: str = "image") -> list[int | None]:
    """How many clusters the scores of each seed are over."""
    found = [ledger.read_scorer(run, scorer).clusters for run in Grid(results(root) / "grid").runs()]
    return [clusters.n if clusters else None for clusters in found]


def test_finished_runs_are_scored_again_over_the_grids_clusters(root: Path) -> None:
    clusters = table(root.parent / "e.csv", HALVES)
    train(root)
    assert over(root) == [None]
    said = train(root, "--set", f"clusters={clusters}")
    assert f"cGAN seed 0: {AGAIN}" in said
    assert over(root) == [2]
    page = (results(root) / "report/index.html").read_text()
    assert "interval over 2 clusters of items" in page
    # The table is another one under the same name; seeds that were not asked for count too.
    table(clusters, HALVES | {"p9": "c"})
    said = train(root, "--set", f"clusters={clusters}", "--seeds", "1")
    assert f"cGAN seed 0: {AGAIN}" in said
    assert over(root) == [3, 3]
    prints = {ledger.read_scorer(run, "image").fingerprint for run in Grid(results(root) / "grid").runs()}
    assert len(prints) == 1
    assert not any(AGAIN in line for line in train(root, "--set", f"clusters={clusters}", "--seeds", "0,1"))
    assert f"cGAN seed 0, cGAN seed 1: {AGAIN}" in train(root, "--seeds", "0")
    assert over(root) == [None, None]


def test_lpips_is_made_again_and_what_cannot_be_is_named(root: Path) -> None:
    write_alexnet()
    write_inception(INCEPTION.file)
    train(root)
    scored = CliRunner().invoke(cli, ["image-score", str(results(root)), "--fid", "--device", "cpu"])
    assert scored.exit_code == 0, scored.exception
    clusters = f"clusters={table(root.parent / 'e.csv', HALVES)}"
    said = train(root, "--set", clusters)
    assert (over(root, "lpips"), over(root, "fid")) == ([2], [None])
    rest = "over other clusters than the grid has now; to score again: p2pbench image-score"
    assert f"cGAN seed 0: {AGAIN}" in said
    assert f"cGAN seed 0: fid, kid {rest} {results(root)} --fid" in said
    assert f"cGAN seed 0: fid, kid {rest} {results(root)} --fid" in train(root, "--set", clusters)
    ALEXNET.file.unlink()
    assert f"cGAN seed 0: lpips {rest} {results(root)}" in train(root)
    assert over(root) == [None]


def test_scores_at_the_targets_size_stay_so(root: Path) -> None:
    train(root)
    scored = CliRunner().invoke(cli, ["image-score", str(results(root)), "--native", "--device", "cpu"])
    assert scored.exit_code == 0, scored.exception
    (run,) = Grid(results(root) / "grid").runs()
    before = ledger.read_scorer(run, "image")
    train(root, "--set", f"clusters={table(root.parent / 'e.csv', HALVES)}")
    after = ledger.read_scorer(run, "image")
    assert over(root) == [2]
    assert after.protocol["pictures"] == before.protocol["pictures"]
    assert {name: metric.value for name, metric in after.metrics.items()} == {
        name: metric.value for name, metric in before.metrics.items()
    }
