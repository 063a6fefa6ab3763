"""What difference more seeds could tell: by hand, by simulation, and where nobody knows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from p2pbench.ablation.data import contents_of, describe
from p2pbench.cli import cli
from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.catalogue import open_dataset, run_items
from reports import html, page, trainings
from reports.store.layout import Grid
from reports.store.variance import ScoreSample, difference, planned, sample
from tests.p2pbench.grids import difference_lines
from tests.reports.parsed import Page
from tests.reports.test_comparison import rescore

N = 40


def _cell(random: np.random.Generator, seeds: int, shift: float = 0.0) -> ScoreSample:
    """Seeds that deviate by 1, and items that add a deviation of 0.3 to each score of a cell."""
    values = random.normal(0, 0.3 * math.sqrt(N), N) + random.normal(shift, 1, (seeds, 1))
    return sample(values.mean(axis=1).tolist(), (values - values.mean(axis=1, keepdims=True)) / math.sqrt(N), N)


def test_a_plan_by_hand() -> None:
    # Two cells whose seeds are 1 apart: variances of 0.5; items play no part.
    a, b = (sample([0.0, 1.0], np.zeros((2, 10)), N) for _ in range(2))
    found = planned(a, b, 5)
    assert found is not None
    assert found.variance == pytest.approx(2 * 0.5 / 5)
    # Welch's test of two groups of 5 whose deviations are equal has 80 % power at 2.0 deviations (G*Power: 2.02).
    assert found.detectable(0.8) == pytest.approx(2.02 * math.sqrt(0.5), rel=0.06)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_difference_of_the_planned_size_is_found_in_about_four_of_five_trials(seeds: int) -> None:
    random = np.random.default_rng(0)
    found = planned(_cell(random, 200), _cell(random, 200), seeds)  # which know the variances
    assert found is not None
    size = found.detectable(trainings.POWER)
    told = [difference(_cell(random, seeds, size), _cell(random, seeds)).p < 0.05 for _ in range(400)]
    assert 0.72 < np.mean(told) < 0.88


@pytest.mark.long
def test_with_two_clusters_a_plan_knows_that_no_interval_is_narrower_than_over_these() -> None:
    random, seeds = np.random.default_rng(0), 10

    def few(shift: float = 0.0) -> ScoreSample:
        values = random.normal(0, 1, 2) + random.normal(0, 1, (seeds, 2)) + random.normal(shift, 1, (seeds, 1))
        return sample(values.mean(axis=1).tolist(), (values - values.mean(axis=1, keepdims=True)) / math.sqrt(2), 2)

    plans = [planned(few(), few(), seeds) for _ in range(100)]
    size = float(np.median([plan.detectable(trainings.POWER) for plan in plans if plan]))
    told = [difference(few(size), few()).p < 0.05 for _ in range(400)]
    assert np.mean(told) > 0.5  # one degree of freedom tells the variance roughly; without that, 0.24


def test_single_seeds_and_single_items_tell_nothing() -> None:
    random = np.random.default_rng(1)
    assert planned(_cell(random, 1), _cell(random, 3), 3) is None
    single = sample([0.0, 1.0], np.full((2, 10), np.nan), 1)
    assert planned(single, single, 3) is None


def test_the_command_and_the_table_say_the_same(build: Callable[..., Path]) -> None:
    results = build(cells=("L1", "GAN"), seeds=(0, 1))
    (table,) = page.read(results).sections[0].tables
    (row,) = trainings.detectable(table, (3, 12))
    assert (row.metric, row.pairs, list(row.smallest)) == ("l1", 1, [3, 12])
    result = CliRunner().invoke(cli, ["plan", str(results), "--seeds", "3,12"])
    assert result.exit_code == 0, result.output
    meaning, head, counts, line = result.output.splitlines()
    assert meaning == "smallest difference between two cells detectable with 80 % power:"
    assert head == "losses, 4 items: Image scores"
    assert counts.split() == ["seeds", "per", "cell", "3", "12"]
    assert row.smallest[3] < 0.00005
    assert line.split() == ["L1", "<0.0001", "<0.0001"]  # not as good as nothing
    text = Page(html.write_report(results, results / "report")).text
    assert "3 <0.0001" in text


def test_a_dry_run_takes_the_grids_own_seeds_then_a_like_grids_then_none(build: Callable[..., Path]) -> None:
    results = build(seeds=(0, 1))
    (table,) = page.read(results).sections[0].tables
    like = run_config({"dataset": "streets"}, "test")
    # Two seeds are there and two are asked for: what four tell is among the numbers.
    first, *told = difference_lines(results, "losses", like, [2, 3])
    assert first == f"{trainings.DETECTABLE}, on 4 test items, estimated from the seeds of {results / 'losses'}:"
    assert told == trainings.detectable_lines(table, (2, 3, 4, 5, 10))
    clustered = run_config({"dataset": "streets", "clusters": "(.)"}, "test")
    (unknown,) = difference_lines(results, "patches", like, [0, 1])
    assert difference_lines(results, "losses", clustered, [2, 3]) == [unknown]  # scores are made again by these
    assert unknown.endswith(f"after two seeds per cell, `p2pbench plan {results}` estimates it")
    path = Grid(results / "losses").json
    document = json.loads(path.read_text())
    document["settings"] = {key: value for key, value in like.model_dump().items() if key not in ("device", "seed")}
    dataset = open_dataset(like)
    items = run_items(dataset, like)
    document["dataset"] |= describe(items, contents_of(dataset, items))
    path.write_text(json.dumps(document))
    assert difference_lines(results, "patches", like, [0, 1])[0] == first
    longer = run_config({"dataset": "streets", "epochs": 9, "ngf": 8, "objective": "L1"}, "test")
    assert difference_lines(results, "patches", longer, [0, 1])[0] == (
        f"{first[:-1]}, which was trained with other objective, ngf, epochs:"
    )
    other = run_config({"dataset": "streets", "image_size": 64}, "test")
    assert difference_lines(results, "patches", other, [0, 1]) == [unknown]
    path.write_text("{")  # the report says that
    assert difference_lines(results, "patches", like, [0, 1]) == [unknown]


@pytest.mark.parametrize("older", [False, True])
def test_a_dry_run_takes_no_grid_of_other_test_items(build: Callable[..., Path], tmp_path: Path, older: bool) -> None:
    results = build(seeds=(0, 1))

    def of(name: str, *tested: str, shade: int = 0) -> RunConfig:
        for split, items in (("train", ("a",)), ("test", tested)):
            for side in "AB":
                (tmp_path / name / side / split).mkdir(parents=True)
                for item in items:
                    Image.new("RGB", (40, 40), (shade, 0, 0)).save(tmp_path / name / side / split / f"{item}.png")
        return run_config({"dataset": "folders", "root": str(tmp_path / name)}, "test")

    trained, copied, repainted = of("one", "p", "q"), of("two", "p", "q"), of("three", "p", "q", shade=9)
    path, dataset = Grid(results / "losses").json, open_dataset(trained)
    document, items = json.loads(path.read_text()), run_items(dataset, trained)
    document["settings"] = trained.model_dump(mode="json", exclude={"device", "seed"})
    document["dataset"] |= items.describe() if older else describe(items, contents_of(dataset, items))
    path.write_text(json.dumps(document))
    told = {
        config.root: len(difference_lines(results, "patches", config, [0, 1])) > 1
        for config in (trained, copied, repainted, of("four", "p", "r"), of("five", "p"))
    }
    # Without hashes of contents, which older versions did not record, only the names can be compared.
    assert list(told.values()) == [True, True, older, False, False]


@pytest.mark.long
def test_a_dry_run_of_one_seed_says_that_nothing_will_be_decided(tmp_path: Path) -> None:
    for seeds, words in (("0", "one training per cell: nothing will be decided"), ("0,1", "after two seeds per cell")):
        arguments = ["train-ablation", "losses", "--set", "dataset=streets", "--set", "image_size=32", "--set", "ngf=2"]
        arguments += ["--set", "receptive_field=16", "--set", "train_items=2", "--set", "test_items=2", "--dry-run"]
        result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out"), "--seeds", seeds])
        assert result.exit_code == 0, result.output
        assert words in result.output


def test_a_plan_fits_a_terminal_and_names_what_cannot_be_read(build: Callable[..., Path]) -> None:
    results = build(cells=("L1", "GAN", "cGAN"), seeds=(0, 1))
    run = Grid(results / "losses").run("cGAN", 1)
    replicates = dict(np.load(run.bootstrap("image")))
    replicates["l1"][7] = np.nan
    np.savez(run.bootstrap("image"), **replicates)
    result = CliRunner().invoke(cli, ["plan", str(results), "--seeds", "2,3,5,10,100,1000"])
    assert max(map(len, result.stdout.splitlines())) <= 80
    (said,) = result.stderr.splitlines()
    assert said.startswith(f"{run.bootstrap('image')}: found a replicate of l1 that is not finite, expected numbers; ")
    (row,) = trainings.detectable(page.read(results).sections[0].tables[0])
    assert row.pairs == 1  # of L1 and GAN, as cGAN has one seed left


@pytest.mark.long
def test_all_numbers_of_seeds_are_of_one_pair(build: Callable[..., Path]) -> None:
    items = tuple(f"street {number}" for number in range(8))
    results = build(cells=("A", "B", "C"), seeds=(0, 1, 2))
    random = np.random.default_rng(2)
    for _ in range(8):  # of cells that vary more and more: which pair is the median differs by seeds
        shared = random.normal(0.5, 0.05, 8)
        for place, cell in enumerate("ABC"):
            of_cell = shared + random.normal(0, 0.03, 8)
            for seed in range(3):
                values = of_cell + random.normal(0, 0.01 * (1 + place)) + random.normal(0, 0.02, 8)
                rescore(Grid(results / "losses").run(cell, seed), values.tolist(), items, n_expected=8)
        (table,) = page.read(results).sections[0].tables
        (row,) = trainings.detectable(table)
        found = list(row.smallest.values())
        assert found == sorted(found, reverse=True)
        samples = [each.numbers["l1"].sample for each in table.rows]
        plans = [[planned(a, b, seeds) for seeds in trainings.SEED_COUNTS] for a, b in combinations(samples, 2)]
        assert found in [[plan.detectable(0.8) for plan in of_pair if plan] for of_pair in plans]


def test_no_difference_is_beyond_the_scale(build: Callable[..., Path]) -> None:
    results = build(cells=("A", "B"), seeds=(0, 1, 2))
    random = np.random.default_rng(3)
    for run in Grid(results / "losses").runs():  # whose seeds differ by more than SSIM can
        values = 1.5 * ((run.seed or 0) - 1) + random.normal(0, 0.001, 4)
        rescore(run, values.tolist(), metric="ssim")
    (table,) = page.read(results).sections[0].tables
    (row,) = trainings.detectable(table, (2, 1000))
    assert row.smallest[2] > 2  # SSIM is from -1 to 1
    told = trainings.detectable_lines(table, (2, 1000))
    assert told[2].split() == ["SSIM", "-", f"{row.smallest[1000]:.3f}"]
    assert told[3:] == ["  -: more than the metric's range"]
    assert len(trainings.detectable_lines(table, (1000,))) == 3
    text = Page(html.write_report(results, results / "report")).text
    assert "a dash means more than the metric's range" in text
    assert "2 – " in text.partition("the metric's range")[2]


def test_several_seeds_of_one_item_lack_items_not_seeds(build: Callable[..., Path]) -> None:
    results = build(seeds=(0, 1), items=("bridge",))
    said = str(CliRunner().invoke(cli, ["plan", str(results)]).exception)
    assert said.startswith(f"{results}: found several seeds per cell and no interval of two of them, expected some, ")
    assert "score more test items" in said
    (line,) = difference_lines(results, "losses", run_config({"dataset": "streets"}, "test"), [0, 1])
    assert line.endswith(f"{results / 'losses'} has several seeds per cell and no interval of two of them")


def test_a_number_of_seeds_given_twice_is_one_column(build: Callable[..., Path]) -> None:
    result = CliRunner().invoke(cli, ["plan", str(build(seeds=(0, 1))), "--seeds", "5,3,5,3"])
    assert result.output.splitlines()[2].split() == ["seeds", "per", "cell", "5", "3"]
    assert len(result.output.splitlines()[3].split()) == 3


@pytest.mark.parametrize("seeds", ["1", "", "x", "3,1001"])
def test_numbers_of_seeds_are_checked(build: Callable[..., Path], seeds: str) -> None:
    result = CliRunner().invoke(cli, ["plan", str(build()), "--seeds", seeds])
    assert "expected numbers of seeds from 2 to 1000" in str(result.exception)


def test_one_seed_a_cell_leads_to_two(build: Callable[..., Path]) -> None:
    result = CliRunner().invoke(cli, ["plan", str(build())])
    assert "train two seeds of each cell first: train-ablation GRID --seeds 0,1" in str(result.exception)
