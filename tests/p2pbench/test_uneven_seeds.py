"""Grids whose seeds do not match, by the commands: each fault is one line, and the rest is scored and shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.errors import UserError
from reports.store import ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes

pytestmark = pytest.mark.long

SETTINGS = {"dataset": "streets", "image_size": 32, "ngf": 2, "ndf": 2, "receptive_field": 16, "epochs": 1}
ITEMS = {"train_items": 4, "test_items": 4, "batch_size": 4, "threads": 1}


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit | UserError | ReportError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of three seeds, scored by comparing pictures."""
    results = tmp_path_factory.mktemp("uneven") / "results"
    cells = {"L1": {"objective": "L1"}, "cGAN": {"objective": "cGAN"}}
    run_grid(
        results, "grid", GridConfig(title="x", settings=SETTINGS | ITEMS, cells=cells), "x", {}, [0, 1, 2], Notes()
    )
    return results


@pytest.fixture
def make(trained: Path, tmp_path: Path) -> Callable[[], Path]:
    """A function that copies the results."""
    return lambda: Path(shutil.copytree(trained, tmp_path / "results"))


def _table(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "report/tables/grid--image.csv", dtype={"seeds": str}).set_index("cell")


def _report(results: Path) -> list[str]:
    result = command("report", results)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    return [line for line in lines if not line.startswith(("grid, ", "  "))]  # but for what the marks say


@pytest.mark.parametrize("left", [2, 1])
def test_a_cell_with_fewer_seeds_is_scored_and_shown(make: Callable[[], Path], left: int) -> None:
    results = make()
    for seed in range(left, 3):
        shutil.rmtree(Grid(results / "grid").run("cGAN", seed).folder)
    scored = command("image-score", results)
    assert scored.exit_code == 0
    assert "in brackets: 95 % intervals over items" in scored.stdout
    (said,) = [line for line in scored.stderr.splitlines() if "those over trainings" in line]
    assert said.endswith(f"intervals above are for single trainings; those over trainings and items are in the "
                         f"report: p2pbench report {results}")  # fmt: skip
    alone = "grid: one training of cGAN, and several of others: marks hold for these items only"
    assert said.startswith(alone) == (left == 1)
    assert _report(results) == [alone] * (left == 1)
    table = _table(results)
    assert table["seeds"].tolist()[:2] == ["0 1 2", " ".join(map(str, range(left)))]
    assert table["intervals_over"].tolist()[:2] == [
        "trainings and items",
        "trainings and items" if left > 1 else "items",
    ]
    here = table["l1_mark"].dropna().str.contains("on these items")
    assert here.any() == here.all() == (left == 1)


def test_seeds_of_different_items_are_set_apart(make: Callable[[], Path], scorer: Path) -> None:
    results = make()
    run = Grid(results / "grid").run("L1", 1)
    scores = ledger.read_scorer(run, "image")
    gone = scores.item_ids[0]
    (run.images / f"{gone}.png").unlink()
    refused = command("image-score", results)
    assert str(refused.exception).startswith(f"{run.images}: 3 of 4 pictures there; missing {gone}; give the command")
    fcn = command("fcn-score", results, "--weights", scorer, "--allow-partial", "--protocol", "strict")
    assert fcn.exit_code == 0, fcn.output
    assert "grid/L1 seed 1  3 of 4 items" in fcn.stdout
    assert _report(results) == []
    table = pd.read_csv(results / "report/tables/grid--fcn-strict.csv", dtype={"seeds": str})
    rows = [(row["cell"], row["seeds"], row["ranked"]) for _, row in table.iterrows()]
    assert rows[:2] == [("L1", "0 2", True), ("cGAN", "0 1 2", True)]
    assert ("L1", "1", False) in rows[2:]
    (why,) = table[table["seeds"] == "1"]["not_ranked_because"]
    assert why == "items: 3 of 4 here, 4 of 4 with 1 of its own in the table"


def test_a_replicate_that_is_no_number_costs_its_seed(make: Callable[[], Path]) -> None:
    results = make()
    run = Grid(results / "grid").run("L1", 2)
    file = run.bootstrap("image")
    replicates = dict(np.load(file))
    replicates["ssim"][3] = np.nan
    np.savez(file, **replicates)
    (said,) = _report(results)
    assert (
        said == f"{file}: found a replicate of ssim that is not finite, expected numbers; "
        "move it away and score the run again"
    )
    assert _table(results)["seeds"].tolist()[:2] == ["0 1", "0 1 2"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("TABLE", "found no cluster for 1 of 4 items, such as test-00003; expected one for each"),
        ("^(test)", "found 1 cluster, test, with all 4 items; expected several"),
    ],
)
def test_clusters_that_do_not_fit_leave_all_scores(
    make: Callable[[], Path], scorer: Path, asked: str, said: str
) -> None:
    results = make()
    table = results.parent / "clusters.csv"
    table.write_text("".join(f"test-{number:05},{number % 2}\n" for number in range(3)))
    run = Grid(results / "grid").run("L1", 0)
    before = run.score("image").read_bytes()
    for words in (("image-score",), ("fcn-score", "--weights", scorer)):
        result = command(*words, results, "--clusters", asked.replace("TABLE", str(table)))
        assert result.exit_code == 1
        assert said in str(result.exception)
        assert "\n" not in str(result.exception)
    assert run.score("image").read_bytes() == before
    assert _report(results) == []


def test_a_cluster_per_item_is_as_none_and_said_once(make: Callable[[], Path]) -> None:
    results = make()
    result = command("image-score", results, "--clusters", "([0-9]+)")
    assert result.exit_code == 0
    said = "clusters ([0-9]+): each of 4 items is a cluster of its own, which is as without any"
    assert result.stderr.splitlines().count(said) == 1
    assert "in brackets: 95 % intervals over items" in result.stdout
